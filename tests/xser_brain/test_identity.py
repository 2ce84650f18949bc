"""A run's folder is taken for just that run: its end, its seed, its precision."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import RECIPE

from data_prep.errors import UserError
from xser_brain.brain import XSERBrain
from xser_brain.cli.train import main
from xser_brain.grids import grid
from xser_brain.reports.runs import find_runs, group_runs
from xser_brain.training.options import settle

RUN = Path("ravdess_to_emodb/proposed/ecapa/1")
KILLED = """
import os, signal, sys, torch
from xser_brain import brain
from xser_brain.brain import XSERBrain
from xser_brain.cli.train import main

start, calls = brain.XSERBrain.on_fit_batch_start, []

def killed(*args, **kwargs):
    calls.append(1)
    if len(calls) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return start(*args, **kwargs)

brain.XSERBrain.on_fit_batch_start = killed
torch.set_num_threads(1)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def copied(finished, argv, tmp_path):
    shutil.copytree(finished.parents[3], tmp_path / "results")
    return tmp_path / "results" / RUN, lambda **kw: argv(tmp_path / "results", **kw)


# --- --test_only


def test_test_only_of_a_killed_run(argv, complaint, python, finished, record, tmp_path):
    assert python(KILLED, *argv(tmp_path)).returncode == -9
    line = complaint([*argv(tmp_path), "--test_only"])
    assert "after 6 of 12 steps" in line
    assert "leave --test_only out" in line
    assert not (tmp_path / RUN / "run.json").exists()
    assert main(argv(tmp_path)) == 0
    assert record(tmp_path / RUN)["target_all"] == record(finished)["target_all"]


def test_test_only_of_a_trained_run(copied, finished, record):
    """It is scored again, and says how long it was trained."""
    folder, options = copied
    (folder / "run.json").unlink()
    assert main([*options(), "--test_only"]) == 0
    assert record(folder)["target_all"] == record(finished)["target_all"]
    assert record(folder)["steps"] == 12


def test_test_only_of_an_early_stop(argv, tmp_path, record):
    changes = {"patience": 1, "validate_every": 1}
    assert main(argv(tmp_path, **changes)) == 0
    before = record(tmp_path / RUN)
    assert before["steps"] < 12
    (tmp_path / RUN / "run.json").unlink()
    assert main([*argv(tmp_path, **changes), "--test_only"]) == 0
    assert record(tmp_path / RUN)["steps"] == before["steps"]


def test_test_only_of_nothing(argv, complaint, tmp_path):
    assert "no trained model" in complaint([*argv(tmp_path), "--test_only"])


# --- The seed


@pytest.mark.parametrize("version", ["this", "an earlier one"])
def test_a_copied_folder_is_not_another_seed(version, copied, complaint):
    folder, options = copied
    if version != "this":
        path = folder / "identity.json"
        identity = json.loads(path.read_text())
        del identity["seed"], identity["processes"]
        path.write_text(json.dumps(identity))
        assert main(options()) == 0  # and it is still finished
    shutil.copytree(folder, folder.with_name("2"))
    line = complaint(options(seed=2))
    assert "then seed 1, now 2" in line
    assert str(folder.with_name("2")) in line


def test_a_grid_tells_seeds_apart(copied, standins, tmp_path):
    """A copied folder is work left to do, for the run itself to refuse."""
    folder, options = copied
    shutil.copytree(folder, folder.with_name("2"))
    path = tmp_path / "grid.yaml"
    path.write_text(f"recipes: [{RECIPE}]\nsystems: [proposed]\nseeds: [1, 2]\n")
    given = [item for item in options()[1:] if not item.startswith("--results")]
    planned = grid.plan(grid.read(path), tmp_path / "results", given)
    assert planned.finished == [RUN.as_posix()]
    assert [task.name for task in planned.tasks] == [RUN.with_name("2").as_posix()]


# --- The number of processes


