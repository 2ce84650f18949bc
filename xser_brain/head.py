"""From the encoder's vectors to the utterance embedding that all objectives share."""

from collections.abc import Sequence

import torch
from torch import nn

from data_prep.errors import UserError
from xser_brain.numbers import number


class EmbeddingHead(nn.Module):
    """A learnable weighting of layers, and a projection for encoders that do not adapt.

    Arguments
    ---------
    layers : int
        Vectors that the encoder returns, one per layer (and way of pooling); their weights
        (a softmax) are learned, starting equal.
    width : int
        Size of the encoder's utterance vector.
    projection : int
        Size of the embedding; 0 takes the weighted vector itself, as the paper does,
        whose encoder adapts. A frozen encoder leaves nothing for the contrastive and
        the adversarial objective to shape, so it needs one.
    dropout : float
        Rate of dropout before the projection.
    norm : bool
        Whether a layer norm comes before the projection. Without it the head is linear,
        and transformers can hold it (``xser export --format=transformers``).
    hidden : int
        Size of a hidden layer (with GELU) before the projection, which makes the head a
        perceptron of several layers; 0 for none.

    Raises
    ------
    UserError
        If ``hidden`` is not a size, or there is no projection behind it.

    Example
    -------
    >>> head = EmbeddingHead(layers=3, width=8, projection=4)
    >>> head(torch.rand(2, 3, 8)).shape
    torch.Size([2, 4])
    >>> EmbeddingHead(layers=1, width=8).width
    8
    """

    def __init__(
        self,
        layers: int,
        width: int,
        projection: int = 0,
        dropout: float = 0.0,
        norm: bool = True,
        hidden: int = 0,
    ):
        super().__init__()
        self.hidden = hidden = number("hidden", hidden, whole=True)
        if hidden and not projection:
            raise UserError(
                f"hidden is {hidden}, and there is no projection for a hidden layer to lie "
                "before: pass --projection=N too, or --hidden=0"
            )
        self.width = projection or width
        self.layer_weights = nn.Parameter(torch.zeros(layers)) if layers > 1 else None
        self.projection = (
            nn.Sequential(
                nn.LayerNorm(width) if norm else nn.Identity(),
                nn.Dropout(dropout),
                *([nn.Linear(width, hidden), nn.GELU()] if hidden else []),
                nn.Linear(hidden or width, projection),
            )
            if projection
            else nn.Identity()
        )

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Embed utterances: (batch, layers, width) of an encoder to (batch, width)."""
        if self.layer_weights is None:
            vector = pooled[:, 0]
        else:
            vector = torch.einsum("l,blw->bw", self.layer_weights.softmax(0), pooled)
        return self.projection(vector)

    def weights(self) -> list[float] | None:
        """The share of each encoder layer; None if there is but one."""
        if self.layer_weights is None:
            return None
        return self.layer_weights.detach().softmax(0).tolist()

    def describe(self) -> dict:
        """What ``config.json`` of an exported model says of it."""
        projected = not isinstance(self.projection, nn.Identity)
        return {
            "projection": self.width if projected else 0,
            "norm": any(isinstance(part, nn.LayerNorm) for part in self.modules()),
            # Only where there is one, so that earlier versions read all others.
            **({"hidden": self.hidden} if self.hidden else {}),
        }


class StackedHead(nn.Module):
    """Some of the encoder's vectors side by side, each value standardised.

    Nothing in it is trained by steps: see ``xser_brain.solvers``.

    Arguments
    ---------
    vectors : sequence of int
        Which; there is one per way of pooling and layer.
    width : int
        Size of each.

    Example
    -------
    >>> StackedHead([0, 2], width=8)(torch.rand(2, 3, 8)).shape
    torch.Size([2, 16])
    """

    def __init__(self, vectors: Sequence[int], width: int):
        super().__init__()
        self.vectors = [*vectors]
        self.width = len(self.vectors) * width
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("scale", torch.ones(self.width))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Embed utterances: (batch, vectors, width) of an encoder to (batch, width)."""
        return (pooled[:, self.vectors].flatten(1) - self.mean) / self.scale

    def weights(self) -> None:
        """Each counts as much as another."""
        return None

    def describe(self) -> dict:
        """What ``config.json`` of an exported model says of it."""
        return {"projection": 0, "norm": False, "vectors": self.vectors}


class JoinedHead(nn.Module):
    """The embeddings of several heads side by side: those of an ensemble.

    Arguments
    ---------
    heads : sequence of torch.nn.Module
        Of the same encoder.
    takes : sequence of (int, int)
        The first of the encoder's vectors that each takes, and how many: not all heads
        need all ways of pooling.

    Example
    -------
    >>> heads = [EmbeddingHead(3, 8, 4), StackedHead([0, 2], 8)]
    >>> JoinedHead(heads, [(0, 3), (3, 3)])(torch.rand(2, 6, 8)).shape
    torch.Size([2, 20])
    """

    def __init__(self, heads: Sequence[nn.Module], takes: Sequence[tuple[int, int]]):
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.takes = [tuple(take) for take in takes]
        self.width = sum(head.width for head in heads)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Embed utterances: (batch, vectors, width) of an encoder to (batch, width)."""
        parts = zip(self.heads, self.takes, strict=True)
        embeddings = [head(pooled[:, at : at + count]) for head, (at, count) in parts]
        return torch.cat(embeddings, dim=-1)

    def weights(self) -> None:
        """Each head has its own."""
        return None

    def describe(self) -> dict:
        """What ``config.json`` of an exported model says of it."""
        parts = zip(self.heads, self.takes, strict=True)
        return {
            "projection": 0,
            "norm": False,
            "members": [{**head.describe(), "takes": take} for head, take in parts],
        }


def build_head(description: dict, vectors: int, width: int) -> nn.Module:
    """Build a head again, without what was trained.

    Arguments
    ---------
    description : dict
        From ``describe``.
    vectors, width : int
        Of the encoder.

    Returns
    -------
    torch.nn.Module

    Example
    -------
    >>> type(build_head({"projection": 0, "vectors": [1]}, 2, 8)).__name__
    'StackedHead'
    """
    if description.get("members") is not None:
        members = description["members"]
        takes = [member["takes"] for member in members]
        heads = [
            build_head(member, count, width)
            for member, (_, count) in zip(members, takes, strict=True)
        ]
        return JoinedHead(heads, takes)
    if description.get("vectors") is not None:
        return StackedHead(description["vectors"], width)
    # Earlier versions had no head without a norm.
    norm = description.get("norm", True)
    hidden = description.get("hidden", 0)
    return EmbeddingHead(
        vectors, width, description["projection"], norm=norm, hidden=hidden
    )
