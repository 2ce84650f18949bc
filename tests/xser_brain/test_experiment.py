"""Runs from the command line to the artefacts: contract, resume, repetition, mistakes."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile
import torch
import yaml
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from small import RECIPE, ROOT

from data_prep import corpus, manifest, prepare, standin
from data_prep.manifest import EMOTIONS
from xser_brain.brain import XSERBrain
from xser_brain.cli.train import main
from xser_brain.features import shards
from xser_brain.training import record as record_of_run
from xser_brain.training import run, spec
from xser_brain.training.checkpoints import UNFINISHED, AtomicCheckpointer
from xser_brain.training.spec import hparams_sha256

RUN = Path("ravdess_to_emodb/proposed/ecapa/1")
COLUMNS = "ID,language,speaker,emotion,predicted,p_neutral,p_happy,p_angry,p_sad,subset"


def read_predictions(folder):
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def checkpoints(folder):
    """Contents of the checkpoints, oldest first, but for what tells the time."""
    states = []
    saved = {
        yaml.safe_load((path / "CKPT.yaml").read_text())["step"]: path
        for path in (folder / "save").iterdir()
    }
    for _, path in sorted(saved.items()):
        states.append(
            {
                file.stem: torch.load(file, weights_only=True)
                for file in sorted(path.glob("*.ckpt"))
                if file.stem not in ("counter", "brain", "sampler")
            }
        )
        states[-1]["run_state"].pop("seconds")
        for name in ("counter", "brain", "sampler"):
            # Parsed: audformat, once imported, has PyYAML write in another order.
            text = (path / f"{name}.ckpt").read_text()
            states[-1][name] = yaml.safe_load(text)
    return states


def assert_equal(one, other, where=""):
    """Equal to the last bit, however nested."""
    assert type(one) is type(other), where
    if torch.is_tensor(one):
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{where}/{i}")
    else:
        assert one == other, where


# --- The contract of a run


def test_artefacts(finished):
    there = {path.name for path in finished.iterdir()}
    assert {"run.json", "predictions.csv", "confusion.png", "hyperparams.yaml"} <= there
    assert {"train_log.txt", "save", "log.txt", "env.log"} <= there


def test_run_json(finished, record):
    run = record(finished)
    assert run["schema"] == 1
    assert run["standin"] is True
    assert run["zero_shot"] is True
    assert run["setting"] == {
        "source": ["ravdess"],
        "non_target": ["esd", "urdu"],
        "target": "emodb",
        "languages": {"train": ["en", "ur", "zh"], "target": "de"},
    }
    assert run["system"] == "proposed"
    assert run["trains_on"] == "all"
    assert run["objectives"] == ["emotion", "speaker", "supcon"]
    assert run["labels"] == list(EMOTIONS)
    assert run["label_set"] == "paper"
    assert run["metrics"] == {}
    assert run["encoder"]["name"] == "ecapa"
    assert run["seed"] == 1
    assert run["steps"] == 12
    for key in ("protocol_sha256", "hparams_sha256"):
        assert len(bytes.fromhex(run[key])) == 32
    names = {"ravdess", "esd", "urdu", "emodb"}
    assert run["manifest_sha256"].keys() == names
    for name in names:
        sidecar = finished.parents[3] / f"manifests/{name}.json"
        assert run["manifest_sha256"][name] == json.loads(sidecar.read_text())["sha256"]
    assert isinstance(run["seconds"], float)
    assert run["seconds"] > 0
    assert run["peak_memory_mb"] > 10
    assert run["device"] == "cpu"
    for name in ("python", "torch", "speechbrain", "xser-brain"):
        assert run["versions"][name][0].isdigit()
    assert run["versions"]["torch"] == torch.__version__.split("+")[0] or run[
        "versions"
    ]["torch"] == str(torch.__version__)


def test_run_json_counts_and_audit(finished, record):
    run = record(finished)
    folder = finished.parents[3] / "manifests"
    rows = {
        name: manifest.read(folder / f"{name}.csv") for name in run["manifest_sha256"]
    }
    trained = [row for name in ("ravdess", "esd", "urdu") for row in rows[name]]
    part = {s: [row for row in trained if row.split == s] for s in ("train", "valid")}
    test = [row for row in rows["emodb"] if row.split == "test"]
    assert run["counts"] == {
        "train": len(part["train"]),
        "valid": len(part["valid"]),
        "test": len(test),
        "target_all": 32,
        "speakers": len({row.speaker for row in part["train"]}),
        "without_audio": {},
    }
    stages = ("training", "sampling", "normalisation", "model_selection", "evaluation")
    assert tuple(run["audit"]) == stages
    assert (
        run["audit"]["training"]
        == run["audit"]["sampling"]
        == {
            "utterances": len(part["train"]),
            "corpora": ["esd", "ravdess", "urdu"],
            "languages": ["en", "ur", "zh"],
            "speakers": len({row.speaker for row in part["train"]}),
        }
    )
    assert run["audit"]["model_selection"]["utterances"] == len(part["valid"])
    assert run["audit"]["evaluation"]["corpora"] == ["emodb"]
    assert run["audit"]["evaluation"]["utterances"] == 32


def test_run_json_valid_is_the_best_of_the_log(finished, record):
    valid = record(finished)["valid"]
    assert valid["uar"].keys() == {"en", "ur", "zh"}
    assert valid["mean"] == pytest.approx(np.mean(list(valid["uar"].values())))
    log = {}
    for line in (finished / "train_log.txt").read_text().splitlines():
        pairs = [p.split(": ") for part in line.split(" - ") for p in part.split(", ")]
        fields = dict(pairs)
        log[int(fields["step"])] = float(fields["valid uar"])
    assert list(log) == [3, 6, 9, 12]
    assert valid["mean"] == pytest.approx(max(log.values()), abs=1e-3)
    assert log[valid["step"]] == max(log.values())


def test_predictions(finished, record):
    text = (finished / "predictions.csv").read_text()
    assert text.splitlines()[0] == COLUMNS
    rows = read_predictions(finished)
    target = manifest.read(finished.parents[3] / "manifests/emodb.csv")
    by_id = {row.ID: row for row in target}
    assert [row["ID"] for row in rows] == sorted(by_id)
    for row in rows:
        own = by_id[row["ID"]]
        assert (row["language"], row["speaker"]) == ("de", own.speaker)
        assert row["emotion"] == own.emotion
        assert row["subset"] == ("test" if own.split == "test" else "rest")
        scores = [float(row[f"p_{emotion}"]) for emotion in EMOTIONS]
        assert sum(scores) == pytest.approx(1, abs=1e-5)
        assert scores[EMOTIONS.index(row["predicted"])] == max(scores)


@pytest.mark.parametrize("name", ["target_test", "target_all"])
def test_scores_are_those_of_the_predictions(finished, record, name):
    """sklearn, from predictions.csv alone."""
    result = record(finished)[name]
    rows = read_predictions(finished)
    if name == "target_test":
        rows = [row for row in rows if row["subset"] == "test"]
    true = [row["emotion"] for row in rows]
    predicted = [row["predicted"] for row in rows]
    matrix = confusion_matrix(true, predicted, labels=EMOTIONS)
    assert result["n"] == len(rows)
    assert result["confusion"] == matrix.tolist()
    assert result["labels"] == list(EMOTIONS)
    assert result["uar"] == pytest.approx(
        100 * balanced_accuracy_score(true, predicted)
    )
    f1 = f1_score(true, predicted, average="macro", labels=EMOTIONS, zero_division=0)
    assert result["macro_f1"] == pytest.approx(100 * f1)
    accuracy = np.mean([a == b for a, b in zip(true, predicted, strict=True)])
    assert result["accuracy"] == pytest.approx(100 * accuracy)
    for i, emotion in enumerate(EMOTIONS):
        recall = 100 * matrix[i, i] / matrix[i].sum()
        assert result["recall"][emotion] == pytest.approx(recall)
    for key in ("uar", "macro_f1"):
        low, high = result["ci95"][key]
        assert 0 <= low <= high <= 100


def test_confusion_is_a_picture(finished):
    path = finished / "confusion.png"
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert min(matplotlib.image.imread(path).shape[:2]) > 400


def test_hyperparams_are_the_resolved_recipe(finished, record):
    text = (finished / "hyperparams.yaml").read_text()
    assert "!include" not in text
    assert record(finished)["hparams_sha256"] == hparams_sha256(text)


def test_seconds_are_of_the_whole_training(finished, record):
    """Not of the best checkpoint, which may be an early one."""
    states = [
        torch.load(path / "run_state.ckpt", weights_only=True)
        for path in (finished / "save").iterdir()
    ]
    assert record(finished)["seconds"] == max(state["seconds"] for state in states)


# --- Systems


@pytest.mark.parametrize(
    ("system", "modules"),
    [
        ("baseline1", {"encoder", "classifier"}),
        ("without_spkadv", {"encoder", "classifier"}),
        ("without_supcon", {"encoder", "classifier", "objectives"}),
        ("upper_bound", {"encoder", "classifier"}),
    ],
)
def test_systems(argv, tmp_path, record, capsys, system, modules):
    assert main(argv(tmp_path, system=system, steps=2, validate_every=2)) == 0
    folder = tmp_path / f"ravdess_to_emodb/{system}/ecapa/1"
    run = record(folder)
    zero_shot = system != "upper_bound"
    assert run["zero_shot"] is zero_shot
    (saved,) = (folder / "save").iterdir()
    weights = {path.stem for path in saved.glob("*.ckpt")}
    assert weights & {"encoder", "classifier", "objectives"} == modules
    log = (folder / "train_log.txt").read_text()
    assert ("supcon" in log) is (system == "without_spkadv")
    assert ("speaker" in log) is ("objectives" in modules)
    subsets = {row["subset"] for row in read_predictions(folder)}
    assert subsets == ({"test", "rest"} if zero_shot else {"test"})
    assert (run["target_all"] is None) is not zero_shot
    assert ("not zero-shot" in capsys.readouterr().out) is not zero_shot


def test_frozen_encoder_from_the_cache(argv, tmp_path, small_encoder, record, capsys):
    options = {
        "encoder": "wav2vec2",
        "encoder_source": small_encoder("wav2vec2"),
        "projection": 8,
        "steps": 4,
        "validate_every": 2,
    }
    assert main(argv(tmp_path, **options)) == 0
    folder = tmp_path / "ravdess_to_emodb/proposed/wav2vec2"
    run = record(folder / "1")
    assert run["encoder"]["frozen"] is True
    assert run["encoder"]["source"] == str(small_encoder("wav2vec2"))
    assert run["trainable_parameters"] < run["encoder"]["parameters"]
    features = list((tmp_path / "features").rglob("*.shard"))
    assert (
        sum(map(shards.count, features)) == 4 * 32 - 3 * 8
    )  # the test parts of three are not needed
    stamps = {path: path.stat().st_mtime_ns for path in features}
    assert main(argv(tmp_path, **options, seed=2)) == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


# --- Budgets


@pytest.mark.parametrize("rate", ["1e-5", "0.00001", "1.0e-05"])
def test_small_numbers_are_numbers(argv, tmp_path, rate):
    changes = {"learning_rate": rate, "weight_decay": rate, "warmup": 0}
    args = argv(tmp_path, system="baseline1", steps=1, validate_every=1, **changes)
    assert main(args) == 0
    folder = tmp_path / "ravdess_to_emodb/baseline1/ecapa/1"
    assert "lr: 1.0000e-05" in (folder / "train_log.txt").read_text()


@pytest.mark.parametrize(("steps", "every"), [(5, 2), (2, 5), (3, 1)])
def test_budget_is_optimiser_steps(argv, tmp_path, record, steps, every):
    args = argv(tmp_path, system="baseline1", steps=steps, validate_every=every)
    assert main(args) == 0
    folder = tmp_path / "ravdess_to_emodb/baseline1/ecapa/1"
    assert record(folder)["steps"] == steps
    lines = (folder / "train_log.txt").read_text().splitlines()
    assert len(lines) == -(-steps // every)
    assert lines[-1].startswith(f"step: {steps},")


def test_a_tie_is_no_improvement(argv, tmp_path, record):
    """With a learning rate of 0 no validation is better than the first."""
    changes = {"learning_rate": 0.0, "validate_every": 1, "patience": 2, "width": 8}
    assert main(argv(tmp_path, system="baseline1", **changes, steps=9)) == 0
    run = record(tmp_path / "ravdess_to_emodb/baseline1/ecapa/1")
    # ECAPA's batch norms go on learning: improvements there are real.
    log = tmp_path / "ravdess_to_emodb/baseline1/ecapa/1/train_log.txt"
    scores = [
        float(line.split("valid uar: ")[1].split(",")[0])
        for line in log.read_text().splitlines()
    ]
    best = scores.index(max(scores))
    assert len(scores) == run["steps"] == min(9, best + 1 + 2)


# --- Repetition


def test_one_seed_one_result(finished, argv, tmp_path, standins):
    """Elsewhere, with its own manifests, and in another order of files."""
    assert main(argv(tmp_path)) == 0
    for name in ("predictions.csv", "confusion.png"):
        one, two = (folder / name for folder in (finished, tmp_path / RUN))
        assert one.read_bytes() == two.read_bytes(), name
    assert_equal(checkpoints(finished), checkpoints(tmp_path / RUN))


def test_another_seed_another_result(finished, argv, tmp_path):
    assert main(argv(tmp_path, seed=2)) == 0
    other = tmp_path / RUN.parent / "2/predictions.csv"
    assert other.read_bytes() != (finished / "predictions.csv").read_bytes()


# --- Resume

# Each kills its own process, in the way that a scheduler does.
KILLED = """
import os, signal, sys, torch
from xser_brain import brain
from xser_brain.cli.train import main
from xser_brain.training import checkpoints, record

