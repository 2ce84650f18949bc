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
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from data_prep import audio, children
from data_prep.audio import (
    DAY,
    HELD,
    SAMPLE_RATE,
    AudioError,
    Header,
    UnknownFormatError,
)
from data_prep.errors import UserError

# By FFmpeg's names: containers and codecs of sound, none that refers to other files.
DEMUXERS = (
    "aac", "ac3", "aiff", "amr", "amrnb", "amrwb", "ape", "asf", "au", "avi", "caf",
    "eac3", "flac", "flv", "matroska", "mov", "mp3", "mpeg", "mpegts", "nistsphere",
    "ogg", "tta", "voc", "w64", "wav", "wv",
)  # fmt: skip
MEMORY = 4 << 30  # bytes of address space
SECONDS = 120.0  # for a file, and one more for each MB of it
# Less than this share of what a file promises is a broken one.
WHOLE = 0.9
BLOCK = 10 * SAMPLE_RATE  # samples that are handed over at a time


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
    more : bool
        Whether there is more of it than was asked for.
    """

    samples: np.ndarray
    offset: float = 0.0
    promised: float = 0.0
    lost: str = ""
    more: bool = False

    def require_whole(self) -> None:
        """Refuse, as an AudioError, what has stopped early."""
        _require_whole(len(self.samples), self.promised, self.lost)


class FFmpeg:
    """Decodes files, in as many processes as there are threads that ask at a time.

    A context manager: at its end the processes end.

    Arguments
    ---------
    seconds : float
        Most time that a file may take, if that is less than by its size.
    """

    def __init__(self, seconds: float = float("inf")):
        self.seconds = seconds
        self._all: list[subprocess.Popen] = []
        self._idle: list[subprocess.Popen] = []
        self._lock, self._ended = threading.Lock(), False

    def __enter__(self) -> "FFmpeg":
        return self

    def __exit__(self, *exception) -> None:
        with self._lock:
            self._ended = True
        for process in self._all:
            process.kill()
            # Closes the pipes, and waits; what one that died was asked cannot be flushed.
            with contextlib.suppress(BrokenPipeError), process:
                pass

    def probe(self, path: str) -> Header:
        """Open a file, and read what it says of its sound.

        Arguments
        ---------
        path : str
            The file.

        Returns
        -------
        Header
            Its duration is 0 if the file does not say it.

        Raises
        ------
        AudioError
            As ``decode``.
        UserError
            If PyAV is not installed.
        """
        about: dict = {}
        list(self._ask(path, 0.0, about))
        return Header(about["length"], about["sample_rate"], about["channels"])

    def decode(self, path: str, most: float = HELD / SAMPLE_RATE) -> Decoded:
        """Decode the sound of a file.

        Packets that do not decode are passed over, as FFmpeg's own command does; what is
        lost by that shows in the length.

        Arguments
        ---------
        path : str
            The file.
        most : float
            Seconds, of what is longer.

        Returns
        -------
        Decoded

        Raises
        ------
        AudioError
            If it has no sound, is of another kind (``UnknownFormatError``), beyond a
            limit, or takes too long.
        UserError
            If PyAV is not installed.
        """
        about: dict = {}
        samples = np.concatenate(list(self._ask(path, most, about)))
        names = ("offset", "promised", "lost", "more")
        return Decoded(samples, **{name: about[name] for name in names})

    def blocks(self, path: str, longest: float = DAY) -> Iterator[np.ndarray]:
        """Decode the sound of a file piece by piece.

        Arguments
        ---------
        path : str
            The file.
        longest : float
            Seconds that it may be long.

        Yields
        ------
        (samples,) int16 numpy.ndarray
            16 kHz mono.

        Raises
        ------
        AudioError
            As ``decode``; also at its end, if it is too long or has stopped early.
        UserError
            If PyAV is not installed.
        """
        length, about = 0, {}
        for samples in self._ask(path, longest, about):
            length += len(samples)
            yield samples
        if about["more"]:
            raise AudioError(f"over {longest:.0f} s long: cut it")
        _require_whole(length, about["promised"], about["lost"])

    def _ask(self, path: str, most: float, about: dict) -> Iterator[np.ndarray]:
        """Have a process decode a file; it may die of it.

        At the end ``about`` holds what else there is to say.
        """
        try:
            limit = min(self.seconds, SECONDS + os.path.getsize(path) / 1e6)
        except OSError as error:
            raise AudioError(f"cannot be read: {error.strerror}") from error
        process = self._process(path)
        watch, whole = _Watch(process, limit), False
        try:
            with watch:
                request = json.dumps([os.path.abspath(path), most])
                process.stdin.write(request.encode() + b"\n")
                process.stdin.flush()
            while not whole:
                with watch:
                    size, told = json.loads(process.stdout.readline())
                    pcm = process.stdout.read(size)
                if len(pcm) < size:
                    raise EOFError
                whole = told is not None
                about.update(told or {})
                if "error" in about:
                    kind = UnknownFormatError if about["unknown"] else AudioError
                    raise kind(about["error"])
                yield np.frombuffer(pcm, np.int16)
        except (OSError, ValueError, EOFError) as error:
            why = f"it takes over {limit:.0f} s" if watch.late else "FFmpeg crashes"
            raise AudioError(f"does not decode: {why}") from error
        finally:
            # What has not come to its end, as nobody asks on, would answer the next.
            self._idle.append(process) if whole else process.kill()

    def _process(self, path: str) -> subprocess.Popen:
        if importlib.util.find_spec("av") is None:
            raise UserError(
                f"{path} is a video, or of a format that needs FFmpeg, which PyAV brings "
                "along: pip install av"
            )
        with self._lock:
            if self._ended:
                raise AudioError("not decoded: nobody waits for it any more")
            if self._idle:
                return self._idle.pop()
            process = children.start(__name__, stderr=subprocess.DEVNULL)
            self._all.append(process)
            return process


class _Watch:
    """Kills a process that makes its reader wait too long in all."""

    def __init__(self, process: subprocess.Popen, seconds: float):
        self._process, self._left = process, seconds
        self.late = False

    def _kill(self) -> None:
        self.late = True
        self._process.kill()

    def __enter__(self) -> None:
        self._begun = time.monotonic()
        self._timer = threading.Timer(max(0.0, self._left), self._kill)
        self._timer.start()

    def __exit__(self, *exception) -> None:
        self._timer.cancel()
        self._left -= time.monotonic() - self._begun


def _require_whole(length: int, promised: float, lost: str) -> None:
    seconds = length / SAMPLE_RATE
    if not length or seconds < WHOLE * promised:
        cause = f" ({lost})" if lost else ""
        raise AudioError(f"only {seconds:.2f} of {promised:.2f} s decode{cause}")


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Decode the file of each line.

    The answer is lines of JSON, each with samples after it: how many bytes these have,
    and with the last of them what ``_decode`` says of the file.
    """
    import av

    def send(pcm: bytes, about: dict | None = None) -> None:
        answers.write(json.dumps([len(pcm), about]).encode() + b"\n")
        answers.write(pcm)
        answers.flush()

    av.logging.set_level(None)
    for line in requests:
        path, most = json.loads(line)
        try:
            with open(path, "rb") as file:
                about = _decode(av, file, round(most * SAMPLE_RATE), send)
        except AudioError as error:
            unknown = isinstance(error, UnknownFormatError)
            about = {"error": str(error), "unknown": unknown}
        except Exception as error:  # a damaged file breaks FFmpeg in many ways
            reason = getattr(error, "strerror", None) or error or repr(error)
            about = {"error": f"does not decode: {reason}", "unknown": False}
        send(b"", about)