def test_another_number_of_processes(copied, complaint):
    folder, options = copied
    path = folder / "identity.json"
    identity = json.loads(path.read_text())
    assert identity["processes"] == 1
    path.write_text(json.dumps({**identity, "processes": 2}))
    assert main(options()) == 0  # finished is finished
    (folder / "run.json").unlink()
    assert "then processes 2, now 1" in complaint(options())


@pytest.mark.slow
def test_begun_on_two_processes(argv, complaint, tmp_path):
    """Really begun by torchrun, and killed."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    begun = subprocess.run(
        [*command, "--nproc_per_node=2", script, *argv(tmp_path / "r"),
         "--distributed_backend=gloo"],
        capture_output=True, text=True, timeout=170,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert begun.returncode
    assert (tmp_path / "r" / RUN / "identity.json").exists()
    assert "then processes 2, now 1" in complaint(argv(tmp_path / "r"))


# --- Precision


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        (["--bfloat16_mix_prec"], ("bf16", "fp32")),
        (["--precision=bf16"], ("bf16", "fp32")),
        (["--precision", "bf16"], ("bf16", "fp32")),
        (["--eval_precision=bf16"], ("fp32", "bf16")),
        (["--bfloat16_mix_prec", "--eval_precision=bf16"], ("bf16", "bf16")),
        ([], ("fp32", "fp32")),
    ],
    ids=" ".join,
)
def test_precision_is_recorded_truly(
    given, recorded, argv, complaint, record, tmp_path
):
    args = argv(tmp_path, steps=2, validate_every=2)
    assert main([*args, *given]) == 0
    log = (tmp_path / RUN / "log.txt").read_text()
    used = [re.findall(rf"`--{name}=(\w+)`", log) for name in
            ("precision", "eval_precision")]  # fmt: skip
    assert used == [[recorded[0]], [recorded[1]]]  # what SpeechBrain computes in
    options = record(tmp_path / RUN)["options"]
    assert (options["precision"], options["eval_precision"]) == recorded
    identity = json.loads((tmp_path / RUN / "identity.json").read_text())
    assert identity["options"] == options
    if given:
        assert "precision" in complaint(args)


def test_spellings_of_one_precision_are_one_run(argv, tmp_path, monkeypatch):
    args = argv(tmp_path, steps=2, validate_every=2)
    assert main([*args, "--bfloat16_mix_prec"]) == 0
    monkeypatch.setattr(XSERBrain, "fit", None)  # not trained again
    assert main([*args, "--precision=bf16"]) == 0


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"precision": "fp16", "device": "cpu"}, "needs a GPU"),
        ({"auto_mix_prec": True, "device": "cpu"}, "needs a GPU"),
        ({"bfloat16_mix_prec": True, "precision": "fp16"}, "give one"),
        ({"precision": "half"}, "fp32 or fp16 or bf16"),
        ({"nonfinite_patience": 9}, "first loss"),
        ({"skip_nonfinite_grads": True}, "first loss"),
        ({"optimizer_step_limit": 4}, "--steps"),
    ],
    ids=str,
)
def test_options_that_no_run_takes(given, part):
    with pytest.raises(UserError, match=re.escape(part)):
        settle(given)


# --- --debug


def test_debug_is_no_result(copied, finished, record, tmp_path):
    folder, options = copied
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert main([*options(), "--debug"]) == 0
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    debugged = tmp_path / "results/debug" / RUN
    assert record(debugged)["purpose"] == "debug"
    assert record(debugged)["options"]["debug"] is True
    (group,) = group_runs(find_runs(tmp_path / "results"))
    assert [run["folder"] for run in group.runs] == [folder]


def test_a_mistake_before_training_claims_no_folder(argv, complaint, tmp_path, capsys):
    assert "hidden is -2" in complaint(argv(tmp_path, hidden=-2))
    assert main(argv(tmp_path, steps=1, validate_every=1)) == 0
    capsys.readouterr()
    line = complaint(argv(tmp_path, steps=1, validate_every=1, hidden=8))
    assert "(then the defaults, now hidden: 8)" in line
