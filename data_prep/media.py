"""Videos, long recordings and odd formats, made into 16 kHz mono .wav files once.

A corpus names the source of an utterance's audio in ``Utterance.media``. What libsndfile
reads is cut by it; everything else is decoded by PyAV, which brings FFmpeg along and is
an extra: ``pip install "xser-brain[video]"``.
"""

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile

from data_prep import audio
from data_prep.audio import SAMPLE_RATE, AudioError
from data_prep.corpus import Utterance
from data_prep.errors import UserError

# Less than this share of what a container or a label file promises is a broken clip.
WHOLE = 0.9
Cut = Callable[[float, float], np.ndarray]


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

    def job(media: str) -> dict[str, str]:
        return _decode(folder, media, wanted[media])

    failed = {}
    results = audio.for_all(job, list(wanted), f"{title}, decoding") if wanted else []
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


def _decode(folder: Path, media: str, cuts: list[Utterance]) -> dict[str, str]:
    """Cut one source up; tell what could not be."""
    failed = {}
    with _open(str(folder / media)) as cut:
        for item in cuts:
            try:
                _write(folder / item.path, cut(item.start, item.stop))
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
def _open(path: str):
    """A function that gives the 16 kHz mono samples between two times."""
    try:
        stream = soundfile.SoundFile(os.fsencode(path))
    except (soundfile.SoundFileError, OSError):
        stream = None
    if stream is None:
        yield _from_container(path)
        return
    with stream:
        yield lambda start, stop: _from_stream(stream, start, stop)


def _span(start: float, stop: float, length: float) -> tuple[float, float]:
    """The times to cut at, within a recording of that length."""
    end = min(stop, length) if stop else length
    if end - start < WHOLE * ((stop or end) - start) or end <= start:
        raise AudioError(
            f"cannot be cut from {start:.2f} s to {f'{stop:.2f} s' if stop else 'its end'}"
            f": the recording is {length:.2f} s long"
        )
    return start, end


def _from_stream(stream: soundfile.SoundFile, start: float, stop: float) -> np.ndarray:
    rate = stream.samplerate
    first, last = (round(t * rate) for t in _span(start, stop, stream.frames / rate))
    try:
        stream.seek(first)
        samples = stream.read(last - first, "float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"does not decode: {error}") from error
    return audio.to_mono(samples, rate)


def _from_container(path: str) -> Cut:
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"{path} is a video, or of a format that needs FFmpeg: "
            'pip install "xser-brain[video]"'
        ) from error
    try:
        samples, offset, promised, lost = _decode_container(av, path)
    except AudioError:
        raise
    except Exception as error:  # a damaged file breaks FFmpeg and PyAV in many ways
        raise AudioError(
            f"does not decode: {getattr(error, 'strerror', None) or error}"
        ) from error
    seconds = len(samples) / SAMPLE_RATE
    if not len(samples) or seconds < WHOLE * promised:
        cause = f" ({lost.strerror})" if lost else ""
        raise AudioError(f"only {seconds:.2f} of {promised:.2f} s decode{cause}")

    def cut(start: float, stop: float) -> np.ndarray:
        times = _span(start, stop, offset + seconds)
        first, last = (max(0, round((t - offset) * SAMPLE_RATE)) for t in times)
        return samples[first:last]

    return cut


def _decode_container(
    av: ModuleType, path: str
) -> tuple[np.ndarray, float, float, Exception | None]:
    """All samples of a file's audio, when they begin, the promised length, an error.

    Packets that do not decode are passed over, as FFmpeg's own command does; what is
    lost by that shows in the length.
    """
    pcm, offset, lost = bytearray(), None, None
    with av.open(path, metadata_errors="replace") as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise AudioError("has no audio stream")
        begin = (container.start_time or 0) / av.time_base
        promised = float((stream.duration or 0) * (stream.time_base or 0))
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                lost = error
                continue
            for frame in frames:
                if offset is None:
                    offset = max(0.0, (frame.time or begin) - begin)
                for part in resampler.resample(frame):
                    pcm += part.to_ndarray().tobytes()
        if offset is not None:
            for part in resampler.resample(None):
                pcm += part.to_ndarray().tobytes()
    return np.frombuffer(pcm, np.int16), offset or 0.0, promised, lost
