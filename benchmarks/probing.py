"""Time header probing and the full decode check against bare soundfile.

    python benchmarks/probing.py --repeats 5
    python benchmarks/probing.py --repeats 5 --format flac

Probing opens as many files as ESD has (17,500), warm. The decode check is compared with
``soundfile.read`` alone, in as many processes as there are cores, which are started before:
as it reads by default (float64), and in the files' own 16 bits. A share above 1 means that
the check is faster.
"""

import argparse
import os
import statistics
import struct
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from timing import interleaved, markdown

from data_prep import audio

SECONDS = 3.0  # about the mean of ESD


def blank(path: Path) -> None:
    """Write a silent file that takes no room on disk."""
    rate = audio.SAMPLE_RATE
    size = 2 * round(SECONDS * rate)
    with path.open("wb") as stream:
        stream.write(b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt ")
        stream.write(struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16))
        stream.write(b"data" + struct.pack("<I", size))
        stream.truncate(44 + size)


def bare(path: str) -> None:
    """Read as soundfile does by default."""
    soundfile.read(path)


def bare_16_bits(path: str) -> None:
    """Read without conversion."""
    soundfile.read(path, dtype="int16")


def main() -> None:
    """Print the medians, and the shares of the check's speed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--headers", type=int, default=17_500)
    parser.add_argument("--decoded", type=int, default=2_000)
    parser.add_argument("--format", choices=("wav", "flac"), default="wav")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    cores = os.cpu_count()
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(cores) as processes,
    ):
        silent = [Path(folder) / f"{i}.wav" for i in range(args.headers)]
        for path in silent:
            blank(path)
        noise = np.random.default_rng(0).integers(
            -3000, 3000, round(SECONDS * audio.SAMPLE_RATE), np.int16
        )
        noisy = [Path(folder) / f"noise{i}.{args.format}" for i in range(args.decoded)]
        for path in noisy:
            soundfile.write(path, noise, audio.SAMPLE_RATE)

        def read(function) -> None:
            list(processes.map(function, map(str, noisy), chunksize=64))

        times = interleaved(
            {
                "probe": lambda: audio.for_all(audio.probe, list(map(str, silent)), ""),
                "check": lambda: audio.for_all(audio.check, list(map(str, noisy)), ""),
                "soundfile.read": lambda: read(bare),
                "soundfile.read, int16": lambda: read(bare_16_bits),
            },
            args.repeats,
        )
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    rows = [
        {
            "case": name,
            "files": args.headers if name == "probe" else args.decoded,
            "median s": seconds,
            "check's speed is so many times": seconds / medians["check"]
            if name.startswith("soundfile")
            else "",
        }
        for name, seconds in medians.items()
    ]
    print(f"{cores} cores\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