def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def at_call(number, function, action=kill):
    calls = []
    def wrapped(*args, **kwargs):
        calls.append(1)
        return (action if len(calls) == number else function)(*args, **kwargs)
    return wrapped

def half(state, path):
    save(state, path)
    os.truncate(path, os.path.getsize(path) // 2)
    kill()

where, save = sys.argv[1], torch.save
if where == "between validations":
    brain.XSERBrain.on_fit_batch_start = at_call(8, brain.XSERBrain.on_fit_batch_start)
elif where == "in a checkpoint":
    torch.save = at_call(7, save, half)
elif where == "before a checkpoint shows":
    checkpoints.ddp_barrier = at_call(3, checkpoints.ddp_barrier)
elif where == "in the evaluation":
    brain.XSERBrain.predict = kill
elif where == "before run.json":
    record.draw_confusion = kill
torch.set_num_threads(1)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    "where",
    [
        "in a checkpoint",
        pytest.param("between validations", marks=pytest.mark.slow),
        pytest.param("before a checkpoint shows", marks=pytest.mark.slow),
        pytest.param("in the evaluation", marks=pytest.mark.slow),
        pytest.param("before run.json", marks=pytest.mark.slow),
    ],
)
def test_killed_run_goes_on_as_if_it_had_not_been(
    where, finished, argv, tmp_path, python, record, caplog
):
    killed = python(KILLED, where, *argv(tmp_path))
    assert killed.returncode == -9, killed.stderr
    folder = tmp_path / RUN
    assert not (folder / "run.json").exists()
    left = list((folder / "save").glob(f"{UNFINISHED}*"))
    assert bool(left) is ("checkpoint" in where)
    assert main(argv(tmp_path)) == 0
    assert not list((folder / "save").glob(f"{UNFINISHED}*"))
    assert_equal(checkpoints(folder), checkpoints(finished))
    predictions = (folder / "predictions.csv").read_bytes()
    assert predictions == (finished / "predictions.csv").read_bytes()
    one, two = record(folder), record(finished)
    for key in ("target_test", "target_all", "valid", "steps", "hparams_sha256"):
        assert one[key] == two[key], key


