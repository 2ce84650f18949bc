"""An encoder of one's own: a plain torch module on framed waveforms."""

import torch
from torch import nn

from xser_brain import Encoder

HOP = 400  # samples


class Tiny(Encoder):
    """Two linear layers on the spectrum of each 25 ms."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.width, self.frame_rate = width, 16000 / HOP
        self.network = nn.Sequential(
            nn.Linear(HOP // 2 + 1, width), nn.ReLU(), nn.Linear(width, width)
        )

    def frames(self, waveforms, lengths):
        """See ``Encoder.frames``."""
        whole = waveforms[:, : waveforms.shape[1] // HOP * HOP]
        framed = whole.unflatten(1, (-1, HOP))
        spectrum = torch.fft.rfft(framed).abs().add(1e-3).log()
        return self.network(spectrum)[:, None], (lengths // HOP).clamp(min=1)
