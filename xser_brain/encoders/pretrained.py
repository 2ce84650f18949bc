"""Pretrained speech encoders of the Hugging Face family: wav2vec 2.0's, and Whisper."""

import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub.constants import ENDPOINT
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.utils import logging as transformers_logging

from data_prep.audio import SAMPLE_RATE
from data_prep.errors import UserError
from xser_brain.encoders import Encoder, frame_mask, masked_mean
from xser_brain.encoders.adapters import adapt, train_only_adapted
from xser_brain.encoders.health import check_source

logger = logging.getLogger(__name__)

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
    """Load a model and what it says about its input.

    Arguments
    ---------
    source : str
        A local folder, or a name on the Hugging Face hub.

    Returns
    -------
    transformers.PreTrainedModel, transformers.FeatureExtractionMixin or None

    Raises
    ------
    UserError
        If there is no such model, or it cannot be reached.
    """
    # It reports, as if amiss, the decoder's weights that an encoder does not have.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    known_only = not Path(source).is_dir() and not _hub_answers()
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=known_only)
        # LayerDrop would skip layers at random, differently on every process.
        for name in ("layerdrop", "encoder_layerdrop"):
            if hasattr(config, name):
                setattr(config, name, 0.0)
        model = AutoModel.from_pretrained(
            source, config=config, dtype=torch.float32, local_files_only=known_only
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        if known_only:
            reason = f"{ENDPOINT} does not answer, and its cache has no such model"
        raise UserError(
            f"cannot load the encoder {source!r} ({reason}): pass --encoder_source="
            "a hub name that can be reached, or a folder with config.json and weights "
            f"(where there is a network: `hf download {source} --local-dir DIR`)"
        ) from error
    try:
        extractor = AutoFeatureExtractor.from_pretrained(
            source, local_files_only=known_only
        )
    except (OSError, ValueError):
        extractor = None
    return model, extractor


class PretrainedEncoder(Encoder):
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
        ``all``: hand out every layer, to be weighted; ``last``: only the last, as
        the paper does. By default all if frozen, else the last.
    lora_rank, lora_alpha, lora_targets, lora_dropout
        See ``xser_brain.encoders.adapters.adapt``.
    adapter_width : int
        Width of the adapters' bottleneck.
    adapted_layers : list of int, optional
        Which transformer layers adapt, counted from 0; by default all.
    group_padding : float, optional
        A batch is run in groups of like length, so that at most this share of a
        group is padding. By default 0 on CPU, where it is fastest, and 1 (the whole
        batch at once) on other devices.

    Raises
    ------
    UserError
        If the model cannot be loaded, is of a family that is not known here, or
        cannot be adapted as asked.
    """

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
    ):
        super().__init__()
        self.source, self.adaptation = str(source), adaptation
        model, extractor = load(self.source)
        config = model.config
        for warning in check_source(config):
            logger.warning(warning)
        if config.model_type == "whisper":
            self.core = _Whisper(model.encoder, extractor)
        elif hasattr(model, "feature_extractor") and hasattr(model, "encoder"):
            self.core = _Wav2Vec2(model, extractor)
        else:
            raise UserError(
                f"{source} is a {config.model_type} model, no speech encoder known here: "
                "use one of the wav2vec 2.0, HuBERT, WavLM, data2vec or Whisper families"
            )
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
        self.frozen = not trained
        use_layers = use_layers or ("all" if self.frozen else "last")
        if use_layers not in ("all", "last"):
            raise UserError(f"unknown use_layers {use_layers!r}: use all or last")
        self.last_only = use_layers == "last"
        self.prefix_layers = self._frozen_layers()
        self.width = config.hidden_size
        self.layers = 1 if self.last_only else len(self.core.transformer_layers) + 1
        self.frame_rate = SAMPLE_RATE / self.core.stride
        self.group_padding = group_padding
        facts = [config, *filter(None, [extractor])]
        self.settings = use_layers + "".join(fact.to_json_string() for fact in facts)
        self.train(self.training)

    def train(self, mode: bool = True):
        """Keep what is frozen in evaluation mode: it drops nothing."""
        train_only_adapted(self, mode)
        return self

    def _frozen_layers(self) -> int:
        """How many of the lowest layers may be left to ``prefix``."""
        # WavLM's first layer makes a position bias for all others, and to hand out
        # every layer each of them must run.
        if self.core.shares_bias or not self.last_only:
            return 0
        layers = self.core.transformer_layers
        adapted = (any(p.requires_grad for p in layer.parameters()) for layer in layers)
        return next((i for i, trains in enumerate(adapted) if trains), len(layers))

    @torch.no_grad()
    def prefix(self, waveform: torch.Tensor) -> torch.Tensor:
        """Run what is frozen at the bottom: the input of layer ``prefix_layers``.

        Arguments
        ---------
        waveform : (samples,) torch.Tensor
            16 kHz mono, one utterance.

        Returns
        -------
        (frames, width) torch.Tensor
            For ``forward``, instead of the waveform.
        """
        local = self.core.local(waveform)
        counts = torch.tensor([len(local)], device=local.device)
        hidden = self.core.embed(local[None], counts)
        return self.core.through(hidden, counts, stop=self.prefix_layers)[-1][0]

    def prefix_tensors(self) -> dict[str, torch.Tensor]:
        """All weights and constants that ``prefix`` may depend on.

        Returns
        -------
        dict of str to torch.Tensor
        """
        upper = self.core.transformer_layers[self.prefix_layers :]
        above = {id(tensor) for tensor in [*upper.parameters(), *upper.buffers()]}
        named = [*self.named_parameters(), *self.named_buffers()]
        return {name: tensor for name, tensor in named if id(tensor) not in above}

    def _hidden(
        self, inputs: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The layers handed out, each (batch, frames, width), and frame counts."""
        start = 0
        if inputs.ndim == 3:  # from prefix
            hidden, counts, start = inputs, lengths, self.prefix_layers
        else:
            with torch.no_grad():
                local = [
                    self.core.local(waveform[:length])
                    for waveform, length in zip(inputs, lengths.tolist(), strict=True)
                ]
                counts = torch.tensor(
                    [len(item) for item in local], device=lengths.device
                )
                padded = pad_sequence(local, batch_first=True)
                hidden = self.core.embed(padded, counts)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            layers = self.core.through(hidden, counts, start)
            layers[-1] = self.core.finish(layers[-1])
        return (layers[-1:] if self.last_only else layers), counts

    def frames(self, waveforms, lengths):
        """See ``Encoder.frames``; the first of all layers is the transformer's input."""
        layers, counts = self._hidden(waveforms, lengths)
        return torch.stack(layers, dim=1), counts

    def forward(self, inputs, lengths):
        """See ``Encoder.forward``; also takes what ``prefix`` gave.

        Arguments
        ---------
        inputs : (batch, samples) or (batch, frames, width) torch.Tensor
            Waveforms, or prefixes, padded at the end.
        lengths : (batch,) torch.Tensor
            Samples, or frames, of each utterance.

        Returns
        -------
        (batch, layers, width) torch.Tensor
        """
        allowed = self.group_padding
        if allowed is None:
            allowed = 0.0 if inputs.device.type == "cpu" else 1.0
        groups = like_lengths(lengths.tolist(), allowed)
        pooled = []
        for group in groups:
            longest = int(lengths[group].max())
            layers, counts = self._hidden(inputs[group, :longest], lengths[group])
            pooled.append(torch.stack([masked_mean(x, counts) for x in layers], 1))
        order = torch.tensor([index for group in groups for index in group])
        return torch.cat(pooled)[order.argsort()]


def like_lengths(lengths: Sequence[int], padding: float) -> list[list[int]]:
    """Group utterances so that little of a group is padding.

    Arguments
    ---------
    lengths : sequence of int
        Length of each utterance.
    padding : float
        The largest share of a group that may be padding.

    Returns
    -------
    list of list of int
        Indices of ``lengths``, from the longest on.

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


class _Core(nn.Module):
    """A family: local features, the transformer's input, its layers, its last norm.

    Only the layers may adapt; the rest is frozen and drops nothing.
    """

    transformer_layers: nn.ModuleList
    shares_bias = False  # a position bias goes from layer to layer

    def local(self, waveform: torch.Tensor) -> torch.Tensor:
        """(samples,) to (frames, channels)."""
        raise NotImplementedError

    def embed(self, hidden: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """(batch, frames, channels) to (batch, frames, width)."""
        raise NotImplementedError

    def mask(self, counts: torch.Tensor, frames: int) -> torch.Tensor:
        """What the layers take as their attention mask."""
        mask = frame_mask(counts, frames)[:, None, None]
        return mask.expand(-1, -1, frames, -1)

    def through(
        self,
        hidden: torch.Tensor,
        counts: torch.Tensor,
        start: int = 0,
        stop: int | None = None,
    ) -> list[torch.Tensor]:
        """The inputs of layers start to stop, the output of the last one among them."""
        frames = hidden.shape[1]
        whole = bool((counts == frames).all())
        mask = None if whole else self.mask(counts, frames)
        outputs, shared = [hidden], {}
        for layer in self.transformer_layers[start:stop]:
            output = layer(outputs[-1], attention_mask=mask, **shared)
            if self.shares_bias:
                shared = {"position_bias": output[1]}
            outputs.append(output[0] if isinstance(output, tuple) else output)
        return outputs

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """What follows the last layer."""
        return hidden


class _Wav2Vec2(_Core):
    """wav2vec 2.0, HuBERT, WavLM, XLS-R, data2vec."""

    def __init__(self, model: nn.Module, extractor: object | None):
        super().__init__()
        self.model = model
        self.shares_bias = model.config.model_type == "wavlm"
        self.norm_last = getattr(model.config, "do_stable_layer_norm", False)
        if model.config.model_type == "data2vec-audio":
            # Its position embedding is a stack of convolutions, each of which would
            # look one step further into the padding.
            model.encoder.pos_conv_embed = _Unpadded(model.encoder.pos_conv_embed)
        # Else transformers asks for the gradient of the waveform in training.
        model.feature_extractor._requires_grad = False
        self.normalise = getattr(extractor, "do_normalize", True)
        self.stride = model.config.inputs_to_logits_ratio
        self.transformer_layers = model.encoder.layers
        self.shortest = _receptive_field(model.config)

    def local(self, waveform: torch.Tensor) -> torch.Tensor:
        """(samples,) to (frames, channels)."""
        if self.normalise:
            variance, mean = torch.var_mean(waveform, correction=0)
            waveform = (waveform - mean) / torch.sqrt(variance + 1e-7)
        if len(waveform) < self.shortest:
            waveform = nn.functional.pad(waveform, (0, self.shortest - len(waveform)))
        features = self.model.feature_extractor(waveform[None])
        return features[0].transpose(0, 1)

    def embed(self, hidden: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """(batch, frames, channels) to (batch, frames, width)."""
        encoder = self.model.encoder
        hidden = self.model.feature_projection(hidden)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        inside = frame_mask(counts, hidden.shape[1])
        hidden = hidden.masked_fill(~inside[..., None], 0.0)
        if isinstance(encoder.pos_conv_embed, _Unpadded):
            encoder.pos_conv_embed.counts = counts
        hidden = hidden + encoder.pos_conv_embed(hidden)
        return hidden if self.norm_last else encoder.layer_norm(hidden)

    def mask(self, counts: torch.Tensor, frames: int) -> torch.Tensor:
        """WavLM's layers take (batch, frames)."""
        if self.shares_bias:
            return frame_mask(counts, frames)
        return super().mask(counts, frames)

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """The norm that ends a stack of pre-norm layers."""
        return self.model.encoder.layer_norm(hidden) if self.norm_last else hidden


class _Unpadded(nn.Module):
    """Run a module on each utterance of a padded batch by itself."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self.counts: torch.Tensor | None = None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(batch, frames, width) to the same shape."""
        parts = [
            self.module(sequence[None, :count])[0]
            for sequence, count in zip(hidden, self.counts.tolist(), strict=True)
        ]
        return pad_sequence(parts, batch_first=True)


def _receptive_field(config) -> int:
    """Samples that one frame of the convolutional front end needs."""
    samples = 1
    for kernel, stride in zip(
        reversed(config.conv_kernel), reversed(config.conv_stride), strict=True
    ):
        samples = (samples - 1) * stride + kernel
    return samples


class _Whisper(_Core):
    """Whisper's encoder, on utterances of their own length instead of 30 s windows."""

    def __init__(self, encoder: nn.Module, extractor):
        super().__init__()
        if extractor is None:
            raise UserError(
                "a Whisper encoder needs its preprocessor_config.json: put it beside "
                "config.json"
            )
        self.encoder = encoder
        self.transformer_layers = encoder.layers
        self.n_fft, self.hop = extractor.n_fft, extractor.hop_length
        self.stride = 2 * self.hop
        self.longest = encoder.config.max_source_positions * self.stride
        filters = torch.tensor(extractor.mel_filters, dtype=torch.float32).T
        self.register_buffer("mel_filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    def log_mel(self, waveform: torch.Tensor) -> torch.Tensor:
        """(samples,) to (mels, frames), floored 8 below the utterance's own maximum."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(), self.n_fft, self.hop, window=self.window,
                return_complex=True,
            )  # fmt: skip
            power = spectrum[:, :-1].abs() ** 2
            mel = (self.mel_filters @ power).clamp(min=1e-10).log10()
            return (torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0

    def local(self, waveform: torch.Tensor) -> torch.Tensor:
        """(samples,) to (frames, width); what is longer than 30 s is cut."""
        waveform = waveform[: self.longest]
        if len(waveform) < self.n_fft:  # torch.stft mirrors half a window at each end
            waveform = nn.functional.pad(waveform, (0, self.n_fft - len(waveform)))
        hidden = nn.functional.gelu(self.encoder.conv1(self.log_mel(waveform)[None]))
        hidden = nn.functional.gelu(self.encoder.conv2(hidden))
        hidden = hidden[0].transpose(0, 1)
        return hidden + self.encoder.embed_positions.weight[: len(hidden)]

    def embed(self, hidden: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """``local`` gives the transformer's input."""
        return hidden

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """The norm that ends a stack of pre-norm layers."""
        return self.encoder.layer_norm(hidden)
