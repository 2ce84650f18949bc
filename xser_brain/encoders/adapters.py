"""Parameter-efficient adaptation: LoRA, bottleneck adapters, and a gate on each.

The paper adapts its encoder with LoRA, bottleneck adapters and weight gating (section
2.1). Sizes, places, what is gated and start values are not stated in the paper.

* LoRA (Hu et al. 2022): ``W x + gate * alpha / rank * B A x``, with B zero at first.
* Adapter (Houlsby et al. 2019): ``h + gate * up(gelu(down(h)))``, with ``up`` zero at
  first, where h is what the feed-forward block hands to its residual addition. That
  place exists in post-norm (wav2vec 2.0 Base), stable-layer-norm (XLS-R) and Whisper
  layers alike. No normalisation inside, as in the original.
* Gate: the sigmoid of a learnable scalar, 0 at first, where the sigmoid is steepest
  and to which weight decay pulls: the branch is half open, and LoRA's default scale of
  16 / 8 begins at 1. It starts to move when its branch no longer gives zero.

Why no library does this:

* peft 0.21 adapts Whisper and wav2vec 2.0, but not WavLM, whose attention reads
  ``q_proj.weight`` and never calls the module: peft returns the frozen weight, so
  that LoRA has no effect there and gets no gradient, without a word. It has neither
  bottleneck adapters after a block nor a gate on LoRA.
* SpeechBrain 1.1's ``LoRA`` has no ``weight`` and ``bias``, so that WavLM fails, and no
  dropout or merging; its ``HoulsbyAdapterLinear`` does not start as the identity;
  neither has a gate; ``AdaptedModel`` trains with the dropout of frozen layers.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from data_prep.errors import UserError

METHODS = ("frozen", "lora", "adapters", "paper", "full")
FEED_FORWARD = ("feed_forward", "fc2")  # a wav2vec 2.0 layer's block, Whisper's last


def _gate(learn: bool, like: torch.Tensor) -> nn.Parameter | None:
    return nn.Parameter(like.new_zeros(())) if learn else None


def _opening(gate: nn.Parameter | None) -> torch.Tensor | float:
    return 1.0 if gate is None else torch.sigmoid(gate)


class _LowRank(nn.Module):
    """LoRA's branch; its scale and gate multiply the small weight, not activations."""

    def __init__(
        self, linear: nn.Linear, rank: int, alpha: float, gate: bool, dropout: float
    ):
        super().__init__()
        like = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(linear.in_features, rank, bias=False, **like)
        self.up = nn.Linear(rank, linear.out_features, bias=False, **like)
        nn.init.zeros_(self.up.weight)
        self.gate = _gate(gate, linear.weight)

    def _up(self) -> torch.Tensor:
        return self.scale * _opening(self.gate) * self.up.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs)."""
        return functional.linear(self.down(self.dropout(x)), self._up())

    def weight(self) -> torch.Tensor:
        """The same as one (outputs, inputs) weight, without dropout."""
        return self._up() @ self.down.weight


class LoRALinear(nn.Module):
    """A frozen linear layer with a trained low-rank branch.

    Arguments
    ---------
    linear : torch.nn.Linear
        The layer; it is frozen.
    rank : int
        Width of the branch.
    alpha : float
        The branch is scaled by ``alpha / rank``.
    gate : bool
        Whether to multiply the branch by a learnable gate.
    dropout : float
        Probability, on the branch's input.

    Example
    -------
    >>> linear = nn.Linear(6, 4)
    >>> lora = LoRALinear(linear, rank=2)
    >>> x = torch.rand(3, 6)
    >>> torch.equal(lora(x), linear(x))
    True
    >>> [name for name, p in lora.named_parameters() if p.requires_grad]
    ['branch.gate', 'branch.down.weight', 'branch.up.weight']
    """

    def __init__(
        self,
        linear: nn.Linear,
        rank: int = 8,
        alpha: float = 16.0,
        gate: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.branch = _LowRank(linear, rank, alpha, gate, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs)."""
        return self.linear(x) + self.branch(x)

    @property
    def weight(self) -> torch.Tensor:
        """The (outputs, inputs) weight in effect, with gradients to the branch.

        For attention that reads weights (WavLM's). There the gradient of the whole
        weight is computed on the way, and dropout on the input has no place: UserError
        if it was asked for.
        """
        if self.branch.training and self.branch.dropout.p > 0:
            raise UserError(
                "this encoder's attention (WavLM's) reads the weights of LoRA's "
                "targets and leaves no place for dropout: set the LoRA dropout to 0"
            )
        return self.linear.weight + self.branch.weight()

    @property
    def bias(self) -> torch.Tensor | None:
        """The frozen layer's own."""
        return self.linear.bias

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """Fold the branch into a plain layer; this one stays as it is."""
        merged = copy.deepcopy(self.linear)
        merged.weight += self.branch.weight()
        return merged


