"""Audio files: what their headers say, whether they decode, and 16 kHz mono samples.

Every recording comes in through ``opened``, whoever asks: preparation, training,
classification or the page; what libsndfile does not read goes on to ``data_prep.ffmpeg``,
under the same limits. It holds to one set of limits, and takes no header's word for
a length that the file does not have.
"""

import contextlib
import math
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
import soundfile
import soxr

from data_prep.progress import bar

SAMPLE_RATE = 16000
# Shorter than one analysis window of 25 ms there is nothing to recognise.
SHORTEST = 0.025
LONGEST = 3600.0  # seconds of an utterance, which is held as a whole
DAY = 86400.0  # seconds of a recording that is read block by block
RATES = (1000, 1_000_000)  # Hz
CHANNELS = 64
HELD = 1 << 28  # samples that are held at once
BLOCK = 1 << 22  # samples times channels that are decoded at once
COUNTED = 1 << 31  # samples times channels that are decoded to learn a length
# Sizes that encoders write when they do not know the length beforehand.
STREAMED = 0x7FFFF000
AT_ONCE = 32  # files handed to a thread, which costs as much as probing one


class AudioError(Exception):
    """A file that cannot be used; the message is the reason."""


class UnknownFormatError(AudioError):
    """A file that libsndfile does not take for audio."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says, or a file holds: seconds, Hz, number of channels."""

    duration: float
    sample_rate: int
    channels: int

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return round(self.duration * self.sample_rate)


class Stream(soundfile.SoundFile):
    """A file as it is decoded from front to back.

    After each read its parent seeks to where it stands already, which fails at the end of
    a file of unknown length.
    """

    def seekable(self) -> bool:
        """Not needed: blocks follow each other."""
        return False


def probe(path: str, longest: float = LONGEST) -> Header:
    """Read a header; decode nothing, unless it does not tell the length.

    Arguments
    ---------
    path : str
        The audio file.
    longest : float
        Seconds that it may be long.

    Returns
    -------
    Header

    Raises
    ------
    AudioError
        If the file is missing, empty, no audio, shorter than it says, or beyond a limit.
    """
    with opened(path, longest) as (_, header):
        return header


@contextlib.contextmanager
def opened(path: str, longest: float = LONGEST) -> Iterator[tuple[Stream, Header]]:
    """Open a file once, for its first bytes and for libsndfile.

    Arguments
    ---------
    path : str
        The audio file.
    longest : float
        Seconds that it may be long.

    Returns
    -------
    context manager
        Of a Stream, for ``blocks``, and the Header.

    Raises
    ------
    AudioError
        As ``probe``; also for what the body's reading raises.
    """
    try:
        # A pipe without a writer would otherwise be waited for.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        file = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"cannot be read: {reason}") from error
    try:
        _examine(file)
        try:
            stream = Stream(file, closefd=False)
        except (soundfile.SoundFileError, OSError) as error:
            raise UnknownFormatError("not an audio file that can be read") from error
        with stream:
            yield stream, _header(stream, longest)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"does not decode: {error}") from error
    finally:
        os.close(file)


def _examine(file: int) -> None:
    """Refuse what is no whole file, by its first bytes."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise AudioError("no file")
    if status.st_size == 0:
        raise AudioError("empty file")
    head = os.read(file, 12)
    if head == b"version http":
        raise AudioError("a pointer of Git LFS, no audio: run `git lfs pull`")
    if missing := _missing_bytes(head, status.st_size):
        raise AudioError(
            f"truncated: {missing} of {status.st_size + missing} bytes are missing"
        )
    os.lseek(file, 0, os.SEEK_SET)


def require_limits(rate: int, channels: int) -> None:
    """Refuse what is beyond the limits of every recording.

    Arguments
    ---------
    rate : int
        Hz.
    channels : int
        How many.

    Raises
    ------
    AudioError
        If it is.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(
            f"no speech in it: {rate} samples a second, not {RATES[0]} to {RATES[1]:,}"
        )
    if channels > CHANNELS:
        raise AudioError(f"{channels} channels, and at most {CHANNELS} are read")


