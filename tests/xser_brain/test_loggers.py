"""Curves of a run in TensorBoard and Weights & Biases; they change nothing of it."""

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from small import RECIPE

from xser_brain.cli.train import main
from xser_brain.training import loggers
from xser_brain.training.hparams import resolve
from xser_brain.training.spec import hparams_sha256

RUN = Path("ravdess_to_emodb/proposed/ecapa/1")
STEPS = [3, 6, 9, 12]
CURVES = ("loss/train", "supcon/train", "loss/valid", "uar/valid", "uar_ur/valid")


def figures(run: Path, name: str) -> list[float]:
    """One of train_log.txt, at each validation."""
    lines = (run / "train_log.txt").read_text().splitlines()
    found = [line.split(f"{name}: ")[1].split(" ")[0].rstrip(",") for line in lines]
    return [float(value) for value in found]


def test_tensorboard(argv, finished, tmp_path):
    """Its event file, read back: all curves, by optimiser steps."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main([*argv(tmp_path), "--loggers=[tensorboard]"]) == 0
    run = tmp_path / RUN
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {*CURVES, "lr"} <= {*events.Tags()["scalars"]}
    for curve in CURVES:
        scalars = events.Scalars(curve)
        assert [item.step for item in scalars] == STEPS
        written = figures(run, " ".join(curve.split("/")[::-1]))
        assert [item.value for item in scalars] == pytest.approx(written, rel=1e-3)
    assert [item.step for item in events.Scalars("lr")] == STEPS
    same = (finished / "predictions.csv").read_bytes()
    assert (run / "predictions.csv").read_bytes() == same


def history(path: Path) -> list[dict]:
    """What wandb kept: a log of LevelDB's form, of blocks of 32 KiB, in protobuf."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts, rows = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no room for a head: zeros
            place += 32768 - place % 32768
            continue
        size, kind = struct.unpack("<4xHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            record, parts = Record.FromString(parts), b""
            if record.WhichOneof("record_type") == "history":
                rows.append(
                    {
                        ".".join(item.nested_key) or item.key: json.loads(
                            item.value_json
                        )
                        for item in record.history.item
                    }
                )
    return rows


@pytest.mark.slow
def test_wandb_offline(argv, finished, tmp_path):
    """In a process of its own, as it starts others; what it kept is read back."""
    pytest.importorskip("wandb", reason="wandb is not installed")
    environment = {**os.environ, "WANDB_MODE": "offline"}
    command = [sys.executable, "-m", "xser_brain", "train", *argv(tmp_path)]
    done = subprocess.run(
        [*command, "--loggers=[wandb]"],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "wandb:" not in done.stdout + done.stderr
    same = (finished / "predictions.csv").read_bytes()
    run = tmp_path / RUN
    assert (run / "predictions.csv").read_bytes() == same
    [kept] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    rows = history(kept)
    assert [row["step"] for row in rows] == STEPS
    assert [row["_step"] for row in rows] == STEPS
    # A run's folder with links out of it would be refused.
    assert main(argv(tmp_path)) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[tensorbord]", "loggers holds 'tensorbord': use tensorboard, wandb"),
        ("wandb", "loggers is 'wandb': give a list"),
        ("7", "loggers is 7: give a list"),
    ],
)
def test_unknown_loggers(argv, complaint, tmp_path, given, message):
    assert message in complaint([*argv(tmp_path / "results"), f"--loggers={given}"])
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", loggers.KNOWN)
def test_a_logger_that_is_not_installed(argv, complaint, monkeypatch, tmp_path, name):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == name else find(n, *a)
    )
    line = complaint([*argv(tmp_path / "results"), f"--loggers=[{name}]"])
    assert f"{name} is not installed: pip install 'xser-brain[{name}]'" in line
    assert not (tmp_path / "results").exists()


def test_a_logger_of_ones_own(argv, monkeypatch, tmp_path):
    (tmp_path / "kept.py").write_text(
        "from speechbrain.utils.train_logger import TrainLogger\n"
        "class Kept(TrainLogger):\n"
        "    rows = []\n"
        "    def log_stats(self, stats_meta, train_stats=None, valid_stats=None, **more):\n"
        "        self.rows.append((stats_meta['step'], valid_stats['uar']))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    given = [*argv(tmp_path), "--loggers=[!new:kept.Kept ]"]
    assert main(given) == 0
    from kept import Kept

    assert [step for step, _ in Kept.rows] == STEPS


def test_what_is_shown_is_no_part_of_a_run():
    same = hparams_sha256(resolve(RECIPE))
    for key, value in (("verbose", True), ("loggers", ["tensorboard", "wandb"])):
        assert hparams_sha256(resolve(RECIPE, {key: value})) == same


def test_a_run_begun_before_goes_on(argv, finished, tmp_path, capfd):
    """One whose recipe knew neither key."""
    shutil.copytree(finished.parents[3], tmp_path / "results")
    assert main([*argv(tmp_path / "results"), "--verbose"]) == 0
    assert "finished already" in capfd.readouterr()[0]
