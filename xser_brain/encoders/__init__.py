"""Encoders: waveforms in, frame sequences and pooled utterance vectors out."""

from xser_brain.encoders.base import Encoder
from xser_brain.encoders.families import find
from xser_brain.encoders.pooling import frame_mask, masked_mean

__all__ = ["Encoder", "find", "frame_mask", "masked_mean"]