class Adapter(nn.Module):
    """A bottleneck with a residual connection; the identity at first.

    Arguments
    ---------
    features : int
        Width of input and output.
    width : int
        Width of the bottleneck.
    gate : bool
        Whether to multiply the branch by a learnable gate.

    Example
    -------
    >>> x = torch.rand(3, 6)
    >>> torch.equal(Adapter(6, width=2)(x), x)
    True
    """

    def __init__(self, features: int, width: int = 64, gate: bool = True):
        super().__init__()
        self.down = nn.Linear(features, width)
        self.up = nn.Linear(width, features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.gate = _gate(gate, self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., features) to the same shape."""
        hidden = functional.gelu(self.down(x))
        opening = _opening(self.gate)
        return x + functional.linear(
            hidden, opening * self.up.weight, opening * self.up.bias
        )


def adapt(
    model_layers: nn.ModuleList,
    method: str,
    *,
    rank: int = 8,
    alpha: float = 16.0,
    targets: Sequence[str] = ("q_proj", "v_proj"),
    adapter_width: int = 64,
    gates: bool = True,
    layers: Iterable[int] | None = None,
    dropout: float = 0.0,
) -> dict[str, nn.Parameter]:
    """Insert in place what trains into a transformer's layers, and freeze the rest.

    Arguments
    ---------
    model_layers : torch.nn.ModuleList
        Layers of wav2vec 2.0, HuBERT, WavLM, data2vec or Whisper, not yet adapted.
        What is outside of them stays as it is.
    method : str
        ``frozen``: nothing trains; ``lora`` or ``adapters``: one of the two, ungated;
        ``paper``: both, gated; ``full``: the layers themselves.
    rank : int
        LoRA's width.
    alpha : float
        LoRA's branch is scaled by ``alpha / rank``.
    targets : sequence of str
        Names (or ends of dotted names) of the linear modules that LoRA adapts.
    adapter_width : int
        Width of the adapters' bottleneck.
    gates : bool
        Whether ``paper`` has its gates.
    layers : iterable of int, optional
        Which layers, counted from 0; default all.
    dropout : float
        Probability, on the input of LoRA's branches.

    Returns
    -------
    dict of str to torch.nn.Parameter
        What trains, by its name within ``model_layers``.

    Raises
    ------
    UserError
        If the method, a target or a layer does not exist, or nothing would train.

    Example
    -------
    >>> from transformers import WavLMConfig, WavLMModel
    >>> sizes = dict(hidden_size=16, num_attention_heads=2, num_hidden_layers=2)
    >>> model = WavLMModel(WavLMConfig(**sizes))
    >>> trained = adapt(model.encoder.layers, "paper", rank=2, layers=[1])
    >>> sum(p.numel() for p in trained.values())  # 2 * (2 * 2 * 16 + 1) + 2129
    2259
    """
    if method not in METHODS:
        raise UserError(f"no adaptation {method!r}: use one of {', '.join(METHODS)}")
    if min(rank, adapter_width) < 1 or not 0 <= dropout < 1:
        raise UserError(
            f"LoRA rank {rank}, adapter width {adapter_width}, LoRA dropout {dropout}: "
            "the first two must be 1 or more, dropout 0 or more and less than 1"
        )
    indices = range(len(model_layers))
    chosen = list(indices if layers is None else layers)
    if missing := [i for i in chosen if i not in indices]:
        raise UserError(
            f"no layers {missing} to adapt: there are 0 to {len(model_layers) - 1}"
        )
    model_layers.requires_grad_(False)
    gates = gates and method == "paper"
    for layer in [model_layers[i] for i in chosen]:
        layer.requires_grad_(method == "full")
        if method in ("lora", "paper"):
            _insert_lora(layer, targets, rank, alpha, gates, dropout)
        if method in ("adapters", "paper"):
            _insert_adapter(layer, adapter_width, gates)
    trained = trainable(model_layers)
    if method != "frozen" and not trained:
        raise UserError(
            f"the adaptation {method!r} trains nothing: name at least one layer, and "
            "one target for LoRA"
        )
    train_only_adapted(model_layers, model_layers.training)
    return trained


def _insert_lora(layer: nn.Module, targets: Sequence[str], *options) -> None:
    """Wrap a layer's linear modules of these names."""
    linear = {n: m for n, m in layer.named_modules() if isinstance(m, nn.Linear)}
    for target in targets:
        names = [n for n in linear if f".{n}".endswith(f".{target}")]
        if not names:
            raise UserError(
                f"no linear module {target!r} for LoRA: a layer has {', '.join(linear)}"
            )
        for name in names:
            parent, _, child = name.rpartition(".")
            wrapped = LoRALinear(linear[name], *options)
            setattr(layer.get_submodule(parent), child, wrapped)


def _insert_adapter(layer: nn.Module, width: int, gate: bool) -> None:
    """Put an adapter after a layer's feed-forward block."""
    name = next((n for n in FEED_FORWARD if hasattr(layer, n)), None)
    if name is None:
        raise UserError(
            f"no place for an adapter: {type(layer).__name__} has none of "
            f"{', '.join(FEED_FORWARD)}, but {', '.join(dict(layer.named_children()))}"
        )
    norm = layer.final_layer_norm
    adapter = Adapter(norm.normalized_shape[0], width, gate).to(norm.weight)
    parts = OrderedDict(block=getattr(layer, name), adapter=adapter)
    setattr(layer, name, nn.Sequential(parts))


def train_only_adapted(root: nn.Module, mode: bool = True) -> None:
    """Set the mode of all modules, but keep frozen ones in evaluation mode.

    A module is in training mode if all its parameters train; one without parameters
    follows its parent. So frozen layers drop nothing, while LoRA's dropout works, and
    so does that of fully trained layers. Call this from the ``train`` of ``root``.

    Example
    -------
    >>> root = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Dropout())
    >>> root.append(nn.Linear(2, 2))[1].training
    True
    >>> train_only_adapted(root)
    >>> [module.training for module in root]
    [False, False, True]
    """

    def visit(module: nn.Module, inherited: bool) -> None:
        trains = [parameter.requires_grad for parameter in module.parameters()]
        module.training = mode and all(trains) if trains else inherited
        for child in module.children():
            visit(child, module.training)

    visit(root, mode)


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """What trains, by name; gates end in ``.gate``, names of LoRA hold ``.branch.``."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def load_trained(
    module: nn.Module,
    expected: Mapping[str, torch.Tensor],
    state: Mapping[str, torch.Tensor],
) -> None:
    """Load the trained part of a module adapted with the same options, strictly.

    ``expected`` is what trains in it (see ``trainable``), ``state`` what was saved:
    UserError if a name is missing or unexpected, or a shape differs.
    """
    problems = {
        "missing": expected.keys() - state.keys(),
        "unexpected": state.keys() - expected.keys(),
        "of another shape": {
            name
            for name in expected.keys() & state.keys()
            if expected[name].shape != state[name].shape
        },
    }
    found = [
        f"{len(names)} {kind} ({min(names)} …)"
        for kind, names in problems.items()
        if names
    ]
    if found:
        raise UserError(
            f"the checkpoint does not fit the encoder's adaptation: {'; '.join(found)}:"
            " use the adaptation options it was trained with"
        )
    module.load_state_dict(state, strict=False)


def merge(module: nn.Module) -> nn.Module:
    """Fold all LoRA in a module into plain linear layers, in place; adapters stay.

    Example
    -------
    >>> merge(nn.Sequential(LoRALinear(nn.Linear(2, 3))))
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
    )
    """
    for name, child in module.named_children():
        if isinstance(child, LoRALinear):
            setattr(module, name, child.merge())
        else:
            merge(child)
    return module
