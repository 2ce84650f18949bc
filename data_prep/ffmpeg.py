"""FFmpeg for what anybody may have made: in processes that can be killed.

A playlist has FFmpeg open other files and addresses, a damaged file may hang or crash it.
Therefore it decodes only formats that hold sound themselves (``DEMUXERS``), is given an
open file and no name, may open nothing else, writes no file, and has a limit of memory
and of time.
"""

import contextlib
import importlib.util
import json
import os
import subprocess  # nosec B404 # runs only this package's own modules
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from data_prep import children
from data_prep.audio import HELD, SAMPLE_RATE, AudioError
from data_prep.errors import UserError

# By FFmpeg's names: containers and codecs of sound, none that refers to other files.
DEMUXERS = (
    "aac", "ac3", "aiff", "amr", "amrnb", "amrwb", "ape", "asf", "au", "avi", "caf",
    "eac3", "flac", "flv", "matroska", "mov", "mp3", "mpeg", "mpegts", "nistsphere",
    "ogg", "tta", "voc", "w64", "wav", "wv",
)  # fmt: skip
MEMORY = 4 << 30  # bytes of address space
SECONDS = 120.0  # for a file, and one more for each MB of it


@dataclass(frozen=True)
class Decoded:
    """The sound of a file.

    Arguments
    ---------
    samples : (samples,) int16 numpy.ndarray
        16 kHz mono.
    offset : float
        Seconds at which they begin.
    promised : float
        Seconds that the file says they last; 0 if it does not say.
    lost : str
        Why some of it did not decode; empty if all did.
    """

    samples: np.ndarray
    offset: float = 0.0
    promised: float = 0.0
    lost: str = ""


class FFmpeg:
    """Decodes files, in as many processes as there are threads that ask at a time.

    A context manager: at its end the processes end.
    """

    def __init__(self):
        self._all: list[subprocess.Popen] = []
        self._idle: list[subprocess.Popen] = []

    def __enter__(self) -> "FFmpeg":
        return self

    def __exit__(self, *exception) -> None:
        for process in self._all:
            process.kill()
            with process:  # closes the pipes, and waits
                pass

    def decode(self, path: str) -> Decoded:
        """Decode the sound of a file.

        Packets that do not decode are passed over, as FFmpeg's own command does; what is
        lost by that shows in the length.

        Arguments
        ---------
        path : str
            The file.

        Returns
        -------
        Decoded

        Raises
        ------
        AudioError
            If it has no sound, is of another kind, too long, or takes too long.
        UserError
            If PyAV is not installed.
        """
        if importlib.util.find_spec("av") is None:
            raise UserError(
                f"{path} is a video, or of a format that needs FFmpeg: "
                'pip install "xser-brain[video]"'
            )
        try:
            process = self._idle.pop()
        except IndexError:
            process = children.start(__name__, stderr=subprocess.DEVNULL)
            self._all.append(process)
        about, pcm = _ask(process, os.path.abspath(path))
        self._idle.append(process)
        if "error" in about:
            raise AudioError(about["error"])
        return Decoded(np.frombuffer(pcm, np.int16), **about)


def _ask(process: subprocess.Popen, path: str) -> tuple[dict, bytes]:
    """Have a process decode a file; it may die of it."""
    late = threading.Event()
    seconds = SECONDS + os.path.getsize(path) / 1e6

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        process.stdin.write(json.dumps(path).encode() + b"\n")
        process.stdin.flush()
        size, about = json.loads(process.stdout.readline())
        pcm = process.stdout.read(size)
        if len(pcm) < size:
            raise EOFError
    except (OSError, ValueError, EOFError) as error:
        process.kill()
        why = f"it takes over {seconds:.0f} s" if late.is_set() else "FFmpeg crashes"
        raise AudioError(f"does not decode: {why}") from error
    finally:
        timer.cancel()
    return about, pcm


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Decode the file of each line; answer with a line of JSON, and the samples."""
    import av

    av.logging.set_level(None)
    for line in requests:
        pcm = b""
        try:
            with open(json.loads(line), "rb") as file:
                pcm, about = _decode(av, file)
        except AudioError as error:
            about = {"error": str(error)}
        except Exception as error:  # a damaged file breaks FFmpeg in many ways
            reason = getattr(error, "strerror", None) or error or repr(error)
            about = {"error": f"does not decode: {reason}"}
        answers.write(json.dumps([len(pcm), about]).encode() + b"\n")
        answers.write(pcm)
        answers.flush()


def _decode(av, file: BinaryIO) -> tuple[bytes, dict]:
    """All samples of a file's sound, and what else ``Decoded`` holds."""
    pcm, offset, lost = bytearray(), None, ""
    options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "none"}
    with av.open(file, options=options, metadata_errors="replace") as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise AudioError("has no audio stream")
        begin = (container.start_time or 0) / av.time_base
        promised = float((stream.duration or 0) * (stream.time_base or 0))
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)

        def resampled(frame) -> Iterator[bytes]:
            for part in resampler.resample(frame):
                yield part.to_ndarray().tobytes()

        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                lost = error.strerror
                continue
            for frame in frames:
                if offset is None:
                    offset = max(0.0, (frame.time or begin) - begin)
                for part in resampled(frame):
                    pcm += part
                if len(pcm) > 2 * HELD:
                    raise AudioError(
                        f"over {HELD // SAMPLE_RATE} s long, more than is decoded at once"
                    )
        if offset is not None:
            for part in resampled(None):
                pcm += part
    return pcm, {"offset": offset or 0.0, "promised": promised, "lost": lost}


def _limit() -> None:
    """What this process may use, where the system can limit it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # bytes of files it writes
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    _limit()
    _serve(sys.stdin.buffer, sys.stdout.buffer)
