"""ECAPA-TDNN on log-mel filterbanks, trained from scratch."""

import torch
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Conv1d, TDNNBlock
from torch import nn

from data_prep.audio import SAMPLE_RATE
from xser_brain.checks import whole
from xser_brain.encoders.base import Encoder
from xser_brain.encoders.pooling import frame_mask, masked_mean

HOP = 10  # milliseconds


class ECAPAEncoder(Encoder, family="ecapa"):
    """ECAPA-TDNN (Desplanques et al., Interspeech 2020) over SpeechBrain's layers.

    Log-mel filterbanks are centred per utterance. SpeechBrain's convolutions mirror
    the last frames at the end of the padded batch, so that an utterance's
    vector depends on how far it was padded; here they see zeros beyond the
    utterance, alone or in a batch. The vector is that of the attentive
    statistics pooling, not a mean over frames.

    Arguments
    ---------
    width : int
        Size of the utterance vector.
    n_mels : int
        Mel bands.
    channels : int
        Channels of the blocks; the aggregation layer has three times as many.
    attention_channels : int
        Channels of the pooling's attention.
    dropout : float
        Rate of channel dropout.

    Example
    -------
    >>> encoder = ECAPAEncoder(width=16, n_mels=20, channels=16)
    >>> encoder(torch.rand(2, 16000), torch.tensor([16000, 8000])).shape
    torch.Size([2, 1, 16])
    """

    frame_rate = 1000 / HOP
    title = "ECAPA-TDNN, trained from scratch"
    rules = {
        "options": {
            "width": whole(1, 2**14),
            "n_mels": whole(1, 2**10),
            "channels": whole(1, 2**14),
            "attention_channels": whole(1, 2**14),
        }
    }

    def __init__(
        self,
        width: int = 192,
        n_mels: int = 80,
        channels: int = 512,
        attention_channels: int = 128,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.width = width
        self._frame_width = 3 * channels
        # It holds no weights; on the meta device, torch would import its compiler for it.
        with torch.device("cpu"):
            self.features = Fbank(
                sample_rate=SAMPLE_RATE, n_mels=n_mels, hop_length=HOP
            )
        self.network = ECAPA_TDNN(
            n_mels,
            channels=[channels] * 4 + [3 * channels],
            attention_channels=attention_channels,
            se_channels=attention_channels,
            lin_neurons=width,
            dropout=dropout,
        )
        self._mask = None
        for module in self.network.modules():
            if isinstance(module, Conv1d):
                module.padding_mode = "constant"
                module.register_forward_pre_hook(self._zero_padding)

    def _zero_padding(self, module, inputs):
        sequence = inputs[0]  # (batch, channels, frames), or one frame in a summary
        if sequence.shape[-1] == self._mask.shape[-1]:
            return (sequence * self._mask, *inputs[1:])
        return None

    def _log_mel(
        self, waveforms: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Filterbanks centred per utterance, and frame counts."""
        with torch.autocast(waveforms.device.type, enabled=False):
            features = self.features(waveforms.float())  # (batch, frames, n_mels)
        counts = 1 + lengths // (SAMPLE_RATE * HOP // 1000)
        return features - masked_mean(features, counts)[:, None], counts

    def frames(self, waveforms, lengths):
        """See ``Encoder.frames``: the output of the aggregation layer."""
        features, counts = self._log_mel(waveforms, lengths)
        total = features.shape[1]
        self._mask = frame_mask(counts, total)[:, None]  # (batch, 1, frames)
        relative = self._relative(counts, total)
        hidden, outputs = features.transpose(1, 2), []
        for block in self.network.blocks:
            given = () if isinstance(block, TDNNBlock) else (relative,)
            hidden = block(hidden, *given)
            outputs.append(hidden)
        hidden = self.network.mfa(torch.cat(outputs[1:], dim=1))
        return hidden.transpose(1, 2)[:, None], counts

    def forward(self, waveforms, lengths):
        """See ``Encoder.forward``: pooled by attentive statistics."""
        return self.with_frames(waveforms, lengths)[0]

    def with_frames(self, waveforms, lengths):
        """See ``Encoder.with_frames``."""
        frames, counts = self.frames(waveforms, lengths)
        frames = frames[:, 0]
        sequence = frames.transpose(1, 2)
        relative = self._relative(counts, sequence.shape[-1])
        pooled = self.network.asp(sequence, lengths=relative)
        vectors = self.network.fc(self.network.asp_bn(pooled)).transpose(1, 2)
        return vectors, frames, counts

    @property
    def frame_width(self):
        """See ``Encoder.frame_width``: channels of the aggregation layer."""
        return self._frame_width

    def describe(self):
        """See ``Encoder.describe``; dropout has no effect on a trained encoder."""
        description = super().describe()
        description["options"].pop("dropout", None)
        return description

    def graph(self):
        """See ``Encoder.graph``."""
        return _Graph(self)

    @staticmethod
    def _relative(counts: torch.Tensor, total: int) -> torch.Tensor:
        # Half a frame less: SpeechBrain rounds relative lengths up to whole frames,
        # and rounding noise must not add one.
        return (counts - 0.5) / total


class _Graph(nn.Module):
    """ECAPA without masks: utterances of one length have no padding."""

    def __init__(self, encoder: ECAPAEncoder):
        super().__init__()
        self.encoder = encoder
        for module in encoder.network.modules():
            module._forward_pre_hooks.clear()  # they mask the padding

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        network = self.encoder.network
        features = self.encoder.features(samples)
        features = features - features.mean(1, keepdim=True)
        hidden, outputs = features.transpose(1, 2), []
        for block in network.blocks:
            hidden = block(hidden)
            outputs.append(hidden)
        pooled = self._pooled(network.mfa(torch.cat(outputs[1:], dim=1)))
        return network.fc(network.asp_bn(pooled)).transpose(1, 2)

    def _pooled(self, hidden: torch.Tensor) -> torch.Tensor:
        """SpeechBrain's attentive statistics; its mask would fix the size of batches."""
        pooling = self.encoder.network.asp

        def statistics(shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean = (shares * hidden).sum(2, keepdim=True)
            variance = (shares * (hidden - mean) ** 2).sum(2, keepdim=True)
            return mean, variance.clamp(pooling.eps).sqrt()

        equal = torch.ones_like(hidden) / hidden.shape[2]
        context = [part.expand_as(hidden) for part in statistics(equal)]
        attention = pooling.tanh(pooling.tdnn(torch.cat([hidden, *context], dim=1)))
        return torch.cat(statistics(pooling.conv(attention).softmax(2)), dim=1)
