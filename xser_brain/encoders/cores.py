"""The parts of pretrained encoders, so that an utterance does not depend on its batch.

What comes before the transformer runs on each utterance unpadded, the transformer under
a mask.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from data_prep.errors import UserError
from xser_brain.encoders.pooling import frame_mask


class Core(nn.Module):
    """A family: local features, the transformer's input, its layers, its last norm.

    Only the layers may adapt; the rest is frozen and drops nothing.
    """

    config: object  # of transformers
    transformer_layers: nn.ModuleList
    shares_bias = False  # a position bias goes from layer to layer
    checkpointed = False  # layers run twice, so that their activations need not be kept

    def local(self, waveform: torch.Tensor) -> torch.Tensor:
        """(samples,) to (frames, channels), or utterances of one length at once."""
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
        counts: torch.Tensor | None,
        start: int = 0,
        stop: int | None = None,
    ) -> list[torch.Tensor]:
        """The inputs of layers start to stop, and the output of the last of them.

        Without counts nothing is padding.
        """
        mask = None if counts is None else self.mask(counts, hidden.shape[1])
        outputs, shared = [hidden], {}
        for layer in self.transformer_layers[start:stop]:
            output = self._through(layer, outputs[-1], attention_mask=mask, **shared)
            if self.shares_bias:
                shared = {"position_bias": output[1]}
            outputs.append(output[0] if isinstance(output, tuple) else output)
        return outputs

    def _through(self, layer: nn.Module, hidden: torch.Tensor, **options):
        """One layer; with gradient checkpointing only its input is kept."""
        if self.checkpointed and torch.is_grad_enabled():
            return checkpoint(layer, hidden, use_reentrant=False, **options)
        return layer(hidden, **options)

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """What follows the last layer."""
        return hidden

    def input_facts(self) -> dict:
        """What decides on how a waveform is read, beside the weights.

        ``normalise`` of the wav2vec 2.0 families, ``n_fft``, ``hop`` and ``mels`` of
        Whisper; None where it does not apply.
        """
        filters = getattr(self, "mel_filters", None)
        return {
            "normalise": getattr(self, "normalise", None),
            "n_fft": getattr(self, "n_fft", None),
            "hop": getattr(self, "hop", None),
            "mels": None if filters is None else len(filters),
        }

    def expect_no_padding(self) -> None:
        """Take out what handles padding; see ``Encoder.graph``."""

    def pretrained_state(self) -> dict[str, torch.Tensor]:
        """The weights by the names that transformers has for them.

        To be called at the end: what handles padding is taken out.
        """
        raise NotImplementedError


class Wav2Vec2(Core):
    """wav2vec 2.0, HuBERT, WavLM, XLS-R, data2vec."""

    def __init__(self, model: nn.Module, extractor: object | None):
        super().__init__()
        self.model, self.config = model, model.config
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
        """See ``Core.local``."""
        if self.normalise:
            variance, mean = torch.var_mean(waveform, -1, correction=0, keepdim=True)
            waveform = (waveform - mean) / torch.sqrt(variance + 1e-7)
        if waveform.shape[-1] < self.shortest:
            waveform = nn.functional.pad(
                waveform, (0, self.shortest - waveform.shape[-1])
            )
        single = waveform.ndim == 1
        features = self.model.feature_extractor(waveform[None] if single else waveform)
        features = features.transpose(1, 2)
        return features[0] if single else features

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

    def expect_no_padding(self) -> None:
        """See ``Core.expect_no_padding``."""
        stack = self.model.encoder
        if isinstance(stack.pos_conv_embed, _Unpadded):
            stack.pos_conv_embed = stack.pos_conv_embed.module

    def pretrained_state(self) -> dict[str, torch.Tensor]:
        """See ``Core.pretrained_state``."""
        self.expect_no_padding()
        return self.model.state_dict()


class _Unpadded(nn.Module):
    """Run a module on each utterance of a padded batch separately."""

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


class Whisper(Core):
    """Whisper's encoder, on utterances of their own length instead of 30 s windows."""

    def __init__(self, encoder: nn.Module, extractor):
        super().__init__()
        if extractor is None:
            raise UserError(
                "a Whisper encoder needs its preprocessor_config.json: put it beside "
                "config.json"
            )
        self.encoder, self.config = encoder, encoder.config
        self.transformer_layers = encoder.layers
        self.n_fft, self.hop = extractor.n_fft, extractor.hop_length
        self.stride = 2 * self.hop
        self.longest = encoder.config.max_source_positions * self.stride
        filters = torch.tensor(extractor.mel_filters, dtype=torch.float32).T
        self.register_buffer("mel_filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    def log_mel(self, waveform: torch.Tensor) -> torch.Tensor:
        """(..., samples) to (..., mels, frames), floored 8 below each maximum."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(), self.n_fft, self.hop, window=self.window,
                return_complex=True,
            )  # fmt: skip
            power = spectrum[..., :-1].abs() ** 2
            mel = (self.mel_filters @ power).clamp(min=1e-10).log10()
            floor = mel.amax((-2, -1), keepdim=True) - 8.0
            return (torch.maximum(mel, floor) + 4.0) / 4.0

    def local(self, waveform: torch.Tensor) -> torch.Tensor:
        """See ``Core.local``; what is longer than 30 s is cut."""
        # Not by indexing, which a graph for inputs of no more than that would leave out.
        waveform = torch.ops.aten.slice(waveform, -1, 0, self.longest)
        lacking = self.n_fft - waveform.shape[-1]
        if lacking > 0:  # torch.stft mirrors half a window at each end
            waveform = nn.functional.pad(waveform, (0, lacking))
        hidden, single = self.log_mel(waveform), waveform.ndim == 1
        hidden = hidden[None] if single else hidden
        hidden = nn.functional.gelu(self.encoder.conv1(hidden))
        hidden = nn.functional.gelu(self.encoder.conv2(hidden)).transpose(1, 2)
        hidden = hidden + self.encoder.embed_positions.weight[: hidden.shape[1]]
        return hidden[0] if single else hidden

    def embed(self, hidden: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """``local`` gives the transformer's input."""
        return hidden

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """The norm that ends a stack of pre-norm layers."""
        return self.encoder.layer_norm(hidden)

    def pretrained_state(self) -> dict[str, torch.Tensor]:
        """See ``Core.pretrained_state``."""
        return {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()}