def _header(stream: Stream, longest: float) -> Header:
    """What the header says, if it may be; the length is counted if that cannot be."""
    rate, channels, frames = stream.samplerate, stream.channels, stream.frames
    require_limits(rate, channels)
    if frames > DAY * rate:  # unknown, or nonsense
        frames, most = 0, min(longest * rate, COUNTED / channels)
        for block in blocks(stream):
            frames += len(block)
            if frames > most:
                raise AudioError(f"over {most / rate:.0f} s long: cut it")
        stream.seek(0)
    duration = frames / rate
    if duration < SHORTEST:
        raise AudioError(f"no speech in it: {duration:.3f} s long")
    if duration > longest:
        raise AudioError(f"{duration:.0f} s long, and at most {longest:.0f} s are read")
    return Header(duration, rate, channels)


def blocks(
    stream: Stream, frames: int | None = None, size: int = BLOCK, dtype: str = "float32"
) -> Iterator[np.ndarray]:
    """Decode on from where a stream stands.

    Arguments
    ---------
    stream : Stream
        From ``opened``.
    frames : int, optional
        How many samples of each channel, if there are as many; by default all.
    size : int
        Samples times channels of a block.
    dtype : str
        Of the samples.

    Yields
    ------
    (samples, channels) numpy.ndarray
    """
    left = math.inf if frames is None else frames
    most = max(1, size // stream.channels)
    while left and len(block := stream.read(min(most, left), dtype, always_2d=True)):
        yield block
        left -= len(block)


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
    with opened(path) as (stream, header):
        return decode(stream, header.frames, sample_rate)


def decode(
    stream: Stream,
    frames: int,
    sample_rate: int = SAMPLE_RATE,
    channel: int | None = None,
) -> np.ndarray:
    """Decode on from where a stream stands, to mono at the given rate.

    Arguments
    ---------
    stream : Stream
        From ``opened``.
    frames : int
        How many samples of each channel, if there are as many.
    sample_rate : int
        Hz.
    channel : int, optional
        The one to take; by default the mean of all.

    Returns
    -------
    (samples,) float32 numpy.ndarray

    Raises
    ------
    AudioError
        As ``load``, and if they are too many to be held, or there is no such channel.
    """
    if frames > HELD:
        raise AudioError(f"{frames:,} samples, and at most {HELD:,} are held at once")
    if channel is not None and channel >= stream.channels:
        raise AudioError(f"no channel {channel + 1}, only {stream.channels}")
    taken = slice(None) if channel is None else slice(channel, channel + 1)
    parts = [_mixed(block[:, taken]) for block in blocks(stream, frames)]
    if not parts:
        raise AudioError("does not decode: it holds no samples")
    samples = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return to_mono(samples[:, None], stream.samplerate, sample_rate)


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
    samples = _mixed(samples)
    if not np.isfinite(samples).all():
        raise AudioError("holds NaN or infinite samples")
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate)
    return samples


def _mixed(samples: np.ndarray) -> np.ndarray:
    if samples.shape[1] == 1:
        return samples[:, 0]
    return samples.mean(axis=1, dtype=np.result_type(samples, np.float32))


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
    length, low, high = 0, math.inf, -math.inf
    with opened(path) as (stream, header):
        # No conversion where there is none to do: this is what most corpora hold.
        dtype = "int16" if stream.subtype == "PCM_16" else "float32"
        for block in blocks(stream, header.frames, dtype=dtype):
            samples = _mixed(block)
            ends = samples.min(), samples.max()  # not a number if one sample is none
            if not np.isfinite(ends).all():
                raise AudioError("holds NaN or infinite samples")
            low, high = min(low, ends[0]), max(high, ends[1])
            length += len(samples)
    if length < header.frames:
        raise AudioError(f"stops after {length / header.sample_rate:.2f} s")
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
        return list(bar(results, title, len(paths), unit="file"))