@pytest.mark.slow
def test_early_stop_survives_a_kill(argv, tmp_path, python, record):
    """A run whose patience is exhausted does not go on after a kill."""
    changes = {"patience": 1, "validate_every": 1, "steps": 12}
    assert (
        python(KILLED, "in the evaluation", *argv(tmp_path, **changes)).returncode == -9
    )
    before = (tmp_path / RUN / "train_log.txt").read_text()
    assert len(before.splitlines()) < 12
    assert main(argv(tmp_path, **changes)) == 0
    assert (tmp_path / RUN / "train_log.txt").read_text() == before
    assert record(tmp_path / RUN)["steps"] == len(before.splitlines())


@pytest.fixture
def copied(finished, argv, tmp_path):
    """A finished run of one's own, and its command line."""
    shutil.copytree(finished.parents[3], tmp_path / "results")
    return tmp_path / "results" / RUN, lambda **kw: argv(tmp_path / "results", **kw)


def test_finished_run_is_not_run_again(copied, capsys, monkeypatch):
    folder, options = copied
    monkeypatch.setattr(XSERBrain, "fit", None)
    monkeypatch.setattr(XSERBrain, "predict", None)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert main(options()) == 0
    out = capsys.readouterr().out
    assert "UAR" in out
    assert f"everything written to {folder}" in out
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.5}, "temperature: 0.5"),
        ({"steps": 15}, "steps: 15"),
        ({"n_mels": 20}, "n_mels: 20"),
    ],
)
def test_changed_hyperparameters_are_refused(copied, complaint, change, message):
    folder, options = copied
    before = (folder / "run.json").read_bytes()
    line = complaint(options(**change))
    assert message in line
    assert str(folder) in line
    assert "--overwrite=True" in line
    assert (folder / "run.json").read_bytes() == before