def _decode(av, file: BinaryIO, most: int, send: Callable[[bytes], None]) -> dict:
    """Send at most so many samples of a file's sound, and tell the rest of it."""
    options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "none"}
    try:
        container = av.open(file, options=options, metadata_errors="replace")
    # Of a format that is none, or not on the list.
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:
        raise UnknownFormatError(f"does not decode: {error.strerror}") from error
    with container:
        stream = container.streams.best("audio")
        if stream is None:
            raise AudioError("has no audio stream")
        begin = (container.start_time or 0) / av.time_base
        promised = float((stream.duration or 0) * (stream.time_base or 0))
        about = {
            "promised": promised,
            "length": promised or max(0, container.duration or 0) / av.time_base,
            "sample_rate": stream.codec_context.sample_rate,
            "channels": stream.codec_context.channels,
            "offset": 0.0,
            "lost": "",
            "more": False,
        }
        audio.require_limits(about["sample_rate"], about["channels"])
        if not most:
            return about
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        pcm, sent, first = bytearray(), 0, True

        def add(frame) -> None:
            for part in resampler.resample(frame):
                pcm.extend(part.to_ndarray().tobytes())

        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                about["lost"] = error.strerror
                continue
            for frame in frames:
                if first:
                    about["offset"] = max(0.0, (frame.time or begin) - begin)
                    first = False
                add(frame)
            if 2 * sent + len(pcm) > 2 * most:
                del pcm[2 * (most - sent) :]
                about["more"] = True
                break
            if len(pcm) >= 2 * BLOCK:
                send(bytes(pcm))
                sent += len(pcm) // 2
                pcm.clear()
        if not first and not about["more"]:
            add(None)
            del pcm[2 * (most - sent) :]
        send(bytes(pcm))
    return about


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
