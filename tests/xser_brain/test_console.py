"""What a run says on the console: little, and to people; the rest goes to log.txt."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch
from small import ROOT

from data_prep.progress import bar, silenced
from xser_brain.cli.train import main

RUN = Path("ravdess_to_emodb/proposed/ecapa/1")
VALIDATION = re.compile(
    r"step (\d+) of 12: validation UAR \d+\.\d % "
    r"\(en \d+\.\d, ur \d+\.\d, zh \d+\.\d\), (the best so far|best \d+\.\d % at step \d+)"
)


@pytest.fixture(scope="session")
def terminal():
    """What a command shows on a terminal of its own, as it comes."""

    def run(*args: object, cwd: Path | None = None) -> str:
        ours, theirs = pty.openpty()
        size = struct.pack("HHHH", 40, 120, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        with subprocess.Popen(
            [sys.executable, *map(str, args)],
            stdout=theirs, stderr=theirs, cwd=cwd,
        ) as process:  # fmt: skip
            os.close(theirs)
            shown = b""
            while True:
                try:
                    part = os.read(ours, 1 << 16)
                except OSError:  # the other end is closed
                    break
                if not part:
                    break
                shown += part
        os.close(ours)
        assert process.returncode == 0, shown[-3000:]
        return shown.decode().replace("\r\n", "\n")

    return run


def without(option: str, argv: list[str]) -> list[str]:
    assert option in argv
    return [item for item in argv if item != option]


def test_a_run_is_calm(argv, capfd, tmp_path):
    assert main(without("--noprogressbar", argv(tmp_path))) == 0
    out, err = capfd.readouterr()
    assert err == ""  # no terminal, and so no bar
    lines = out.splitlines()
    assert len(lines) <= 25
    found = [match for match in map(VALIDATION.fullmatch, lines) if match]
    assert [int(match[1]) for match in found] == [3, 6, 9, 12]
    assert sum("training on ravdess" in line for line in lines) == 1
    assert not re.search(r"\d\.\d\d+ ?%", out)
    assert "speechbrain" not in out
    log = (tmp_path / RUN / "log.txt").read_text()
    assert "speechbrain.core - INFO - Beginning experiment!" in log
    assert "XSERBrain Model Statistics" in log
    assert all(match[0] in log for match in found)


def test_the_best_is_named(argv, capfd, tmp_path, record):
    """Of a run that goes on, too: it is the one that is kept in the end."""
    assert main(argv(tmp_path, seed=3)) == 0
    best = record(tmp_path / RUN.with_name("3"))["valid"]
    last = [
        m for m in map(VALIDATION.fullmatch, capfd.readouterr()[0].splitlines()) if m
    ]
    [kept] = [m for m in last if int(m[1]) == best["step"]]
    assert kept[2] == "the best so far"
    told = f"best {best['mean']:.1f} % at step {best['step']}"
    later = [m for m in last if int(m[1]) > best["step"]]
    assert all(m[2] == told for m in later)


def test_verbose(argv, capfd, finished, tmp_path):
    """SpeechBrain's lines are back, nothing else differs, and no run is another for it."""
    assert main([*argv(tmp_path), "--verbose"]) == 0
    out = capfd.readouterr()[0]
    assert "speechbrain.core - Beginning experiment!" in out
    assert "speechbrain.utils.train_logger - step: 3" in out
    same = (finished / "predictions.csv").read_bytes()
    assert (tmp_path / RUN / "predictions.csv").read_bytes() == same
    assert main(argv(tmp_path)) == 0
    assert "finished already" in capfd.readouterr()[0]


@pytest.mark.slow
def test_several_processes_speak_once(argv, capfd, tmp_path):
    assert main([*argv(tmp_path), "--processes=2"]) == 0
    lines = capfd.readouterr()[0].splitlines()
    assert sum("training on ravdess" in line for line in lines) == 1
    assert sum("ravdess (a synthetic stand-in)" in line for line in lines) == 1
    assert len([line for line in lines if VALIDATION.fullmatch(line)]) == 4


def test_one_line_of_progress(argv, terminal, tmp_path):
    given = without("--noprogressbar", argv(tmp_path))
    shown = terminal("-m", "xser_brain", "train", *given)
    # What a line looked like before it was written over.
    parts = [part.strip() for line in shown.split("\n") for part in line.split("\r")]
    steps = [part for part in parts if re.match(r"step \d+ of 12 \|", part)]
    assert any(
        re.search(r"\| best \d+\.\d % at step \d+, \d\d:\d\d left$", p) for p in steps
    )
    assert any("hashes" in part for part in parts)
    # What stays: no bar.
    stays = [line.split("\r")[-1].strip() for line in shown.split("\n")]
    stays = [line for line in stays if line]
    assert len(stays) <= 25
    assert not [line for line in stays if "it/s" in line or "left" in line], stays


@pytest.mark.slow
def test_noprogressbar_silences_all(argv, terminal, tmp_path):
    """At a terminal too, and while corpora are prepared."""
    given = argv(tmp_path)
    assert "--noprogressbar" in given
    assert "\r" not in terminal("-m", "xser_brain", "train", *given)


@pytest.mark.parametrize("options", [{}, {"disable": False}, {"disable": True}])
def test_silenced_bars(options):
    with silenced():
        assert bar(total=3, **options).disable
    with silenced(), silenced(False):
        assert bar(total=3, **options).disable


def test_bars_are_for_terminals(capsys):
    with bar(total=3) as shown:
        shown.update(3)
    assert shown.disable
    assert capsys.readouterr().err == ""


# --- Devices


@pytest.mark.parametrize("device", ["cuda", "cuda:99", "gpu", "cpu:x"])
def test_a_device_that_is_not_there(argv, complaint, tmp_path, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    line = complaint([*argv(tmp_path / "results"), f"--device={device}"])
    assert f"--device={device}: this machine has no such device: use cpu" in line
    assert not (tmp_path / "results").exists()


# --- The README


@pytest.mark.slow
def test_a_first_run_is_as_the_readme_shows(tmp_path):
    """All of what `make demo` prints, but for figures and paths."""
    readme = (ROOT / "README.md").read_text("utf-8")
    [make] = [
        line.removeprefix("DEMO := ")
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line.startswith("DEMO := ")
    ]
    [shown] = re.findall(
        rf"```text\n\$ python {re.escape(make)}\n(.*?)```", readme, re.S
    )
    done = subprocess.run(
        [sys.executable, *make.split(), f"--results={tmp_path}"],
        cwd=ROOT / "recipes/en_de", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=True,
    )  # fmt: skip

    def plain(text: str) -> list[str]:
        text = re.sub(r"\S*/(?=manifests|iemocap_to)", "…/", text)
        text = re.sub(r"the best so far|best \d+\.\d % at step \d+", "best", text)
        return re.sub(r" *\d+(\.\d+)?", " N", text).splitlines()

    assert len(done.stdout.splitlines()) <= 25
    assert plain(done.stdout) == plain(shown)