def test_changed_data_are_refused(copied, complaint, standins, tmp_path):
    folder, options = copied
    shutil.copytree(standins, tmp_path / "other")
    next((tmp_path / "other/urdu/Sad").iterdir()).unlink()
    line = complaint(options(data_root=tmp_path / "other"))
    assert "the corpora or their splits changed" in line


def test_moved_data_are_the_same_data(copied, standins, tmp_path, capsys):
    folder, options = copied
    shutil.copytree(standins, tmp_path / "moved")
    assert main(options(data_root=tmp_path / "moved")) == 0
    assert "UAR" in capsys.readouterr().out


def test_overwrite(copied, record):
    folder, options = copied
    assert main(options(overwrite=True, steps=3)) == 0
    assert record(folder)["steps"] == 3
    assert len((folder / "train_log.txt").read_text().splitlines()) == 1
    assert main(options(steps=3)) == 0  # finished, under its new settings


# --- Settings


# --- Mistakes


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"source": "emodb"}, ["source and target are both emodb"]),
        ({"non_target": "[esd, emodb]"}, ["emodb is among the non-target"]),
        ({"non_target": "[esd, ravdess]"}, ["ravdess is named twice"]),
        ({"target": "emodbb"}, ["'emodbb'", "did you mean emodb"]),
        ({"system": "propsed"}, ["'propsed'", "proposed"]),
        ({"encoder": "ecappa", "width": None, "channels": None, "n_mels": None,
          "attention_channels": None}, ["'ecappa'", "ecapa"]),
        ({"splits": "random"}, ["'random'", "speaker"]),
        ({"splits": "paper"}, ["no split of ravdess", "--splits=speaker"]),
        ({"data_root": None}, ["data_root is not set", "--data_root=DIR", "--demo=True"]),
        ({"data_root": "/no/such/folder"}, ["no folder /no/such/folder/ravdess"]),
        ({"non_target": "[esd]"}, ["languages_per_batch is 3", "en, zh"]),
        ({"sed": "1"}, ["'sed'", "did you mean seed"]),
        ({"steps": "many"}, ["steps", "many"]),
        ({"steps": "0"}, ["steps"]),
        ({"validate_every": "0"}, ["validate_every"]),
        ({"batch_size": "0", "system": "baseline1"}, ["batch_size"]),
        ({"batch_size": "0"}, ["batch_size"]),
        ({"seed": "one"}, ["seed", "one"]),
        ({"learning_rate": "1e-x"}, ["learning_rate", "1e-x"]),
        ({"patience": "0"}, ["patience"]),
        ({"steps": "2.5"}, ["steps is 2.5", "whole"]),
        ({"learning_rate": "fast"}, ["learning_rate", "fast"]),
        ({"crop": "-1"}, ["crop"]),
        ({"temperature": "0"}, ["temperature"]),
        ({"normalise_by": "luck"}, ["luck"]),
        ({"encoder": "wav2vec2", "encoder_source": "/no/encoder"},
         ["/no/encoder", "--encoder_source"]),
    ],
    ids=str,
)  # fmt: skip
def test_mistakes(argv, complaint, tmp_path, changes, parts):
    line = complaint(argv(tmp_path, **changes))
    for part in parts:
        assert part in line
    assert not list(tmp_path.rglob("run.json"))


