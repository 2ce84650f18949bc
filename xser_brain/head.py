"""From the encoder's layers to the utterance embedding that all objectives share."""

import torch
from torch import nn


class EmbeddingHead(nn.Module):
    """A learnable weighting of layers, and a projection for encoders that do not adapt.

    Arguments
    ---------
    layers : int
        Layers that the encoder returns; their weights (a softmax) are learned,
        starting equal.
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
    ):
        super().__init__()
        self.width = projection or width
        self.layer_weights = nn.Parameter(torch.zeros(layers)) if layers > 1 else None
        self.projection = (
            nn.Sequential(
                nn.LayerNorm(width) if norm else nn.Identity(),
                nn.Dropout(dropout),
                nn.Linear(width, projection),
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
