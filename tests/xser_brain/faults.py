"""Faults that a run may meet: each is done to a real run, which then has to go on.

What a user sees of each is asserted by ``test_faults.py`` and told in
``docs/reliability.md``, which ``python -m tests.reliability`` writes.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FAULTY = Path(__file__).with_name("faulty.py")
TRAIN = (sys.executable, "-m", "xser_brain", "train")
RUN = Path("ravdess_to_emodb/proposed/ecapa/1")
NOT_UTF8 = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SAME = ("predictions.csv", "train_log.txt")
# Larger than tests' other runs, so that a step does not fit into what memory is left.
LARGE = {"channels": 512, "width": 256, "n_mels": 80, "attention_channels": 128}
SAVED = "the run goes on where it (was saved|stopped)"


@dataclass(frozen=True)
class Seen:
    """What a user sees of a fault.

    Arguments
    ---------
    code : int
        The exit code.
    line : str
        The last line on stderr.
    error : str
        All of stderr.
    """

    code: int
    line: str
    error: str

    def __str__(self):
        return f"exit {self.code}: {self.line or 'nothing'}"


def call(command: Sequence, **environment: str) -> Seen:
    """Run a command to its end, as a user would."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=600,
    )
    lines = [line for line in re.split(r"[\r\n]", done.stderr) if line.strip()]
    last = lines[-1] if done.returncode else ""
    return Seen(done.returncode, last, done.stderr)


@dataclass(frozen=True)
class Fault:
    """A harm, and what should come of it.

    Arguments
    ---------
    name : str
        In the table.
    harm : callable
        Does it to a run that ``argv(folder, **changes)`` describes, below a folder; returns
        what was seen.
    code : int
        The exit code that should be.
    line : str
        What the last line on stderr should match.
    changes : dict
        Of the run's options.
    """

    name: str
    harm: Callable
    code: int = 2
    line: str = ""
    changes: dict = field(default_factory=dict)


def at_a_step(harm: str) -> Callable:
    """Something that ``faulty.py`` does, in the run's own process."""

    def do(argv, folder: Path, changes) -> Seen:
        place = harm.format(run=folder / RUN, folder=folder)
        return call([sys.executable, FAULTY, place, *argv(folder, **changes)])

    return do


def on_a_small_disk(left: int) -> Callable:
    """So many KiB are left of it at the seventh step; room is made again."""

    def do(argv, folder: Path, changes) -> Seen:
        folder.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
        subprocess.run(mount, check=True)
        manifests = folder.with_name(f"{folder.name}-manifests")
        seen = call(
            [
                sys.executable, FAULTY, f"full:{folder},{left}",
                *argv(folder, manifests=manifests, **changes),
            ]
        )  # fmt: skip
        (folder / "ballast").unlink()
        return seen

    return do


def frozen(argv, folder: Path, changes) -> Seen:
    """The folder of checkpoints becomes read-only, and is writable again."""
    seen = at_a_step("frozen:{run}/save")(argv, folder, changes)
    subprocess.run(["umount", str(folder / RUN / "save")], check=True)
    return seen


def moved(argv, folder: Path, changes) -> Seen:
    """The run's folder is moved in mid-run, and back."""
    seen = at_a_step("moved:{run}")(argv, folder, changes)
    shutil.rmtree(folder / RUN, ignore_errors=True)
    Path(f"{folder / RUN}.elsewhere").rename(folder / RUN)
    return seen


def two_starts(argv, folder: Path, changes) -> Seen:
    """The same command while the first is at it."""
    long = {"steps": 99999, "validate_every": 99999}
    command = [*TRAIN, *argv(folder, **{**changes, **long})]
    first = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        while not (folder / RUN / "log.txt").exists():
            time.sleep(0.1)
        return call(command)
    finally:
        first.kill()
        first.wait()
        shutil.rmtree(folder / RUN)


def without_utf8(name: str) -> Callable:
    """In a C locale, with results in a folder of this name."""

    def do(argv, folder: Path, changes) -> Seen:
        seen = call([*TRAIN, *argv(folder / name, **changes)], **NOT_UTF8)
        if seen.code == 0:
            shutil.move(folder / name / RUN.parts[0], folder / RUN.parts[0])
        return seen

    return do


FAULTS = (
    *(
        Fault(
            f"{name} at a step",
            at_a_step(f"signal:{name}"),
            code,
            f"stopped by {name}: the same command goes on from here",
        )
        for name, code in (("SIGTERM", 143), ("SIGINT", 130), ("SIGUSR1", 138))
    ),
    *(
        Fault(
            f"disk full but for {left} KiB",
            on_a_small_disk(left),
            line="No space left on device: free the disk.*" + SAVED,
        )
        for left in (0, 8, 40, 104, 160)
    ),
    Fault("checkpoints become read-only", frozen, line="Read-only file system.*"),
    Fault(
        "memory limit",
        at_a_step("memory"),
        line=f"not enough memory: .*{SAVED}",
        changes=LARGE,
    ),
    Fault("clock set back by a day a step", at_a_step("clock:-1"), code=0),
    Fault("clock set forward by a day a step", at_a_step("clock:1"), code=0),
    Fault("a second start beside the first", two_starts, line="another process trains"),
    Fault(
        "folder moved in mid-run, and back", moved, line="is not there: if it was moved"
    ),
    Fault("C locale without UTF-8 mode", without_utf8("results"), code=0),
    Fault(
        "the same, and a folder that is not ASCII",
        without_utf8("Ergebnisse für Müller"),
        line="cannot be read as ascii: set PYTHONUTF8=1",
    ),
)


def is_same(folder: Path, undisturbed: Path) -> bool:
    """Whether what a run has come to is the same, byte for byte."""
    return all(
        (folder / RUN / name).read_bytes() == (undisturbed / RUN / name).read_bytes()
        for name in SAME
    )


def try_fault(fault: Fault, argv, folder: Path) -> tuple[Seen, bool]:
    """Do the harm, give the same command again, and compare with an undisturbed run.

    Arguments
    ---------
    fault : Fault
        What is done.
    argv : callable
        Options of a run, by its results' folder and changes.
    folder : Path
        For both runs.

    Returns
    -------
    Seen
        Of the harm.
    bool
        Whether the run came to the same predictions in the end.
    """
    options = argv(folder / "undisturbed", **fault.changes)
    assert call([*TRAIN, *options]).code == 0
    harmed = folder / "harmed"
    try:
        seen = fault.harm(argv, harmed, fault.changes)
        manifests = harmed.with_name(f"{harmed.name}-manifests")
        kept = {"manifests": manifests} if manifests.exists() else {}
        again = call([*TRAIN, *argv(harmed, **fault.changes, **kept)])
        assert again.code == 0, again.error
        return seen, is_same(harmed, folder / "undisturbed")
    finally:
        if os.path.ismount(harmed):
            subprocess.run(["umount", "--lazy", str(harmed)], check=False)
