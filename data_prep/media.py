"""Videos, long recordings and odd formats, made into 16 kHz mono .wav files once.

A corpus names the source of an utterance's audio in ``Utterance.media``. What libsndfile
reads is cut by it; everything else is decoded by FFmpeg, which PyAV brings along.
"""

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from data_prep import audio
from data_prep.audio import SAMPLE_RATE, AudioError, Header, Stream
from data_prep.corpus import Utterance
from data_prep.errors import UserError
from data_prep.ffmpeg import WHOLE, Decoded, FFmpeg

Cut = Callable[[Utterance], np.ndarray]


def decode(title: str, folder: Path, utterances: Iterable[Utterance]) -> dict[str, str]:
    """Write the .wav files that are missing or older than their source.

    Every source is opened once, all sources in parallel; a file appears whole or not
    at all, so that an interrupted call is gone on with by the next.

    Arguments
    ---------
    title : str
        Shown beside the progress bar.
    folder : Path
        The corpus.
    utterances : iterable of Utterance
        Those without ``media`` are passed over.

    Returns
    -------
    dict
        Utterance id to the reason why it could not be decoded.

    Raises
    ------
    UserError
        If PyAV is needed and not installed, or the folder cannot be written to.
    """
    folder = Path(folder)
    wanted = defaultdict(list)
    for item in utterances:
        if item.media and _is_outdated(folder / item.path, folder / item.media):
            wanted[item.media].append(item)

    failed, results = {}, []
    with FFmpeg() as ffmpeg:

        def job(media: str) -> dict[str, str]:
            return _decode(folder, media, wanted[media], ffmpeg)

        if wanted:
            results = audio.for_all(job, list(wanted), f"{title}, decoding")
    for media, result in zip(wanted, results, strict=True):
        if isinstance(result, AudioError):
            failed.update(dict.fromkeys([u.id for u in wanted[media]], str(result)))
        else:
            failed.update(result)
    return failed


def _is_outdated(path: Path, media: Path) -> bool:
    """Whether a source is there, and newer than what was decoded from it."""
    try:
        source = os.stat(media).st_mtime_ns
    except OSError:
        return False
    try:
        return os.stat(path).st_mtime_ns < source
    except OSError:
        return True


def _decode(
    folder: Path, media: str, cuts: list[Utterance], ffmpeg: FFmpeg
) -> dict[str, str]:
    """Cut one source up; tell what could not be."""
    failed = {}
    with _open(str(folder / media), ffmpeg) as cut:
        for item in cuts:
            try:
                _write(folder / item.path, cut(item))
            except AudioError as error:
                failed[item.id] = str(error)
    return failed


def _write(path: Path, samples: np.ndarray) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(
            os.fsencode(temporary), samples, SAMPLE_RATE, "PCM_16", format="WAV"
        )
        os.replace(temporary, path)
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(
            f"cannot write {path}, to be decoded once from its recording: {error}: make "
            "the corpus' folder writable, or room there, or copy it to another disk"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def _open(path: str, ffmpeg: FFmpeg) -> Iterator[Cut]:
    """A function that gives an utterance's 16 kHz mono samples."""
    with contextlib.ExitStack() as stack:
        try:
            stream, header = stack.enter_context(audio.opened(path, audio.DAY))
        except audio.UnknownFormatError:
            yield _from_container(ffmpeg.decode(path))
        else:
            yield lambda item: _from_stream(stream, header, item)


def _span(start: float, stop: float, length: float) -> tuple[float, float]:
    """The times to cut at, within a recording of that length."""
    end = min(stop, length) if stop else length
    # Put so that what is no number is refused.
    if not (0 <= start < end and end - start >= WHOLE * ((stop or end) - start)):
        raise AudioError(
            f"cannot be cut from {start:.2f} s to {f'{stop:.2f} s' if stop else 'its end'}"
            f": the recording is {length:.2f} s long"
        )
    return start, end


def _from_stream(stream: Stream, header: Header, item: Utterance) -> np.ndarray:
    span = _span(item.start, item.stop, header.duration)
    first, last = (round(time * header.sample_rate) for time in span)
    try:
        stream.seek(first)
        return audio.decode(stream, last - first, channel=item.channel)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"does not decode: {error}") from error


def _from_container(sound: Decoded) -> Cut:
    samples, seconds = sound.samples, len(sound.samples) / SAMPLE_RATE
    if sound.more:
        raise AudioError(
            f"over {seconds:.0f} s long, more than is decoded at once: cut it"
        )
    sound.require_whole()

    def cut(item: Utterance) -> np.ndarray:
        times = _span(item.start, item.stop, sound.offset + seconds)
        first, last = (max(0, round((t - sound.offset) * SAMPLE_RATE)) for t in times)
        return samples[first:last]

    return cut
