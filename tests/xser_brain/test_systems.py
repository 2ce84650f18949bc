"""Systems of one's own, from YAML to artefacts: what takes effect, and what is refused."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small import RECIPE, ROOT

from data_prep import manifest
from xser_brain.cli.train import main

RUNS = Path("ravdess_to_emodb")
DESIGN = {
    "mysystem.yaml": """\
trains_on: all            # or source, target
sampler: hierarchical     # or random, or !name: of a class
objectives:
  emotion: !new:xser_brain.objectives.CrossEntropy
  spread: !new:mylab.Spread
    weight: 0.1
""",
    "mylab.py": '''\
from xser_brain.objectives import Objective

class Spread(Objective):
    """Rewards embeddings that differ."""
    def forward(self, heard, progress):
        return -heard.embeddings.var(dim=0).mean()
''',
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files into a folder of one's own; what is imported from it is forgotten."""
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    yield write
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def states(run: Path) -> dict:
    """The last checkpoint: what each file of it holds."""
    last = max((run / "save").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return {
        path.stem: torch.load(path, weights_only=True)
        for path in last.glob("*.ckpt")
        if path.stem not in ("counter", "brain", "sampler", "dataloader")
    }


def edited(write, **below: str) -> Path:
    """The recipe in a folder of one's own, with lines below its `!include:` of blocks."""
    lines = RECIPE.read_text().splitlines()
    for block, text in below.items():
        place = next(i for i, line in enumerate(lines) if line.startswith(block))
        lines[place + 1 : place + 1] = ["  " + line for line in text.splitlines()]
    return write("lab/hparams/edited.yaml", "\n".join([*lines, ""]))


# --- What once did nothing


SHIFTED = """
from xser_brain.objectives import LanguageAwareSupCon

class MySupCon(LanguageAwareSupCon):
    def forward(self, heard, progress):
        return super().forward(heard, progress) + 1000
"""


def test_a_contrastive_loss_of_ones_own_trains(write, argv, tmp_path):
    recipe = edited(write, objectives="supcon: !new:shifted.MySupCon")
    write("lab/hparams/shifted.py", SHIFTED)
    options = argv(tmp_path, system="without_spkadv", steps=2, validate_every=2)[1:]
    assert main([str(recipe), *options]) == 0
    log = (tmp_path / RUNS / "without_spkadv/ecapa/1/train_log.txt").read_text()
    assert float(re.search(r"train supcon: ([\d.e+]+)", log)[1]) > 1000


def test_an_optimiser_of_ones_own_trains(write, argv, tmp_path):
    recipe = edited(
        write, training="optimizer: !name:torch.optim.SGD\n  lr: 0.1\n  momentum: 0.9"
    )
    options = argv(tmp_path, system="baseline1", steps=2, validate_every=2)[1:]
    assert main([str(recipe), *options]) == 0
    saved = states(tmp_path / RUNS / "baseline1/ecapa/1")["optimizer_heads"]
    assert saved["param_groups"][0]["momentum"] == 0.9
    assert {*saved["state"][0]} == {"momentum_buffer"}


def test_a_tag_on_the_command_line_trains(argv, tmp_path):
    changes = {"optimizer": "!name:torch.optim.SGD", "steps": 2, "validate_every": 2}
    assert main(argv(tmp_path, system="baseline1", **changes)) == 0
    saved = states(tmp_path / RUNS / "baseline1/ecapa/1")["optimizer_heads"]
    assert "momentum" in saved["param_groups"][0]


# --- A system by its path


LEARNS = '''
import torch
from xser_brain.objectives import Objective

class Probe(Objective):
    """Has a weight from the start, a layer when sizes are known, a pace of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.scale = torch.nn.Parameter(torch.rand(()))

    def bind(self, width, labels):
        self.layer = torch.nn.Linear(width, len(labels.languages))

    def forward(self, heard, progress):
        logits = self.scale * self.layer(heard.embeddings)
        return torch.nn.functional.cross_entropy(logits.float(), heard.languages)
'''
PROBE = """
trains_on: all
objectives:
  emotion: !ref <objectives[emotion]>
  probe: !new:probes.Probe
    weight: 0.5
    projection: 6
    learning_rate: 0.02
"""


def test_an_objective_with_parameters(write, argv, tmp_path, record):
    """They train at their own rate, are in the checkpoint, and one seed is one result."""
    write("probes.py", LEARNS)
    system = write("probe.yaml", PROBE)
    runs = [tmp_path / name / RUNS / "probe/ecapa/1" for name in ("one", "two")]
    for run in runs:
        options = argv(run.parents[3], system=system, steps=4, validate_every=2)
        assert main(options) == 0
        torch.rand(3)  # what came before must not matter
    told = record(runs[0])
    assert told["objectives"] == ["emotion", "probe"]
    assert told["trains_on"] == "all" and told["zero_shot"] is True
    one, two = map(states, runs)
    assert {name.removeprefix("probe.") for name in one["objectives"]} == {
        "scale", "layer.weight", "layer.bias", "projector.0.weight",
        "projector.0.bias", "projector.2.weight", "projector.2.bias",
    }  # fmt: skip
    assert len(one["optimizer_objective_probe"]["state"]) == 7
    assert one["optimizer_objective_probe"]["param_groups"][0]["lr"] > 1e-3
    for name, value in one["objectives"].items():
        assert torch.equal(value, two["objectives"][name]), name
    predictions = [(run / "predictions.csv").read_bytes() for run in runs]
    assert predictions[0] == predictions[1]


def test_a_path_is_the_same_however_it_is_spelled(write, argv, tmp_path, monkeypatch):
    write("probes.py", LEARNS)
    system = write("probe.yaml", PROBE)
    options = {"steps": 2, "validate_every": 2}
    assert main(argv(tmp_path / "r", system=system, **options)) == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xser_brain.training.run.train", None)  # finished already
    for spelled in (
        "probe.yaml",
        "./probe.yaml",
        "../" + tmp_path.name + "/probe.yaml",
    ):
        assert main(argv(tmp_path / "r", system=spelled, **options)) == 0


@pytest.mark.slow
def test_the_files_of_the_design_resume_after_a_kill(write, argv, tmp_path, record):
    """From a folder outside the repository, as a process of its own."""
    for name, text in DESIGN.items():
        write(f"mine/{name}", text)

    def start(results: str) -> subprocess.Popen:
        options = {"system": "mysystem.yaml", "steps": 40, "validate_every": 4}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, ROOT / "recipes/en_de/train.py",
             *argv(tmp_path / results, patience=99, **options)],
            cwd=tmp_path / "mine", env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    place = RUNS / "mysystem/ecapa/1"
    whole, broken = tmp_path / "whole" / place, tmp_path / "broken" / place
    straight = start("whole")
    output, _ = straight.communicate(timeout=300)
    assert straight.returncode == 0, output
    killed, log = start("broken"), broken / "train_log.txt"
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        assert killed.poll() is None, killed.communicate()[0]
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (broken / "run.json").exists()
    assert len(log.read_text().splitlines()) < 10, "killed too late to show anything"
    again = start("broken")
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    for name in ("predictions.csv", "model/model.safetensors"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    lines = (whole / "train_log.txt").read_text().splitlines()
    assert len(lines) == 10 and all("train spread: -" in line for line in lines)
    assert lines[-1] == log.read_text().splitlines()[-1]
    told = record(broken)
    assert (told["system"], told["objectives"]) == ("mysystem", ["emotion", "spread"])
    assert told["target_all"] == record(whole)["target_all"]


# --- Two modules of one name


def test_a_module_of_the_name_of_another_that_is_loaded(
    write, argv, complaint, tmp_path
):
    write("csv.py", DESIGN["mylab.py"])
    system = write("m.yaml", DESIGN["mysystem.yaml"].replace("mylab", "csv"))
    line = complaint(argv(tmp_path / "r", system=system))
    assert f"{tmp_path}/csv.py has the name of another module" in line
    assert "rename it" in line


def test_a_module_of_the_name_of_another_that_is_installed(
    write, argv, complaint, tmp_path
):
    """Python would take the other one, in silence."""
    assert "this" not in sys.modules
    write("this.py", DESIGN["mylab.py"])
    system = write("m.yaml", DESIGN["mysystem.yaml"].replace("mylab", "this"))
    line = complaint(argv(tmp_path / "r", system=system))
    assert f"{tmp_path}/this.py has the name of another module" in line
    assert "rename it" in line


def test_two_modules_of_ones_own_of_one_name(write, argv, complaint, tmp_path):
    write("a/mylab.py", DESIGN["mylab.py"])
    write("b/mylab.py", DESIGN["mylab.py"])
    one = write("a/one.yaml", DESIGN["mysystem.yaml"])
    two = write("b/two.yaml", DESIGN["mysystem.yaml"])
    options = {"steps": 1, "validate_every": 1}
    assert main(argv(tmp_path / "r", system=one, **options)) == 0
    line = complaint(argv(tmp_path / "r", system=two, **options))
    assert f"{tmp_path}/b/mylab.py has the name of another module" in line
    assert f"{tmp_path}/a/mylab.py" in line


def test_a_module_beside_the_recipe_and_one_beside_the_system(
    write, argv, complaint, tmp_path
):
    recipe = edited(write)
    write("lab/hparams/mylab.py", DESIGN["mylab.py"])
    write("b/mylab.py", DESIGN["mylab.py"])
    system = write("b/two.yaml", DESIGN["mysystem.yaml"])
    line = complaint([recipe, *argv(tmp_path / "r", system=system)[1:]])
    assert "mylab.py has the name of another module" in line


# --- Mistakes

NONE = """
import torch
from xser_brain.data.augmentation import WaveformTransform

class NoObjective(torch.nn.Module):
    pass

def no_sampler(rows, batches, seed):
    return [[0]] * batches
"""
BEGIN = "trains_on: all\nobjectives:\n  emotion: !ref <objectives[emotion]>\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (BEGIN + "samplr: random\n", ["system m: unknown key 'samplr'", "sampler"]),
        (BEGIN.split("\n", 1)[1], ["system m: no trains_on", "all, target or everything"]),
        (BEGIN.replace("all", "both"), ["trains_on is 'both'", "source, all, target"]),
        ("trains_on: all\n", ["system m has no objectives"]),
        ("trains_on: all\nobjectives: {}\n", ["system m has no objectives"]),
        ("trains_on: all\nobjectives: [emotion]\n", ["system m has no objectives"]),
        (BEGIN + "  mine: !new:nothings.NoObjective\n",
         ["system m: the objective mine is", "Objective"]),
        (BEGIN + "  mine: 3\n", ["system m: the objective mine is 3", "Objective"]),
        (BEGIN + "  mine: supcon\n", ["the objective mine is 'supcon'", "Objective"]),
        (BEGIN + "  mine: !new:nothings.Missing\n", ["cannot be built", "Missing"]),
        (BEGIN + "  mine: !new:nowhere.Missing\n", ["cannot be built", "nowhere"]),
        (BEGIN + "  type: !ref <objectives[supcon]>\n", ["type", "another name"]),
        (BEGIN + "  a.b: !ref <objectives[supcon]>\n", ["a.b", "another name"]),
        (BEGIN + "sampler: shuffled\n",
         ["system m: the sampler is 'shuffled'", "random, hierarchical"]),
        (BEGIN + "sampler: 5\n", ["system m: the sampler is 5", "random, hierarchical"]),
        (BEGIN + "sampler: {random: 1}\n", ["system m: the sampler is {'random': 1}"]),
        (BEGIN + "selection: best\n", ["selection is 'best'", "mean, last"]),
        (BEGIN + "selection: {language: de}\n", ["no utterance in 'de'", "en, ur, zh"]),
        (BEGIN + "augmentation: {waves: 1}\n", ["unknown augmentation 'waves'"]),
        (BEGIN + "augmentation: noise\n", ["system m: augmentation", "waveforms"]),
        (BEGIN + "augmentation: {waveforms: 3}\n",
         ["system m: ", "waveforms", "WaveformTransform"]),
        (BEGIN + "augmentation:\n  embeddings: !new:nothings.NoObjective\n",
         ["system m: ", "embeddings", "EmbeddingTransform"]),
        ("- a\n", ["m.yaml", "key: value"]),
        ("a: [\n", ["m.yaml is not sound YAML"]),
    ],
    ids=str,
)  # fmt: skip
def test_mistakes(write, argv, complaint, tmp_path, text, parts):
    write("nothings.py", NONE)
    line = complaint(argv(tmp_path / "r", system=write("m.yaml", text)))
    for part in parts:
        assert part in line
    # Mended, it runs: nothing of the mistake is left.
    assert not list((tmp_path / "r").rglob("identity.json"))


