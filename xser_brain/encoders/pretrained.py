"""Pretrained speech encoders of the Hugging Face family: wav2vec 2.0's, and Whisper."""

import hashlib
import logging
import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub.constants import ENDPOINT
from safetensors import SafetensorError
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.utils import logging as transformers_logging

from data_prep.audio import SAMPLE_RATE
from data_prep.errors import UserError
from xser_brain import waiting
from xser_brain.checks import (
    boolean,
    many,
    number,
    one_of,
    or_none,
    sha256,
    text,
    whole,
)
from xser_brain.encoders.adapters import (
    METHODS,
    adapt,
    load_trained,
    merge,
    train_only_adapted,
    trainable,
)
from xser_brain.encoders.attention import AttentiveStatistics
from xser_brain.encoders.base import Encoder
from xser_brain.encoders.compiling import compile_layers, require_compiler
from xser_brain.encoders.cores import Wav2Vec2, Whisper
from xser_brain.encoders.health import check_source
from xser_brain.encoders.pooling import (
    POOLINGS,
    frame_mask,
    frame_weights,
    joined,
    levels,
    pooled,
)
from xser_brain.encoders.weights import (
    ADAPTED_ON,
    MODEL_TYPES,
    is_revision,
    is_source,
    locate,
)
from xser_brain.waiting import placed

logger = logging.getLogger(__name__)

IN_TRAINING_ALONE = (
    "lora_dropout",
    "group_padding",
    "gradient_checkpointing",
    "compile_encoder",
)
HUB_SECONDS = 3.0  # to wait for an answer


def _hub_answers() -> bool:
    """Whether the hub can be reached; its client would try for half a minute."""
    if getproxies():
        return True
    url = urlsplit(ENDPOINT)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname, port), HUB_SECONDS).close()
    except OSError:
        return False
    return True