def test_no_recipe(complaint, tmp_path):
    assert "no recipe" in complaint([tmp_path / "none.yaml"])


def test_a_recipe_with_a_typo(complaint, argv, tmp_path):
    (tmp_path / "recipes/x/hparams").mkdir(parents=True)
    (tmp_path / "recipes/common").symlink_to(ROOT / "recipes/common")
    path = tmp_path / "recipes/x/hparams/x.yaml"
    path.write_text(RECIPE.read_text().replace("target: emodb", "tagret: emodb"))
    line = complaint([path, *argv(tmp_path)[1:]])
    assert "'tagret'" in line
    assert "did you mean target" in line


@pytest.mark.parametrize("piece", ["target", "encoder", "run", "training", "model"])
def test_a_recipe_that_lacks_something(complaint, argv, tmp_path, piece):
    (tmp_path / "recipes/x/hparams").mkdir(parents=True)
    (tmp_path / "recipes/common").symlink_to(ROOT / "recipes/common")
    path = tmp_path / "recipes/x/hparams/x.yaml"
    lines = RECIPE.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(piece + ":")))
    line = complaint([path])
    assert f"no {piece}" in line or (piece == "encoder" and "there are: " in line)


@pytest.mark.parametrize("place", ["/proc/nothing", "below a file"])
def test_results_that_cannot_be_written(complaint, argv, tmp_path, place):
    if place == "below a file":
        (tmp_path / "file").touch()
        place = tmp_path / "file/results"
    line = complaint(argv(place))
    assert "cannot write" in line
    assert str(place) in line


