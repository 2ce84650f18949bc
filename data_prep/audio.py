"""Audio files: what their headers say, whether they decode, and 16 kHz mono samples."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

SAMPLE_RATE = 16000
# Shorter than one analysis window of 25 ms there is nothing to recognise.
SHORTEST = 0.025
# Sizes that encoders write when they do not know the length beforehand.
STREAMED = 0x7FFFF000
AT_ONCE = 32  # files handed to a thread, which costs as much as probing one


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
    with _open(path) as (_, header):
        return header


@contextlib.contextmanager
def _open(path: str) -> Iterator[tuple[soundfile.SoundFile, Header]]:
    """Open a file once, for its first bytes and for libsndfile."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"cannot be read: {reason}") from error
    try:
        size = os.fstat(file).st_size
        if size == 0:
            raise AudioError("empty file")
        head = os.read(file, 12)
        if head == b"version http":
            raise AudioError("a pointer of Git LFS, no audio: run `git lfs pull`")
        missing = _missing_bytes(head, size)
        os.lseek(file, 0, os.SEEK_SET)
        with soundfile.SoundFile(file, closefd=False) as stream:
            if missing:
                raise AudioError(
                    f"truncated: {missing} of {size + missing} bytes are missing"
                )
            duration = stream.frames / stream.samplerate
            if duration < SHORTEST:
                raise AudioError(f"no speech in it: {duration:.3f} s long")
            yield stream, Header(duration, stream.samplerate, stream.channels)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError("not an audio file that can be read") from error
    finally:
        os.close(file)


def _missing_bytes(head: bytes, size: int) -> int:
    """How many bytes a RIFF header promises beyond the file's end."""
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0
    promised = int.from_bytes(head[4:8], "little") + 8
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
    return to_mono(samples, rate, sample_rate)


def to_mono(
    samples: np.ndarray, rate: int, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Average channels and resample (soxr, high quality).

    Arguments
    ---------
    samples : (samples, channels) float32 numpy.ndarray
        Decoded audio.
    rate, sample_rate : int
        Hz, as it is and as it shall be.

    Returns
    -------
    (samples,) float32 numpy.ndarray

    Raises
    ------
    AudioError
        If there are values that are no numbers.

    Example
    -------
    >>> to_mono(np.float32([[0.1, 0.3], [0.2, 0.4]]), 16000)
    array([0.2, 0.3], dtype=float32)
    """
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
    with _open(path) as (stream, header):
        # No conversion where there is none to do: this is what most corpora hold.
        dtype = "int16" if stream.subtype == "PCM_16" else "float32"
        try:
            samples = stream.read(dtype=dtype)
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(f"does not decode: {error}") from error
    if len(samples) < math.floor(header.duration * header.sample_rate):
        raise AudioError(f"stops after {len(samples) / header.sample_rate:.2f} s")
    if samples.ndim > 1:
        samples = samples.mean(axis=1, dtype=np.float32)
    low, high = samples.min(), samples.max()  # not a number if one sample is none
    if not math.isfinite(low) or not math.isfinite(high):
        raise AudioError("holds NaN or infinite samples")
    if low == high:
        raise AudioError("silent")
    return header


Result = TypeVar("Result")


def for_all(
    function: Callable[[str], Result], paths: Sequence[str], title: str
) -> list[Result | AudioError]:
    """Work on many files on all cores, with a progress bar.

    Libraries open and decode outside the interpreter's lock, so threads are enough.

    Arguments
    ---------
    function : callable
        ``probe``, ``check``, or another that takes a path.
    paths : sequence of str
        The files.
    title : str
        Shown beside the bar.

    Returns
    -------
    list
        What the function returns, or its AudioError, for each path.
    """

    def attempt(path: str) -> Result | AudioError:
        try:
            return function(path)
        except AudioError as error:
            return error

    cores = os.cpu_count()
    size = min(max(1, len(paths) // (8 * cores)), AT_ONCE)
    batches = [paths[start : start + size] for start in range(0, len(paths), size)]
    with ThreadPoolExecutor(cores) as pool:
        results = chain.from_iterable(
            pool.map(lambda batch: [attempt(path) for path in batch], batches)
        )
        return list(tqdm(results, title, len(paths), unit="file", leave=False))