def load(source: str) -> tuple[nn.Module, object | None]:
    """Load a model and its feature extractor, if it has one, from a folder or the hub.

    UserError if there is no such model, or it cannot be reached.
    """
    # It warns of the decoder's weights, which an encoder does not have.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    known_only = not Path(source).is_dir() and not _hub_answers()
    try:
        config = AutoConfig.from_pretrained(  # nosec B615 # whoever trains names it
            source, local_files_only=known_only
        )
        # LayerDrop would skip layers at random, differently on every process.
        for name in ("layerdrop", "encoder_layerdrop"):
            if hasattr(config, name):
                setattr(config, name, 0.0)
        model = AutoModel.from_pretrained(  # nosec B615 # as above
            source, config=config, dtype=torch.float32, local_files_only=known_only
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        if known_only:
            reason = f"{ENDPOINT} does not answer, and its cache has no such model"
        raise UserError(
            f"cannot load the encoder {source!r} ({reason}): pass --encoder_source="
            "a hub name that can be reached, or a folder with config.json and weights "
            f"(where there is a network: `hf download {source} --local-dir DIR`)"
        ) from error
    try:
        extractor = AutoFeatureExtractor.from_pretrained(  # nosec B615 # as above
            source, local_files_only=known_only
        )
    except (OSError, ValueError):
        extractor = None
    return model, extractor


def _adapted_on(config: object, source: str) -> tuple[str, ...]:
    """The corpora to which an encoder was adapted before, as its configuration says."""
    corpora = getattr(config, ADAPTED_ON, [])
    if not many(text(r"[\w.-]{1,100}"), 1000)(corpora):
        raise UserError(
            f"{source}: {ADAPTED_ON} of its config.json is no list of corpora: write the "
            "encoder again (xser export RUN --format=encoder)"
        )
    return tuple(corpora)


class PretrainedEncoder(Encoder, family="pretrained"):
    """An encoder whose output for an utterance does not depend on its batch.

    SpeechBrain's lobes normalise over the padding, and the first group norm of
    wav2vec 2.0 Base and Whisper's log-mel floor look at all of it. Here what comes
    before the transformer runs on each utterance unpadded, and the transformer
    under a mask.

    What comes before the transformer is always frozen, and nothing is propagated
    back into it. ``prefix`` gives the output of all that is frozen below the first
    layer that adapts, which need be computed only once for an utterance.

    Arguments
    ---------
    source : str
        A local folder, or a name on the Hugging Face hub.
    adaptation : str
        ``frozen``, ``lora``, ``adapters``, ``paper`` (both, gated; section 2.1) or
        ``full`` (all transformer layers).
    use_layers : str, optional
        ``all``: return every layer, to be weighted; ``last``: only the last, as
        the paper does. By default all if frozen, else the last.
    lora_rank, lora_alpha, lora_targets, lora_dropout
        See ``xser_brain.encoders.adapters.adapt``.
    adapter_width : int
        Width of the adapters' bottleneck.
    adapted_layers : list of int, optional
        Which transformer layers adapt, counted from 0; by default all.
    group_padding : float, optional
        A batch is run in groups of similar length, so that at most this share of a
        group is padding. By default 0 on CPU, where it is fastest, and 1 (the whole
        batch at once) on other devices.
    gradient_checkpointing : bool
        Whether only the inputs of transformer layers are kept in training, each of which
        is then run again for its gradient: the same, in less memory and more time.
    compile_encoder : bool
        Whether ``torch.compile`` takes the layers from the first that adapts on. What
        comes out differs by rounding, and dropout draws other numbers.
    pooling : str
        See ``Encoder``. ``attentive`` trains even where no layer adapts; then ``prefix``
        gives the frames themselves.

    Raises
    ------
    UserError
        If the model cannot be loaded, is of an unknown family, or
        cannot be adapted as asked.
    """

    reads_lengths = True
    rules = {
        "options": {
            "adaptation": one_of(*METHODS),
            "use_layers": one_of("all", "last"),
            "lora_rank": whole(1, 1024),
            "lora_alpha": number(0, 1e6),
            "lora_targets": many(text(r"[\w.]{1,64}"), 16),
            "adapter_width": whole(1, 4096),
            "adapted_layers": or_none(many(whole(0, 100), 101)),
            "pooling": one_of(*POOLINGS),
        },
        "model_type": one_of(*MODEL_TYPES),
        "source": is_source,
        "revision": or_none(is_revision),
        "sha256": sha256,
        "sha256_half": or_none(sha256),
        "input": {
            "normalise": or_none(boolean),
            "n_fft": or_none(whole(1, 2**14)),
            "hop": or_none(whole(1, 2**14)),
            "mels": or_none(whole(1, 2**10)),
        },
        "included": boolean,
    }

    def __init__(
        self,
        source: str,
        adaptation: str = "frozen",
        use_layers: str | None = None,
        lora_rank: int = 8,
        lora_alpha: float = 16.0,
        lora_targets: Sequence[str] = ("q_proj", "v_proj"),
        lora_dropout: float = 0.0,
        adapter_width: int = 64,
        adapted_layers: Sequence[int] | None = None,
        group_padding: float | None = None,
        gradient_checkpointing: bool = False,
        compile_encoder: bool = False,
        pooling: str = "mean",
    ):
        super().__init__()
        if pooling not in POOLINGS:
            raise UserError(f"unknown pooling {pooling!r}: use {', '.join(POOLINGS)}")
        switches = {
            "gradient_checkpointing": gradient_checkpointing,
            "compile_encoder": compile_encoder,
        }
        for name, value in switches.items():
            if not isinstance(value, bool):
                raise UserError(f"{name} is {value!r}: use True or False")
        self.pooling = pooling
        self.source, self.adaptation = str(source), adaptation
        model, extractor = load(self.source)
        config = model.config
        for warning in check_source(config):
            logger.warning(warning)
        if config.model_type == "whisper":
            self.core = Whisper(model.encoder, extractor)
        elif hasattr(model, "feature_extractor") and hasattr(model, "encoder"):
            self.core = Wav2Vec2(model, extractor)
        else:
            raise UserError(
                f"{source} is a {config.model_type} model, not a known speech encoder: "
                "use one of the wav2vec 2.0, HuBERT, WavLM, data2vec or Whisper families"
            )
        self.adapted_on = _adapted_on(config, self.source)
        self.requires_grad_(False)
        trained = adapt(
            self.core.transformer_layers,
            adaptation,
            rank=lora_rank,
            alpha=lora_alpha,
            targets=lora_targets,
            dropout=lora_dropout,
            adapter_width=adapter_width,
            layers=adapted_layers,
        )
        self._adapts = bool(trained)
        self.frozen = not (self._adapts or self.learns_pooling)
        use_layers = use_layers or ("last" if self._adapts else "all")
        if use_layers not in ("all", "last"):
            raise UserError(f"unknown use_layers {use_layers!r}: use all or last")
        self.last_only = use_layers == "last"
        self.layers = 1 if self.last_only else len(self.core.transformer_layers) + 1
        self._frame_width = self.width = config.hidden_size
        self.attention = None
        if self.learns_pooling:
            pools = (AttentiveStatistics(self.width) for _ in range(self.layers))
            self.attention = nn.ModuleList(pools)
            self.width *= 2  # mean and standard deviation
        # By name: a caller may freeze the whole encoder.
        self._trained = tuple(trainable(self))
        self.prefix_layers = self._frozen_layers()
        self.frame_rate = SAMPLE_RATE / self.core.stride
        self.group_padding = group_padding
        self.core.checkpointed = gradient_checkpointing
        self._to_try = compile_encoder
        if compile_encoder:
            compile_layers(self.core.transformer_layers[self.prefix_layers :])
        facts = [config, *filter(None, [extractor])]
        self.settings = use_layers + "".join(fact.to_json_string() for fact in facts)
        if pooling != "mean":
            self.settings += pooling
        self.train(self.training)

    def train(self, mode: bool = True):
        """Keep what is frozen in evaluation mode: it drops nothing."""
        train_only_adapted(self, mode)
        return self

    def trained_state(self):
        """See ``Encoder.trained_state``: what adapts, without the pretrained weights."""
        return {name: self.get_parameter(name).detach() for name in self._trained}

    def load_trained_state(self, state):
        """See ``Encoder.load_trained_state``."""
        load_trained(self, self.trained_state(), state)

    def describe(self):
        """See ``Encoder.describe``; what matters in training alone is left out."""
        options = super().describe()["options"]
        for name in ("source", *IN_TRAINING_ALONE):
            options.pop(name, None)
        options["use_layers"] = "last" if self.last_only else "all"
        if self.pooling == "mean":  # so that earlier versions read it
            del options["pooling"]
        local = Path(self.source).is_dir()
        revision = getattr(self.core.config, "_commit_hash", None)
        return {
            "family": self.family,
            "options": options,
            "model_type": self.core.config.model_type,
            "source": str(Path(self.source).resolve()) if local else self.source,
            "revision": None if local else revision,
            "sha256": self.pretrained_sha256(),
            "input": self.core.input_facts(),
            "included": False,
        }

    @classmethod
    def check_description(cls, description, where):
        """See ``Encoder.check_description``; one without a pooling takes the mean.

        ``sha256_half`` may name the weights as they are in half precision: then those
        that are the same but for it will do.
        """
        options = description.get("options")
        if isinstance(options, dict):
            description = {
                "sha256_half": None,
                **description,
                "options": {"pooling": "mean", **options},
            }
        super().check_description(description, where)

    def pretrained_sha256(self, half: bool = False) -> str:
        """Hash what was not trained, whatever file and names it came under.

        ``half``: as it is in half precision.
        """
        digests = []
        for name, parameter in self.named_parameters():
            if name not in self._trained:
                array = parameter.detach().cpu()
                array = (array.half() if half else array).float().contiguous()
                digest = hashlib.sha256(repr(tuple(array.shape)).encode())
                digest.update(array.flatten().view(torch.uint8).numpy().data)
                digests.append(digest.digest())
        return hashlib.sha256(b"".join(sorted(digests))).hexdigest()

    @classmethod
    def expected_state(cls, description):
        """See ``Encoder.expected_state``: the pretrained weights decide on it."""
        return None

    @classmethod
    def from_description(cls, description, folder=None, source=None):
        """See ``Encoder.from_description``.

        UserError if the pretrained weights are missing, or differ from those in
        training.
        """
        where = locate(description, folder, source)
        encoder = cls(str(where), **description["options"])
        found, expected = encoder.core.input_facts(), description["input"]
        if found != expected:
            raise UserError(
                f"the encoder in {where} reads audio in another way than the one that "
                f"this model was trained with ({found}, not {expected}): its "
                "preprocessor_config.json is missing or another one"
            )
        half = description.get("sha256_half")
        if encoder.pretrained_sha256() != description["sha256"] and (
            half is None or encoder.pretrained_sha256(half=True) != half
        ):
            raise UserError(
                f"the weights in {where} are not those that this model was trained with "
                f"({description['source']}): get them, or pass --encoder_source=DIR"
            )
        return encoder

    def graph(self):
        """See ``Encoder.graph``; LoRA is merged into the weights."""
        return _Graph(self)

    def _frozen_layers(self) -> int:
        """How many of the lowest layers may be left to ``prefix``."""
        if self.frames_frozen:
            return len(self.core.transformer_layers)
        # WavLM's first layer makes a position bias for all others, and to hand out
        # every layer each of them must run.
        if self.core.shares_bias or not self.last_only:
            return 0
        layers = self.core.transformer_layers
        adapted = (any(p.requires_grad for p in layer.parameters()) for layer in layers)
        return next((i for i, trains in enumerate(adapted) if trains), len(layers))

    @torch.no_grad()
    def prefix(self, waveform: torch.Tensor) -> torch.Tensor:
        """Run the frozen part at the bottom: the input of layer ``prefix_layers``.

        (samples,) of one utterance to (frames, prefix_width), which ``forward`` takes
        instead. If no layer adapts, those that are handed out stand side by side; if
        pooling asks how loud frames are, with their levels as one more column.
        """
        local = self.core.local(waveform)
        counts = placed([len(local)], local.device)
        hidden = self.core.embed(local[None], counts)
        layers = self.core.through(hidden, None, stop=self.prefix_layers)
        hidden = torch.cat(layers[-self._in_prefix :], dim=-1)[0]
        if not self.by_level:
            return hidden
        level = levels(waveform[None], self.frame_rate, len(hidden))[0]
        return torch.cat([hidden, level[:, None]], dim=1)

    @property
    def prefix_width(self) -> int:
        """Columns of what ``prefix`` gives."""
        return self._in_prefix * self.frame_width + self.by_level

    @property
    def _in_prefix(self) -> int:
        """How many layers ``prefix`` gives."""
        return self.layers if self.frames_frozen else 1

    @property
    def frame_width(self) -> int:
        """See ``Encoder.frame_width``."""
        return self._frame_width

    @property
    def frames_frozen(self) -> bool:
        """See ``Encoder.frames_frozen``."""
        return not self._adapts

    def prefix_tensors(self) -> dict[str, torch.Tensor]:
        """All weights and constants that ``prefix`` may depend on."""
        upper = self.core.transformer_layers[self.prefix_layers :]
        above = {id(tensor) for tensor in [*upper.parameters(), *upper.buffers()]}
        if self.attention is not None:
            above |= {id(parameter) for parameter in self.attention.parameters()}
        named = [*self.named_parameters(), *self.named_buffers()]
        return {name: tensor for name, tensor in named if id(tensor) not in above}

    def _local(self, waveforms: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
        """What comes before the transformer, (frames, channels) of each utterance."""
        if waiting.at_once(waveforms.device):
            return [
                self.core.local(waveform[:length])
                for waveform, length in zip(waveforms, lengths, strict=True)
            ]
        # One by one would keep a GPU waiting for so many small kernels.
        alike = defaultdict(list)
        for index, length in enumerate(lengths):
            alike[length].append(index)
        found = {}
        for length, indices in alike.items():
            some = waveforms[placed(indices, waveforms.device), :length]
            found |= zip(indices, self.core.local(some), strict=True)
        return [found[index] for index in range(len(lengths))]

    def _hidden(
        self, inputs: torch.Tensor, lengths: list[int]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The layers handed out, each (batch, frames, width), and frame counts."""
        if self._to_try:
            require_compiler(inputs.device)
            self._to_try = False
        start, frames, below = 0, lengths, []
        if inputs.ndim == 3:  # from prefix
            columns = inputs[..., : self._in_prefix * self.frame_width]
            *below, hidden = columns.split(self.frame_width, dim=-1)
            counts, start = placed(frames, inputs.device), self.prefix_layers
        else:
            with torch.no_grad():
                local = self._local(inputs, lengths)
                frames = [len(item) for item in local]
                counts = placed(frames, inputs.device)
                padded = pad_sequence(local, batch_first=True)
                hidden = self.core.embed(padded, counts)
        padding = min(frames) < hidden.shape[1]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            above = self.core.through(hidden, counts if padding else None, start)
            layers = [*below, *above]
            layers[-1] = self.core.finish(layers[-1])
        return (layers[-1:] if self.last_only else layers), counts

    def frames(self, waveforms, lengths):
        """See ``Encoder.frames``; the first of all layers is the transformer's input."""
        layers, counts = self._hidden(waveforms, lengths.tolist())
        return torch.stack(layers, dim=1), counts

    def forward(self, inputs, lengths):
        """See ``Encoder.forward``; also takes what ``prefix`` gave.

        Arguments
        ---------
        inputs : (batch, samples) or (batch, frames, width) torch.Tensor
            Waveforms, or prefixes, padded at the end.
        lengths : (batch,) torch.Tensor
            Samples, or frames, of each utterance; best in the host's memory, where
            reading them waits for no GPU.

        Returns
        -------
        (batch, vectors, width) torch.Tensor
        """
        made = [part[:2] for part in self._in_groups(inputs, lengths)]
        groups, vectors = zip(*made, strict=True)
        vectors = torch.cat(vectors)
        return vectors[_order(groups, vectors.device)]

    def with_frames(self, inputs, lengths):
        """See ``Encoder.with_frames``; takes what ``forward`` does."""
        made = self._in_groups(inputs, lengths)
        groups, vectors, frames, counts = zip(*made, strict=True)
        order = _order(groups, inputs.device)
        return (
            torch.cat(vectors)[order],
            joined(frames)[order],
            torch.cat(counts)[order],
        )

    def _in_groups(
        self, inputs: torch.Tensor, lengths: torch.Tensor
    ) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Indices of utterances of like length, their vectors, last frames and counts."""
        allowed = self.group_padding
        if allowed is None:
            allowed = 0.0 if inputs.device.type == "cpu" else 1.0
        every = lengths.tolist()
        for group in like_lengths(every, allowed):
            held = [every[index] for index in group]
            own = inputs[placed(group, inputs.device), : max(held)]
            layers, counts = self._hidden(own, held)
            yield group, self._pooled(layers, own, counts), layers[-1], counts

    def _pooled(
        self, layers: list[torch.Tensor], inputs: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        """Vectors, of the layers and of what ``forward`` takes."""
        frames = layers[0].shape[1]
        inside = frame_mask(counts, frames)
        if self.attention is not None:
            return self.attend(layers, inside)
        level = None
        if self.by_level and inputs.ndim == 3:
            level = inputs[..., -1]
        elif self.by_level:
            level = levels(inputs, self.frame_rate, frames)
        return pooled(layers, frame_weights(self.poolings, level, inside))

    def attend(
        self, layers: Sequence[torch.Tensor], inside: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Pool each layer by its own attention: (batch, layers, width)."""
        parts = zip(self.attention, layers, strict=True)
        return torch.stack([pool(frames, inside) for pool, frames in parts], dim=1)


def _order(groups: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """The places, in joined groups, of the batch's utterances."""
    joint = [index for group in groups for index in group]
    return placed(sorted(range(len(joint)), key=joint.__getitem__), device)


def like_lengths(lengths: Sequence[int], padding: float) -> list[list[int]]:
    """Groups of indices, longest first, of which at most a share is padding.

    Example
    -------
    >>> like_lengths([50, 100, 98, 52], 0.1)
    [[1, 2], [3, 0]]
    >>> like_lengths([50, 100, 98, 52], 1.0)
    [[1, 2, 3, 0]]
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if groups:
            longest = lengths[groups[-1][0]]
            held = sum(lengths[i] for i in groups[-1]) + lengths[index]
            if 1 - held / (longest * (len(groups[-1]) + 1)) <= padding:
                groups[-1].append(index)
                continue
        groups.append([index])
    return groups


class _Graph(nn.Module):
    """A pretrained encoder without masks: utterances of one length have no padding."""

    def __init__(self, encoder: PretrainedEncoder):
        super().__init__()
        self.encoder = merge(encoder)
        encoder.core.expect_no_padding()

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        core = self.encoder.core
        hidden = core.local(samples)
        hidden = core.embed(hidden, torch.full(hidden.shape[:1], hidden.shape[1]))
        layers = core.through(hidden, None)
        layers[-1] = core.finish(layers[-1])
        chosen = layers[-1:] if self.encoder.last_only else layers
        encoder = self.encoder
        if encoder.attention is not None:
            return encoder.attend(chosen)
        vectors = [layer.mean(1) for layer in chosen]
        if encoder.by_level:
            rate, frames = encoder.frame_rate, hidden.shape[1]
            level = levels(samples, rate, frames)
            inside = torch.ones_like(level, dtype=torch.bool)
            weights = frame_weights(encoder.poolings, level, inside)
            return pooled(chosen, weights)
        return torch.stack(vectors, dim=1)
