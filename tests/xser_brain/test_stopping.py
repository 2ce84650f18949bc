"""Runs that are asked to stop, that save by the clock, and that read ahead: all exact."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from small import TINY
from test_experiment import assert_equal, checkpoints

from xser_brain.cli.train import main
from xser_brain.training import stopping
from xser_brain.training.options import INTERVAL, settle

RUN = Path("ravdess_to_emodb/proposed/ecapa/1")
# Signals its own process at the start of a step (the eighth: between two validations), or
# wherever else it is asked to.
SIGNALLED = """
import os, sys, torch
from xser_brain import brain
from xser_brain.cli.train import main
from xser_brain.features import store

number, where = int(sys.argv[1]), sys.argv[2]

def at_call(count, function):
    calls = []
    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), number)
        return function(*args, **kwargs)
    return wrapped

if where == "features":
    store.Store.write = at_call(7, store.Store.write)
elif where == "scoring":
    brain.XSERBrain.predict = at_call(1, brain.XSERBrain.predict)
elif where == "validation":
    brain.XSERBrain.evaluate_batch = at_call(3, brain.XSERBrain.evaluate_batch)
elif where == "step":
    start = brain.XSERBrain.on_fit_batch_start
    brain.XSERBrain.on_fit_batch_start = at_call(8, start)
torch.set_num_threads(1)
sys.exit(main(sys.argv[3:]))
"""


def steps(folder: Path) -> dict[int, bool]:
    """Steps of the checkpoints, and whether each is of a validation."""
    metas = [yaml.safe_load(p.read_text()) for p in folder.glob("save/CKPT*/CKPT.yaml")]
    return {meta["step"]: meta["end-of-epoch"] for meta in metas}


def assert_same_run(folder, other, record):
    assert_equal(checkpoints(folder), checkpoints(other))
    for name in ("predictions.csv", "train_log.txt"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    for key in ("target_test", "target_all", "valid", "steps"):
        assert record(folder)[key] == record(other)[key], key


@pytest.mark.parametrize(
    "name",
    [
        "SIGTERM",
        pytest.param("SIGINT", marks=pytest.mark.slow),
        pytest.param("SIGUSR1", marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_the_run_goes_on(
    name, argv, python, finished, record, tmp_path
):
    number = getattr(signal, name)
    stopped = python(SIGNALLED, str(int(number)), "step", *argv(tmp_path))
    assert stopped.returncode == 128 + number
    assert stopped.returncode == {"SIGTERM": 143, "SIGINT": 130}.get(name, 138)
    lines = [line for line in stopped.stderr.splitlines() if "stopped by" in line]
    assert lines == [f"stopped by {name}: the same command goes on from here"]
    assert "Traceback" not in stopped.stderr
    # The step in hand was ended: none is lost.
    assert steps(tmp_path / RUN)[8] is False
    assert main(argv(tmp_path)) == 0
    assert_same_run(tmp_path / RUN, finished, record)


@pytest.mark.parametrize(
    "where", ["validation", pytest.param("scoring", marks=pytest.mark.slow)]
)
def test_a_signal_elsewhere(where, argv, python, finished, record, tmp_path):
    stopped = python(SIGNALLED, "15", where, *argv(tmp_path))
    assert stopped.returncode == 143
    assert "Traceback" not in stopped.stderr
    assert not (tmp_path / RUN / "run.json").exists()
    assert set(steps(tmp_path / RUN).values()) == {True}
    assert main(argv(tmp_path)) == 0
    assert_same_run(tmp_path / RUN, finished, record)


@pytest.mark.slow
def test_a_signal_while_features_are_computed(argv, python, small_encoder, tmp_path):
    changes = {"encoder": "wav2vec2", "encoder_source": small_encoder("wav2vec2"),
               "projection": 8, "steps": 2, "validate_every": 2}  # fmt: skip
    stopped = python(SIGNALLED, "15", "features", *argv(tmp_path, **changes))
    assert stopped.returncode == 143
    assert "Traceback" not in stopped.stderr
    assert not list(tmp_path.rglob("*.tmp"))
    assert main(argv(tmp_path, **changes)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["ecapa", "wav2vec2-lora"])
def test_accumulated_steps_are_saved_whole(
    encoder, argv, python, small_encoder, record, tmp_path
):
    """Four batches a step, and in the pieces of the second encoder dropout."""
    changes = {}
    if encoder != "ecapa":
        changes = {"encoder": "wav2vec2", "encoder_source": small_encoder("wav2vec2"),
                   "adaptation": "lora", "lora_dropout": 0.3}  # fmt: skip
    one, other = (
        [*argv(tmp_path / name, **changes), "--grad_accumulation_factor=4"]
        for name in "ab"
    )
    assert main(one) == 0
    assert python(SIGNALLED, "15", "step", *other).returncode == 143
    run = RUN.parents[1] / encoder / "1"
    assert steps(tmp_path / "b" / run)[8] is False
    assert main(other) == 0
    assert_same_run(tmp_path / "b" / run, tmp_path / "a" / run, record)


def test_signals_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with stopping.heeded():
        with pytest.raises(stopping.Stopped) as stopped:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert stopping.asked() is None


def test_who_saves_is_not_broken_off_unless_asked_twice():
    with stopping.heeded(), stopping.saving():
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping.asked() == signal.SIGINT
        os.kill(os.getpid(), signal.SIGTERM)  # a scheduler's, after the terminal's
        time.sleep(stopping.APART)
        with pytest.raises(stopping.Stopped):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_signals_at_any_moment(workers, argv, finished, record, tmp_path):
    """From outside, to the whole group as a terminal does it, until the run is done."""
    rng = np.random.default_rng(3)
    args = argv(tmp_path, num_workers=workers)
    code = "import sys, torch; torch.set_num_threads(1)\n"
    code += "from xser_brain.cli.train import main; sys.exit(main(sys.argv[1:]))"
    for number in [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1] * 3:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *args],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        log = tmp_path / RUN / "log.txt"
        size = log.stat().st_size if log.exists() else 0
        while process.poll() is None and not (
            log.exists() and log.stat().st_size > size
        ):
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 1.5))
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        _, error = process.communicate(timeout=120)
        assert "Traceback" not in error
        if process.returncode == 0:
            break
        assert process.returncode == 128 + number
    assert main(args) == 0
    assert_same_run(tmp_path / RUN, finished, record)


# --- Checkpoints by the clock


def test_checkpoints_are_made_by_time_unless_told_otherwise():
    assert settle({}).ckpt_interval_minutes == INTERVAL
    assert settle({"ckpt_interval_minutes": 0}).ckpt_interval_minutes == 0
    assert settle({"ckpt_interval_steps": 5}).ckpt_interval_minutes == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "kept"),
    [("--ckpt_interval_steps=2", 6), ("--ckpt_interval_minutes=1", 7)],
)
def test_a_kill_between_validations_costs_no_more(
    option, kept, argv, python, finished, record, tmp_path
):
    """Where minutes count, every step takes some by the clock that is asked."""
    code = SIGNALLED
    if "minutes" in option:
        code = "import time\nreal = time.monotonic\n"
        code += "time.monotonic = lambda: 1e6 * real()\n" + SIGNALLED
    args = argv(tmp_path, validate_every=12)
    assert python(code, "9", "step", *args, option).returncode == -9
    assert steps(tmp_path / RUN) == {kept: False}
    assert main([*args, option]) == 0
    assert main(argv(tmp_path / "other", validate_every=12)) == 0
    assert_same_run(tmp_path / RUN, tmp_path / "other" / RUN, record)


# --- Processes that read ahead

NOISY = """
trains_on: all
sampler: hierarchical
objectives:
  emotion: !new:xser_brain.objectives.CrossEntropy