def test_a_function_that_makes_no_sampler(write, argv, complaint, tmp_path):
    write("nothings.py", NONE)
    system = write("m.yaml", BEGIN + "sampler: !name:nothings.no_sampler\n")
    line = complaint(argv(tmp_path / "r", system=system))
    assert "system m: its sampler is a list: subclass" in line and "Batches" in line
    assert not list((tmp_path / "r").rglob("run.json"))


def test_no_such_file(argv, complaint, tmp_path):
    line = complaint(argv(tmp_path, system=tmp_path / "none.yaml"))
    assert f"no system {tmp_path}/none.yaml" in line


# --- Selection


def test_a_language_judges(argv, tmp_path, record):
    changes = {"system": "baseline2", "selection": "{language: ur}"}
    assert main(argv(tmp_path, **changes)) == 0
    told = record(tmp_path / RUNS / "baseline2/ecapa/1")
    assert told["valid"]["selection"] == "UAR on ur, which is not trained on"
    assert told["valid"]["uar"].keys() == {"ur"}
    assert told["valid"]["score"] == told["valid"]["mean"] == told["valid"]["uar"]["ur"]
    assert told["setting"]["languages"]["train"] == ["en", "zh"]
    assert told["audit"]["training"]["corpora"] == ["esd", "ravdess"]
    assert told["audit"]["sampling"]["languages"] == ["en", "zh"]
    assert told["audit"]["model_selection"] == {
        "utterances": 24, "corpora": ["urdu"], "languages": ["ur"], "speakers": 3
    }  # fmt: skip
    assert told["zero_shot"] is True and told["trains_on"] == "all"


