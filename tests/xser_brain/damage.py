"""Bits that flip, in checkpoints."""

from pathlib import Path

import numpy as np

from xser_brain.training.checkpoints import is_whole


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file over."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def flips(folder: Path, count: int) -> list[tuple[Path, int]]:
    """Bits of all files of a checkpoint: each file's, and then at random by size."""
    rng = np.random.default_rng(0)
    files = sorted(folder.iterdir())
    sizes = np.array([8 * path.stat().st_size for path in files])
    chosen = [*range(len(files)), *rng.choice(len(files), count, p=sizes / sizes.sum())]
    return [(files[i], int(rng.integers(sizes[i]))) for i in chosen]


def is_noticed(folder: Path, path: Path, bit: int) -> bool:
    """Whether a checkpoint is not whole while a bit is flipped, and is so again after."""
    flip(path, bit)
    noticed = not is_whole(folder)
    flip(path, bit)
    return noticed and is_whole(folder)