augmentation:
  waveforms: !new:xser_brain.data.augmentation.Noise
  embeddings: !new:xser_brain.data.augmentation.Mixup
"""


@pytest.fixture
def cases(small_encoder, tmp_path):
    path = tmp_path / "noisy.yaml"
    path.write_text(NOISY)
    lora = {"encoder": "wav2vec2", "encoder_source": small_encoder("wav2vec2"),
            "adaptation": "lora", "steps": 6}  # fmt: skip
    return {
        "crops": {"crop": 0.3},
        "noise": {"system": path, "crop": 0.5},
        "waveforms": {**lora, "cache": "none"},
        "prefixes": lora,
        "changed prefixes": {**lora, "system": path},
    }


@pytest.mark.parametrize(
    "case",
    [
        "noise",
        *(
            pytest.param(case, marks=pytest.mark.slow)
            for case in ("crops", "waveforms", "prefixes", "changed prefixes")
        ),
    ],
)
def test_readers_change_nothing(case, cases, argv, tmp_path):
    found = {}
    for workers in (0, 2):
        results = tmp_path / str(workers)
        assert main(argv(results, num_workers=workers, **cases[case])) == 0
        (path,) = results.rglob("predictions.csv")
        (log,) = results.rglob("train_log.txt")
        found[workers] = path.read_bytes(), log.read_bytes()
    assert found[0] == found[2]


@pytest.mark.slow
@pytest.mark.parametrize("number", ["9", "15"])
def test_resume_with_readers(number, cases, argv, python, record, tmp_path):
    changes = {**cases["noise"], "num_workers": 2}
    killed = python(SIGNALLED, number, "step", *argv(tmp_path / "a", **changes))
    assert killed.returncode in (-9, 143), killed.stderr
    assert main(argv(tmp_path / "a", **{**changes, "num_workers": 1})) == 0
    assert main(argv(tmp_path / "b", **{**changes, "num_workers": 0})) == 0
    run = RUN.parents[2] / "noisy/ecapa/1"
    assert_same_run(tmp_path / "a" / run, tmp_path / "b" / run, record)


@pytest.mark.slow
def test_the_place_in_an_interval_is_saved(argv, python, tmp_path):
    assert python(SIGNALLED, "15", "step", *argv(tmp_path)).returncode == 143
    (path,) = [
        path.parent for path in (tmp_path / RUN).glob("save/CKPT*/CKPT.yaml")
        if not yaml.safe_load(path.read_text())["end-of-epoch"]
    ]  # fmt: skip
    assert yaml.safe_load((path / "brain.ckpt").read_text())["step"] == 2
    assert json.loads((path / "sampler.ckpt").read_text())["epoch"] == 3
    assert TINY["validate_every"] == 3
