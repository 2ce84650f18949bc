"""Encoders: waveforms in, frame sequences and pooled utterance vectors out."""

from xser_brain.encoders.base import Encoder, frame_mask, masked_mean
from xser_brain.encoders.families import find

__all__ = ["Encoder", "find", "frame_mask", "masked_mean"]