@pytest.mark.parametrize("size", ["40k", "200k"])
def test_full_disk(size, complaint, argv, small_disk, tmp_path):
    disk = small_disk(size)
    line = complaint(argv(disk, manifests=tmp_path / "manifests"))
    assert "cannot write" in line
    assert "--results=DIR" in line or "make room" in line
    assert not list(disk.rglob("run.json"))


@pytest.mark.slow
def test_run_goes_on_after_a_full_disk(
    complaint, argv, small_disk, tmp_path, finished, record
):
    disk = small_disk("3m")
    ballast = disk / "ballast"
    fit_batch = XSERBrain.fit_batch
    with pytest.MonkeyPatch.context() as patch:

        def fill(self, batch):
            if self.optimizer_step == 7 and not ballast.exists():
                with ballast.open("wb", buffering=0) as stream:
                    try:
                        while stream.write(bytes(4096)):
                            pass
                    except OSError:
                        pass
            return fit_batch(self, batch)

        patch.setattr(XSERBrain, "fit_batch", fill)
        assert "cannot write" in complaint(argv(disk))
    ballast.unlink()
    assert main(argv(disk)) == 0
    assert_equal(checkpoints(disk / RUN), checkpoints(finished))
    assert record(disk / RUN)["target_all"] == record(finished)["target_all"]


def moved(folder, function):
    """What moves a run's folder away before it does something for the first time."""

    def call(*args, **kwargs):
        if not folder.with_name("elsewhere").exists():
            folder.rename(folder.with_name("elsewhere"))
        return function(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (AtomicCheckpointer, "save_checkpoint"),
        (run, "score"),
        (record_of_run, "write"),
    ],
    ids=["checkpoint", "score", "record"],
)
def test_a_folder_moved_in_mid_run(place, name, complaint, argv, tmp_path, monkeypatch):
    """Neither trained on nor written anew without what went before."""
    folder = tmp_path / RUN
    monkeypatch.setattr(place, name, moved(folder, getattr(place, name)))
    line = complaint(argv(tmp_path))
    assert "is not there: if it was moved in mid-run, move it back" in line
    assert not folder.exists()
    monkeypatch.undo()
    folder.with_name("elsewhere").rename(folder)
    assert main(argv(tmp_path)) == 0


