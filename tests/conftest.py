"""Fixtures for all tests: where development data lies, and small audio files."""

import csv
import gzip
import os
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

# The corpora of whoever runs the tests are none of theirs.
os.environ["XSER_CORPORA"] = os.devnull
SHARED = Path(
    os.environ.get("XSER_SHARED", Path(__file__).resolve().parents[2] / "shared")
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """What was logged of damaged names is no UTF-8, and xdist ends at a report of it."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data; tests that need it are skipped without it."""
    if not (SHARED / "corpora").is_dir():
        pytest.skip(f"no development data in {SHARED} (set XSER_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def restored(shared, tmp_path_factory) -> Path:
    """The real corpora of the development data, as .wav in their official layouts."""
    folder = tmp_path_factory.mktemp("corpora")
    subprocess.run(
        [sys.executable, shared / "corpora/restore.py", folder],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def listing(shared):
    """Rows of a corpus' listing: path, seconds, sample_rate, label."""

    def read(name: str) -> list[dict]:
        path = shared / f"corpora/listings/{name}.csv.gz"
        with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    return read


@pytest.fixture(scope="session")
def blank():
    """Write a silent wav that takes no room on disk."""

    def write(path: Path, seconds: float = 0.1, rate: int = 16000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 2 * round(seconds * rate)
        with path.open("wb") as stream:
            stream.write(b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt ")
            stream.write(struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16))
            stream.write(b"data" + struct.pack("<I", size))
            stream.truncate(44 + size)
        return path

    return write


@pytest.fixture(scope="session")
def tone():
    """Write half a second of a tone, in any format."""

    def write(path: Path, rate: int = 16000, channels: int = 1, **kwargs) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)
        soundfile.write(path, np.tile(samples[:, None], channels), rate, **kwargs)
        return path

    return write


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems():
    """Keep hypothesis from importing every optional integration of SpeechBrain.

    It asks all loaded modules for ``__file__``, on which SpeechBrain's lazy modules
    import what is not installed (k2), and fail.
    """
    importutils = sys.modules.get("speechbrain.utils.importutils")
    if importutils is None:
        return
    load = importutils.LazyModule.__getattr__

    def load_unless_dunder(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return load(self, name)

    importutils.LazyModule.__getattr__ = load_unless_dunder


CODECS = {  # of picture and sound
    ".mp4": ("mpeg4", "aac"),
    ".avi": ("mpeg4", "mp3"),
    ".webm": ("libvpx", "libopus"),
    ".mkv": (None, "flac"),
    ".m4a": (None, "aac"),
    ".mov": ("mpeg4", "aac"),
    ".aac": (None, "aac"),
    ".opus": (None, "libopus"),
    ".amr": (None, "libopencore_amrnb"),
    ".3gp": ("mpeg4", "libopencore_amrnb"),
    ".wma": (None, "wmav2"),
}


@pytest.fixture(scope="session")
def video():
    """Write a clip with a tone, or none, in the format of its suffix."""
    import av

    def encode(container, stream, frames) -> None:
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                container.mux(packet)

    def write(
        path: Path,
        seconds: float = 1.0,
        rate: int = 48000,
        layout: str = "stereo",
        samples: np.ndarray | None = None,
        sound: bool = True,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture_codec, sound_codec = CODECS[path.suffix]
        if samples is None:
            times = np.arange(round(seconds * rate)) / rate
            samples = 0.3 * np.sin(2 * np.pi * 440 * times)
        with av.open(str(path), "w") as container:
            if picture_codec:
                picture = container.add_stream(picture_codec, rate=10)
                picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            if sound:
                track = container.add_stream(sound_codec, rate=rate, layout=layout)
                if sound_codec == "wmav2":
                    track.bit_rate = 64000  # it has no default
            if picture_codec:
                frames = [av.VideoFrame(64, 48, "yuv420p") for _ in range(10)]
                for number, frame in enumerate(frames):
                    frame.pts = number
                encode(container, picture, frames)
            if sound:
                channels = len(track.layout.channels)
                block = track.codec_context.frame_size or 1024
                frames = []
                for start in range(0, len(samples), block):
                    part = np.tile(
                        np.float32(samples[start : start + block]), (channels, 1)
                    )
                    frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
                    frame.rate, frame.pts = rate, start
                    frame.time_base = Fraction(1, rate)
                    frames.append(frame)
                encode(container, track, frames)
        return path

    return write
