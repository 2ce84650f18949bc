"""Recordings of any kind and length as pieces that a model can take.

What is longer than ``LONGEST`` is never held as a whole: it is read block by block and
cut into overlapping windows.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch

from data_prep import audio
from data_prep.audio import SAMPLE_RATE, AudioError
from data_prep.errors import UserError
from data_prep.ffmpeg import FFmpeg

logger = logging.getLogger(__name__)
LONGEST = 30.0  # seconds that are scored as one utterance, as Whisper's encoder takes
BLOCK = 10  # seconds read at once of what is longer
MOST_VALUES = 2**25  # samples times channels held at once
# What libsndfile reads and speech is kept in, then what FFmpeg does, videos too.
EXTENSIONS = (
    ".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64",
    ".snd", ".sph", ".w64", ".wav", ".wave",
    ".3g2", ".3ga", ".3gp", ".aac", ".ac3", ".amr", ".ape", ".asf", ".avi", ".awb",
    ".eac3", ".flv", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp4",
    ".mpeg", ".mpg", ".mts", ".ogv", ".tta", ".voc", ".weba", ".webm", ".wma", ".wmv",
    ".wv",
)  # fmt: skip
NAMED = 10  # files that are not taken


@dataclass(frozen=True)
class Recording:
    """Something to be classified.

    Arguments
    ---------
    name : str
        The path, or what stands for it in the results.
    samples : (samples,) or (samples, channels) numpy.ndarray, optional
        If it is not a file.
    sample_rate : int
        Hz, of the samples.
    """

    name: str
    samples: np.ndarray | None = None
    sample_rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class Piece:
    """A recording, or a window of one.

    Arguments
    ---------
    start, end : float
        Seconds.
    samples : (samples,) float32 numpy.ndarray
        16 kHz mono.
    window : bool
        Whether it belongs into the time line.
    whole : bool
        Whether it stands for all of the recording.
    """

    start: float
    end: float
    samples: np.ndarray
    window: bool
    whole: bool


@dataclass(frozen=True)
class Windows:
    """How long recordings are cut.

    Arguments
    ---------
    seconds : float
        Length of a window.
    overlap : float
        Share of it that the next window covers too.
    above : float
        Seconds above which a recording is long.

    Raises
    ------
    UserError
        If there can be no such windows.

    Example
    -------
    >>> cut = Windows(2.0, 0.5).cut([np.ones(80000, np.float32)])
    >>> [(start / SAMPLE_RATE, len(samples)) for start, samples in cut]
    [(0.0, 32000), (1.0, 32000), (2.0, 32000), (3.0, 32000)]
    """

    seconds: float = 6.0
    overlap: float = 0.5
    above: float = LONGEST

    def __post_init__(self):
        if not 0.1 <= self.seconds <= LONGEST or not 0 <= self.overlap <= 0.95:
            raise UserError(
                f"windows of {self.seconds:g} s with an overlap of {self.overlap:g}: use "
                f"0.1 to {LONGEST:g} s and 0 to 0.95"
            )

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Cut a stream of samples; the last window ends where the stream ends.

        Arguments
        ---------
        blocks : iterable of (samples,) numpy.ndarray
            16 kHz mono.

        Yields
        ------
        int, (samples,) numpy.ndarray
            First sample of a window, and the window.
        """
        size = round(self.seconds * SAMPLE_RATE)
        hop = max(1, round(size * (1 - self.overlap)))
        held, first = np.zeros(0, np.float32), 0  # first: place of held[0]
        start, covered = 0, 0
        for block in blocks:
            held = np.concatenate([held, block])
            total = first + len(held)
            while start + size <= total:
                yield start, held[start - first :][:size]
                start, covered = start + hop, start + size
            dropped = max(0, len(held) - size)
            held, first = held[dropped:], first + dropped
        if first + len(held) > covered:
            yield first, held