def damage_with_nan(path):
    samples, rate = soundfile.read(path)
    samples[len(samples) // 2] = np.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")


@pytest.fixture
def spoiled(standins, tmp_path):
    """Corpora of which one training utterance is about to be spoiled."""
    shutil.copytree(standins, tmp_path / "corpora")
    manifest_path = prepare.prepare(
        corpus.get("urdu"), standins / "urdu", tmp_path / "m", "speaker"
    )
    row = next(r for r in manifest.read(manifest_path) if r.split == "train")
    return tmp_path / "corpora", Path(row.path(tmp_path / "corpora"))


@pytest.mark.parametrize("encoder", ["ecapa", "wav2vec2"])
@pytest.mark.parametrize("workers", [0, 2])
def test_nan_in_training(
    spoiled, complaint, argv, tmp_path, small_encoder, encoder, workers
):
    root, path = spoiled
    damage_with_nan(path)
    changes = {"data_root": root, "num_workers": workers, "encoder": encoder}
    if encoder == "wav2vec2":
        changes["encoder_source"] = small_encoder("wav2vec2")
    line = complaint(argv(tmp_path / "results", **changes))
    assert str(path) in line
    assert "NaN" in line
    assert "--decode" in line
    assert not list(tmp_path.rglob("run.json"))


def test_undecodable_in_training(spoiled, complaint, argv, tmp_path, monkeypatch):
    """Rotten since its manifest was written."""
    root, path = spoiled
    original = spec.make_plan

    def rot(*args):
        plan = original(*args)
        path.write_bytes(b"RIFF" + bytes(path.stat().st_size - 4))
        return plan

    monkeypatch.setattr(spec, "make_plan", rot)
    line = complaint(argv(tmp_path / "results", data_root=root))
    assert str(path) in line
    assert "not an audio file that can be read" in line


def test_undecodable_before_preparation_is_left_out(spoiled, argv, tmp_path, record):
    root, path = spoiled
    path.write_bytes(b"no audio")
    args = argv(tmp_path / "results", data_root=root, steps=2, validate_every=2)
    assert main(args) == 0
    sidecar = json.loads((tmp_path / "results/manifests/urdu.json").read_text())
    assert sidecar["rejected"][0]["path"] in str(path)


# --- The command line


@pytest.mark.slow
def test_train_py(argv, tmp_path):
    """The recipe's own script, from its own folder."""
    script = ROOT / "recipes/en_de/train.py"
    args = argv(tmp_path, system="baseline1", steps=1, validate_every=1)[1:]
    done = subprocess.run(
        [sys.executable, script.name, "hparams/iemocap_to_emodb.yaml", *args],
        cwd=script.parent,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "ravdess_to_emodb/baseline1/ecapa/1"
    assert f"everything written to {folder}" in done.stdout.splitlines()
    assert "emodb never heard in training" in done.stdout
    assert "synthetic stand-ins" in done.stdout


def test_demo(tmp_path, monkeypatch, record):
    """Stand-ins are written where the demo's results go."""
    written = standin.write

    def few(name, folder, **kwargs):
        return written(name, folder, speakers=4, sentences=1, progress=False)

    monkeypatch.setattr(standin, "write", few)
    options = ["--demo=True", "--steps=1", "--validate_every=1", "--system=baseline1"]
    assert main([str(RECIPE), *options, f"--results={tmp_path}"]) == 0
    assert (tmp_path / "standins/emodb/STANDIN.json").is_file()
    assert record(tmp_path / "iemocap_to_emodb/baseline1/ecapa/1")["standin"] is True


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["ecapa", "wav2vec2"])
def test_two_processes(encoder, argv, tmp_path, small_encoder, record):
    """Under torchrun with gloo: a step is a step of both, artefacts are written once."""
    changes = {"steps": 6, "validate_every": 2, "encoder": encoder}
    if encoder == "wav2vec2":
        changes |= {"encoder_source": small_encoder("wav2vec2"), "projection": 8}
    args = argv(tmp_path, **changes)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = str(ROOT / "recipes/en_de/train.py")
    done = subprocess.run(
        [*command, "--nproc_per_node=2", script, *args, "--distributed_backend=gloo"],
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("everything written to") == 1
    folder = tmp_path / f"ravdess_to_emodb/proposed/{encoder}/1"
    run = record(folder)
    assert run["steps"] == 6
    lines = (folder / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step: 2", "step: 4", "step: 6"]
    rows = read_predictions(folder)
    assert len(rows) == len({row["ID"] for row in rows}) == 32
    assert not list((folder / "save").glob(f"{UNFINISHED}*"))
    assert main(args) == 0  # finished, also for a single process
