"""Audio files: what their headers say, whether they decode, and 16 kHz mono samples."""

import math
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

SAMPLE_RATE = 16000
# Shorter than one analysis window of 25 ms there is nothing to recognise.
SHORTEST = 0.025
# Sizes that encoders write when they do not know the length beforehand.
STREAMED = 0x7FFFF000


class AudioError(Exception):
    """A file that cannot be used; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says: seconds, Hz, number of channels."""

    duration: float
    sample_rate: int
    channels: int


def probe(path: str) -> Header:
    """Read a header; decode nothing.

    Arguments
    ---------
    path : str
        The audio file.

    Returns
    -------
    Header

    Raises
    ------
    AudioError
        If the file is missing, empty, no audio, or shorter than it says.
    """
    try:
        size = os.stat(path).st_size
    except OSError as error:
        raise AudioError(f"cannot be read: {error.strerror}") from error
    if size == 0:
        raise AudioError("empty file")
    try:
        info = soundfile.info(os.fsencode(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError("not an audio file that can be read") from error
    missing = _missing_bytes(path, size)
    if missing:
        raise AudioError(f"truncated: {missing} of {size + missing} bytes are missing")
    duration = info.frames / info.samplerate
    if duration < SHORTEST:
        raise AudioError(f"no speech in it: {duration:.3f} s long")
    return Header(duration, info.samplerate, info.channels)


def _missing_bytes(path: str, size: int) -> int:
    """How many bytes a RIFF header promises beyond the file's end."""
    with open(path, "rb") as stream:
        head = stream.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0
    promised = struct.unpack("<I", head[4:8])[0] + 8
    # A last chunk of odd length is often left unpadded: a byte does not count.
    return promised - size if size + 1 < promised < STREAMED else 0


def load(path: str, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Decode a file to mono at the given rate.

    Channels are averaged; other rates are resampled (soxr, high quality).

    Arguments
    ---------
    path : str
        The audio file.
    sample_rate : int
        Hz.

    Returns
    -------
    (samples,) float32 numpy.ndarray

    Raises
    ------
    AudioError
        If the file does not decode or holds values that are no numbers.
    """
    try:
        samples, rate = soundfile.read(
            os.fsencode(path), dtype="float32", always_2d=True
        )
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"does not decode: {error}") from error
    samples = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if not np.isfinite(samples).all():
        raise AudioError("holds NaN or infinite samples")
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate)
    return samples


def check(path: str) -> Header:
    """Probe a file and decode all of it.

    Arguments
    ---------
    path : str
        The audio file.

    Returns
    -------
    Header

    Raises
    ------
    AudioError
        As ``probe`` and ``load``, and if the file is silent or stops early.
    """
    header = probe(path)
    samples = load(path, header.sample_rate)
    if len(samples) < math.floor(header.duration * header.sample_rate):
        raise AudioError(f"stops after {len(samples) / header.sample_rate:.2f} s")
    if np.ptp(samples) == 0:
        raise AudioError("silent")
    return header


def for_all(
    function: Callable[[str], Header], paths: Sequence[str], title: str
) -> list[Header | AudioError]:
    """Probe or check many files on all cores, with a progress bar.

    libsndfile works outside the interpreter's lock, so threads are enough.

    Arguments
    ---------
    function : callable
        ``probe`` or ``check``.
    paths : sequence of str
        The files.
    title : str
        Shown beside the bar.

    Returns
    -------
    list
        A Header, or the AudioError, for each path.
    """

    def attempt(path: str) -> Header | AudioError:
        try:
            return function(path)
        except AudioError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(attempt, paths)
        return list(tqdm(results, title, len(paths), unit="file", leave=False))