def test_no_selection(argv, tmp_path, record):
    """All of the budget is used, whatever the patience, and its end is scored."""
    changes = {"system": "baseline2", "selection": "last", "patience": 1}
    assert main(argv(tmp_path, **changes, validate_every=2)) == 0
    run = tmp_path / RUNS / "baseline2/ecapa/1"
    told = record(run)
    assert told["steps"] == told["valid"]["step"] == told["valid"]["score"] == 12
    assert told["valid"]["selection"] == "none: the last step"
    assert told["valid"]["mean"] == pytest.approx(
        sum(told["valid"]["uar"].values()) / 3
    )
    assert len((run / "train_log.txt").read_text().splitlines()) == 6


# --- Changed training data


NOISY = (
    BEGIN
    + """\
augmentation:
  waveforms: !new:xser_brain.data.augmentation.Noise
    least: 0.0
    most: 5.0
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["ecapa", "wav2vec2"])
def test_changed_waveforms_resume_after_a_kill(
    write, argv, tmp_path, python, small_encoder, encoder
):
    """The chance that changes them, or draws a copy, is part of the checkpoint."""
    system, options = write("noisy.yaml", NOISY), {}
    if encoder == "wav2vec2":
        options = {"encoder": encoder, "encoder_source": small_encoder(encoder),
                   "projection": 8}  # fmt: skip
    place = RUNS / f"noisy/{encoder}/1"
    plain = argv(tmp_path / "plain", system="baseline2", **options)
    assert main(plain) == 0
    assert main(argv(tmp_path / "whole", system=system, **options)) == 0
    killed = python(KILLED, *argv(tmp_path / "broken", system=system, **options))
    assert killed.returncode == -9, killed.stderr
    assert list((tmp_path / "broken" / place / "save").iterdir())
    assert main(argv(tmp_path / "broken", system=system, **options)) == 0
    whole = (tmp_path / "whole" / place / "predictions.csv").read_bytes()
    assert (tmp_path / "broken" / place / "predictions.csv").read_bytes() == whole
    baseline = tmp_path / "plain" / RUNS / f"baseline2/{encoder}/1/predictions.csv"
    assert baseline.read_bytes() != whole


KILLED = """
import os, signal, sys, torch
from xser_brain import brain
from xser_brain.cli.train import main

step, calls = brain.XSERBrain.on_fit_batch_start, []

def counted(*args):
    calls.append(1)
    if len(calls) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args)