def find_audio(paths: Iterable[str | Path]) -> Iterator[str]:
    """List files; folders are searched all through, by the endings of recordings.

    What of a folder is not taken is counted and named in the log.

    Arguments
    ---------
    paths : iterable of path
        Files, which are listed whatever they are called, and folders.

    Yields
    ------
    str
        In the order of ``paths``, and sorted within a folder.

    Example
    -------
    >>> list(find_audio(["a.wav", "b"]))
    ['a.wav', 'b']
    """
    for path in paths:
        if not os.path.isdir(path):
            yield str(path)
            continue
        left: list[str] = []
        unread = []
        for folder, folders, names in os.walk(path, onerror=unread.append):
            inner, below = os.path.relpath(folder, path), []
            for name in sorted(folders):
                linked = os.path.islink(os.path.join(folder, name))
                if name[0] == "." or linked:
                    left.append(os.path.normpath(os.path.join(inner, name, "")) + "/")
                else:
                    below.append(name)
            folders[:] = below
            for name in sorted(names):
                if name[0] != "." and name.lower().endswith(EXTENSIONS):
                    yield os.path.join(folder, name)
                else:
                    left.append(os.path.normpath(os.path.join(inner, name)))
        if left:
            logger.warning("%s: %s", path, _not_taken(left))
        for error in unread:
            logger.warning("%s cannot be read: %s", error.filename, error.strerror)


def _not_taken(names: Sequence[str]) -> str:
    """How many files and folders are not taken, and which.

    Example
    -------
    >>> _not_taken(["notes.txt", "old/"])
    '2 not taken, being hidden, links to folders or no recordings by name: notes.txt, old/'
    """
    shown = ", ".join(names[:NAMED])
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return (
        f"{len(names):,} not taken, being hidden, links to folders or no recordings by "
        f"name: {shown}{more}"
    )


def as_recording(item: object, sample_rate: int | None = None) -> Recording:
    """Understand what a caller gives.

    Arguments
    ---------
    item : path, array, tensor, (array, sample rate) or Recording
        A file or samples. Integers are taken as PCM; of two axes the shorter is that
        of the channels.
    sample_rate : int, optional
        Hz, of samples that come without.

    Returns
    -------
    Recording

    Raises
    ------
    UserError
        If it is none of these.

    Example
    -------
    >>> as_recording(np.array([[0, 16384]], np.int16), 8000).samples
    array([[0. ],
           [0.5]], dtype=float32)
    """
    if isinstance(item, Recording):
        return item
    if isinstance(item, str | os.PathLike):
        return Recording(os.fspath(item))
    if isinstance(item, tuple) and len(item) == 2:
        item, sample_rate = item
    if isinstance(item, torch.Tensor):
        item = item.detach().cpu().numpy()
    fit = isinstance(item, np.ndarray) and item.dtype.kind in "fiu"
    if not fit or item.ndim not in (1, 2) or not item.size:
        raise UserError(
            f"{type(item).__name__} is not a recording: give a path, or an array of "
            "samples, (samples,) or (samples, channels)"
        )
    if not sample_rate or not audio.RATES[0] <= sample_rate <= audio.RATES[1]:
        raise UserError(
            f"sample_rate is {sample_rate}: give that of the samples, in Hz"
        )
    samples = item[:, None] if item.ndim == 1 else item
    if samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if item.dtype.kind in "iu":
        scale = np.iinfo(item.dtype).max // (2 if item.dtype.kind == "u" else 1) + 1
        middle = scale if item.dtype.kind == "u" else 0
        samples = (samples.astype(np.float64) - middle) / scale
    return Recording("array", samples.astype(np.float32), int(sample_rate))


def load(
    recording: Recording,
    ffmpeg: FFmpeg,
    above: float = LONGEST,
    longest: float = audio.DAY,
) -> np.ndarray | None:
    """Decode a recording, unless it is a file too long to be held.

    Arguments
    ---------
    recording : Recording
        A file or samples.
    ffmpeg : FFmpeg
        For what libsndfile does not read.
    above : float
        Seconds; files that are longer are too long.
    longest : float
        Seconds that a file may be long.

    Returns
    -------
    (samples,) float32 numpy.ndarray, or None
        16 kHz mono.

    Raises
    ------
    AudioError
        If it cannot be used.
    """
    if recording.samples is not None:
        samples = audio.to_mono(recording.samples, recording.sample_rate)
        _require_speech(samples)
        return samples
    try:
        header = audio.probe(recording.name, longest)
    except audio.UnknownFormatError as error:
        sound = _by_ffmpeg(ffmpeg, recording.name, above, error)
        if sound.more:
            return None
        sound.require_whole()
        samples = _as_float(sound.samples)
        _require_speech(samples)
        return samples
    values = header.duration * header.sample_rate * header.channels
    if header.duration > above or values > MOST_VALUES:
        return None
    return audio.load(recording.name)


