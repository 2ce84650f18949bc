"""Videos, made by PyAV."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

CODECS = {  # of picture and sound
    ".mp4": ("mpeg4", "aac"),
    ".avi": ("mpeg4", "mp3"),
    ".webm": ("libvpx", "libopus"),
    ".mkv": (None, "flac"),
    ".m4a": (None, "aac"),
}


@pytest.fixture(scope="session")
def video():
    """Write a clip with a tone, or none, in the format of its suffix."""
    av = pytest.importorskip("av", reason="PyAV is not installed (the extra `video`)")

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
