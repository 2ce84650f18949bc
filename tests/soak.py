"""A grid that is killed again and again, and has to end as one that nobody disturbed.

``python -m tests.soak [--seconds=3600] [--out=FILE]`` runs a grid on stand-ins once in
peace. Then it starts the same grid in other folders, kills it or a run of it every 30 to 90
seconds and starts it again, until the time is up and the last grid is complete. Files are
compared byte for byte; what is left behind is looked for. It prints a Markdown table, and
ends with 1 if anything differs or was left.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from data_prep import standin

PAUSES = 30, 90  # seconds between two kills
CORPORA = ("ravdess", "esd", "urdu", "emodb")
OPTIONS = {
    "source": "ravdess", "non_target": "[esd,urdu]", "splits": "speaker",
    "steps": 120, "validate_every": 15, "warmup": 20, "crop": 1.0,
    "width": 16, "channels": 16, "n_mels": 16, "attention_channels": 8,
}  # fmt: skip
GRID = """\
recipes: [en_de/hparams/iemocap_to_emodb.yaml]
systems: [baseline1, baseline2, proposed, without_supcon, without_spkadv, upper_bound]
seeds: [1, 2]
"""
# Who gets the signal: the grid, one of its runs, or all processes at once.
KILLS = (
    ("the grid", signal.SIGKILL),
    ("a run", signal.SIGKILL),
    ("all processes", signal.SIGKILL),
    ("the grid", signal.SIGTERM),
)
COMPARED = ("predictions.csv", "train_log.txt")
CACHE = "torchinductor_"
WHEN = re.compile(r"CKPT\+[^/]*")
MARK = "XSER_SOAK"


def processes(mark: str) -> list[int]:
    """Processes of the grids whose results lie below this folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        marks = [v for v in environment if v.startswith(f"{MARK}={mark}".encode())]
        if marks and state != "Z":
            found.append(int(folder.name))
    return found


class Soak:
    """A grid in a folder of its own, as often as it is started."""

    def __init__(self, folder: Path, jobs: int):
        self.folder, self.jobs = folder, jobs
        self.data, self.grid = folder / "standins", folder / "grid.yaml"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.grid.write_text(GRID)
        for name in CORPORA:
            standin.write(
                name, self.data / name, speakers=4, sentences=2, progress=False
            )

    def start(self, results: Path) -> subprocess.Popen:
        """The command that a user gives."""
        options = {"data_root": self.data, **OPTIONS}
        return subprocess.Popen(
            [
                sys.executable, "-m", "xser_brain", "grid", str(self.grid),
                "--results", str(results), f"--jobs={self.jobs}", "--threads=1",
                *(f"--{key}={value}" for key, value in options.items()),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(self.temporary), MARK: str(results)},
        )  # fmt: skip

    def left(self) -> list[Path]:
        """Temporary files, but for the one cache that torch keeps for each user."""
        return [x for x in self.temporary.iterdir() if not x.name.startswith(CACHE)]

    def kill(self, process: subprocess.Popen, who: str, number: int) -> None:
        """Send it; if it is for a run and there is none yet, to the grid."""
        runs = [n for n in processes(process.args[6]) if _holds_a_run(n)]
        if who == "all processes":
            os.killpg(process.pid, number)
        elif who == "a run" and runs:
            os.kill(random.choice(runs), number)
        else:
            os.kill(process.pid, number)


def _holds_a_run(number: int) -> bool:
    """Whether a process writes the log of a run."""
    try:
        return "/logs/" in os.readlink(f"/proc/{number}/fd/1")
    except OSError:
        return False


def names(results: Path) -> set[str]:
    """Of all files, whenever their checkpoints were made."""
    files = (path for path in results.rglob("*") if path.is_file())
    return {WHEN.sub("CKPT", path.relative_to(results).as_posix()) for path in files}


def differences(results: Path, other: Path) -> list[str]:
    """Files whose bytes differ, or that only one of the two grids has."""
    found = sorted(names(results) ^ names(other))
    for name in COMPARED:
        for path in sorted(other.rglob(name)):
            own = results / path.relative_to(other)
            if not own.exists() or own.read_bytes() != path.read_bytes():
                found.append(str(path.relative_to(other)))
    return found


def soak(folder: Path, seconds: float, jobs: int, seed: int) -> dict:
    """Disturb grids for so many seconds.

    Arguments
    ---------
    folder : Path
        Empty; it is filled.
    seconds : float
        How long at least; the last grid is brought to its end.
    jobs : int
        Runs at once.
    seed : int
        Of the moments.

    Returns
    -------
    dict
        Figures of the table.
    """
    random.seed(seed)
    shared = set(os.listdir("/dev/shm"))
    grids = Soak(folder, jobs)
    undisturbed = folder / "undisturbed"
    process = grids.start(undisturbed)
    error = process.communicate()[1]
    if process.returncode:
        raise SystemExit(error)
    began, kills, done, wrong = time.monotonic(), Counter(), 0, []
    due = began + random.uniform(*PAUSES)
    while time.monotonic() - began < seconds:
        results = folder / f"disturbed{done}"
        complete = False
        while not complete:
            process, killed = grids.start(results), False
            while process.poll() is None:
                try:
                    error = process.communicate(timeout=max(0, due - time.monotonic()))[
                        1
                    ]
                except subprocess.TimeoutExpired:
                    who, number = random.choice(KILLS)
                    grids.kill(process, who, number)
                    kills[f"{signal.Signals(number).name} to {who}"] += 1
                    killed, due = True, due + random.uniform(*PAUSES)
            complete = process.returncode == 0
            if not complete and not killed:
                wrong.append(f"exit {process.returncode}: {error.splitlines()[-1]}")
                if len(wrong) > 9:
                    raise SystemExit("\n".join(wrong))
        wrong += differences(results, undisturbed)
        done += 1
        print(f"{done} grids, {kills.total()} kills, {wrong}", file=sys.stderr)
        shutil.rmtree(results)
    time.sleep(5)
    return {
        "minutes": (time.monotonic() - began) / 60,
        "grids": done,
        "runs of each": len(list(undisturbed.rglob("run.json"))),
        **{f"kills: {name}": count for name, count in sorted(kills.items())},
        "files that differ, or are there in one of the two": len(wrong),
        "temporary files left": len(grids.left()),
        "processes left": len(processes(str(folder))),
        "shared memory left": len(set(os.listdir("/dev/shm")) - shared),
    }


def table(figures: dict) -> str:
    """As Markdown."""
    rows = [f"| {name} | {value:.0f} |" for name, value in figures.items()]
    return "\n".join(["| soak | |", "| --- | --- |", *rows])


def main(argv: list[str] | None = None) -> int:
    """Soak, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of kills")
    parser.add_argument("--out", type=Path, help="a file for the table")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        figures = soak(folder, args.seconds, args.jobs, args.seed)
    finally:
        for number in processes(str(folder)):
            os.kill(number, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    print(table(figures))
    if args.out:
        args.out.write_text(table(figures) + "\n", encoding="utf-8")
    return int(
        any(figures[name] for name in figures if "left" in name or "differ" in name)
    )


if __name__ == "__main__":
    sys.exit(main())