def _by_ffmpeg(ffmpeg: FFmpeg, path: str, most: float, unknown: AudioError):
    try:
        return ffmpeg.decode(path, most)
    except audio.UnknownFormatError:
        raise unknown from None  # neither knows it, and that says more


def _require_speech(samples: np.ndarray) -> None:
    if len(samples) < audio.SHORTEST * SAMPLE_RATE:
        raise AudioError(f"no speech in it: {len(samples) / SAMPLE_RATE:.3f} s long")


def _as_float(samples: np.ndarray) -> np.ndarray:
    """(samples,) int16 to float32, full scale to 1."""
    return samples.astype(np.float32) / 32768


def pieces(
    recording: Recording,
    samples: np.ndarray | None,
    windows: Windows,
    timeline: bool,
    ffmpeg: FFmpeg,
    longest: float = audio.DAY,
) -> Iterator[Piece]:
    """What of a recording is to be scored: all of it, its windows, or both.

    Arguments
    ---------
    recording : Recording
        A file or samples.
    samples : (samples,) numpy.ndarray, optional
        From ``load``.
    windows : Windows
        How to cut it.
    timeline : bool
        Whether windows are wanted of short ones too.
    ffmpeg, longest
        As for ``load``.

    Yields
    ------
    Piece
        Silent windows are left out.

    Raises
    ------
    AudioError
        If it does not decode to its end, or all of it is silent.
    """
    if samples is not None and not len(samples):
        raise AudioError("no speech in it: 0 s long")
    short = samples is not None and len(samples) <= windows.above * SAMPLE_RATE
    blocks = [samples]
    if samples is None:
        blocks = _blocks(recording.name, ffmpeg, longest)
    found = False
    if short and np.ptp(samples) > 0:
        alone = timeline and len(samples) <= windows.seconds * SAMPLE_RATE
        yield Piece(0.0, len(samples) / SAMPLE_RATE, samples, window=alone, whole=True)
        found, timeline = True, timeline and not alone
    if timeline or not short:
        for start, window in windows.cut(blocks):
            if np.ptp(window) > 0:
                first, end = start / SAMPLE_RATE, (start + len(window)) / SAMPLE_RATE
                yield Piece(first, end, window, window=True, whole=False)
                found = True
    if not found:
        raise AudioError("silent")


def _blocks(path: str, ffmpeg: FFmpeg, longest: float) -> Iterator[np.ndarray]:
    """A file as 16 kHz mono, block by block."""
    with contextlib.ExitStack() as stack:
        try:
            stream, header = stack.enter_context(audio.opened(path, longest))
        except audio.UnknownFormatError:
            yield from map(_as_float, ffmpeg.blocks(path, longest))
        else:
            size = min(header.sample_rate * BLOCK * header.channels, MOST_VALUES)
            decoded = audio.blocks(stream, header.frames, size)
            yield from resampled(decoded, header.sample_rate)


def resampled(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Bring a stream to 16 kHz mono.

    Arguments
    ---------
    blocks : iterable of (samples, channels) numpy.ndarray
        Of any lengths.
    rate : int
        Hz.

    Yields
    ------
    (samples,) float32 numpy.ndarray

    Raises
    ------
    AudioError
        If there are values that are not numbers.
    """
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
    for block in blocks:
        mono = audio.to_mono(block, rate, rate)
        yield mono if rate == SAMPLE_RATE else resampler.resample_chunk(mono)
    if rate != SAMPLE_RATE:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