brain.XSERBrain.on_fit_batch_start = counted
torch.set_num_threads(1)
sys.exit(main(sys.argv[1:]))
"""


# --- Labels


@pytest.fixture(scope="module")
def six_emotions(standins, tmp_path_factory):
    """Stand-ins of which the second sentence is called fear and disgust."""
    root = tmp_path_factory.mktemp("six")
    for name in ("ravdess", "emodb"):
        shutil.copytree(standins / name, root / name)
    for path in sorted((root / "ravdess").rglob("*.wav")):
        fields = path.stem.split("-")
        if fields[4] == "02":
            fields[2] = {"03": "06", "04": "07"}.get(fields[2], fields[2])
            path.rename(path.with_name("-".join(fields) + ".wav"))
    for path in sorted((root / "emodb").rglob("*.wav")):
        name = path.name
        others = [p for p in path.parent.iterdir() if p.name[:2] == name[:2]]
        first = min(p.name[2:5] for p in others)
        if name[2:5] != first and name[5] in "FT":
            path.rename(
                path.with_name(name[:5] + {"F": "A", "T": "E"}[name[5]] + name[6:])
            )
    return root


def test_six_emotions(six_emotions, argv, tmp_path, record, capsys):
    labels = ["neutral", "happy", "angry", "sad", "fear", "disgust"]
    options = {"data_root": six_emotions, "system": "baseline1", "labels": "six"}
    assert main(argv(tmp_path, **options)) == 0
    run = tmp_path / RUNS / "baseline1/ecapa/1"
    told = record(run)
    assert told["labels"] == labels and told["label_set"] == "six"
    with (run / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [*rows[0]] == ["ID", "language", "speaker", "emotion", "predicted",
                          *(f"p_{label}" for label in labels), "subset"]  # fmt: skip
    assert {row["emotion"] for row in rows} == set(labels)
    for row in rows:
        shares = {label: float(row[f"p_{label}"]) for label in labels}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert shares[row["predicted"]] == max(shares.values())
    written = manifest.read(tmp_path / "manifests/emodb.csv")
    known = {row.ID: row.emotion or row.category for row in written}
    assert {row["ID"]: row["emotion"] for row in rows} == known
    for part in ("target_test", "target_all"):
        result = told[part]
        assert result["labels"] == labels and len(result["confusion"]) == 6
        assert result["recall"].keys() == set(labels)
    assert len(rows) == told["target_all"]["n"] == 32


def test_labels_that_a_corpus_lacks(argv, complaint, tmp_path):
    line = complaint(argv(tmp_path, labels="six"))
    assert "no training utterance is fear or disgust" in line
    assert "--labels" in line


def test_runs_of_different_labels_do_not_mix(argv, complaint, tmp_path):
    options = {"system": "baseline1", "steps": 1, "validate_every": 1}
    assert main(argv(tmp_path, **options)) == 0
    line = complaint(argv(tmp_path, **options, labels="[happy, sad]"))
    assert "labels" in line and "--overwrite=True" in line
