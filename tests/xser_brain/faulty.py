"""Train as train.py does, and do a harm at the seventh step: HARM, then its options.

A harm is real: the disk is full, a process is dead, the folder is elsewhere. Some need a
place, as ``full:/mnt``.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from xser_brain.brain import XSERBrain
from xser_brain.cli.train import main

STEP = 7


def fill(place: str, left: int = 0) -> None:
    """Leave so many KiB on a disk."""
    with Path(place, "ballast").open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            pass
        stream.truncate(max(0, stream.tell() - 1024 * left))


def freeze(place: str) -> None:
    """Let a folder take nothing more."""
    for how in (["--bind", place, place], ["-o", "remount,bind,ro", place]):
        subprocess.run(["mount", *how], check=True)


def full(place: str) -> None:
    """``PLACE,KiB``."""
    folder, _, left = place.partition(",")
    fill(folder, int(left or 0))


def move(place: str) -> None:
    """The run's folder, as a tidy colleague does it."""
    Path(place).rename(f"{place}.elsewhere")


def remove(place: str) -> None:
    """All of it."""
    subprocess.run(["rm", "-r", place], check=True)


def limit_memory(_: str) -> None:
    """To what is in use and 16 MiB."""
    used = int(Path("/proc/self/statm").read_text().split()[0])
    limit = used * resource.getpagesize() + (16 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def set_clock(days: str) -> None:
    """By so many days, and as many more with each later look at it."""
    real, looks = time.time, []

    def wrong() -> float:
        looks.append(1)
        return real() + 86400 * int(days) * len(looks)

    time.time = wrong


def signalled(name: str) -> None:
    """By itself, as by somebody else."""
    os.kill(os.getpid(), getattr(signal, name))


HARMS = {
    "full": full,
    "frozen": freeze,
    "moved": move,
    "removed": remove,
    "memory": limit_memory,
    "clock": set_clock,
    "signal": signalled,
}

if __name__ == "__main__":
    harm, _, place = sys.argv[1].partition(":")
    start, steps = XSERBrain.on_fit_batch_start, []

    def harmed(self, *args):
        steps.append(1)
        if len(steps) == STEP:
            HARMS[harm](place)
        return start(self, *args)

    XSERBrain.on_fit_batch_start = harmed
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[2:]))
