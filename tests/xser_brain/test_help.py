"""The command line: help that comes at once, and the version."""

import subprocess
import sys

import pytest
from small import RECIPE, ROOT

from data_prep import __version__
from xser_brain.cli.train import main

XSER = "xser_brain.cli"
COMMANDS = [
    (XSER, "--help"),
    (XSER, "--version"),
    (XSER, "train", "--help"),
    (XSER, "train", "en_de/hparams/iemocap_to_emodb", "--help"),
    (XSER, "train", "no_such_recipe", "--help"),
    (XSER, "recipes", "list"),
    *((XSER, name, "--help") for name in (
        "new", "grid", "tables", "figures", "report", "predict", "export", "publish",
        "serve", "embed", "evaluate", "transductive", "fewshot", "cache", "recipes",
    )),
    ("data_prep.__main__", "--help"),
    ("data_prep.__main__", "new", "--help"),
    ("data_prep.__main__", "list"),
]  # fmt: skip
# Runs a command line, then tells whether torch was imported for it.
PROBE = """
import importlib, sys
module, *argv = sys.argv[1:]
try:
    importlib.import_module(module).main(argv)
except SystemExit:
    pass
print("torch" in sys.modules)
"""
TRAIN = """
import runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    assert not stop.code
print("torch" in sys.modules)
"""


@pytest.mark.parametrize("call", COMMANDS, ids=" ".join)
def test_help_needs_no_torch(python, call):
    done = python(PROBE, *call)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert len(done.stdout.splitlines()) > 1 or "no recipe" in done.stderr


def test_help_of_train_py_needs_no_torch(python):
    script = ROOT / "recipes/en_de/train.py"
    code = TRAIN.replace("sys.argv[0]", repr(str(script)))
    done = python(code, "hparams/iemocap_to_emodb.yaml", "--help", cwd=script.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert "learning_rate: 0.001" in done.stdout


@pytest.mark.parametrize("argv", [["--help"], ["--device", "cpu", "-h", "--seed=3"]])
def test_help_shows_the_keys_of_a_recipe(capsys, argv):
    assert main([*argv, str(RECIPE)]) == 0
    out = capsys.readouterr().out
    assert "source: iemocap" in out
    assert "attention_channels" in out
    assert "--help_all" in out


def test_help_all_shows_the_options_of_speechbrain(capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(RECIPE), "--help_all"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "source: iemocap" in out
    assert "--grad_accumulation_factor" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [([], "pass a recipe"), (["none.yaml"], "no recipe none.yaml"),
     (["none.yaml", "--help"], "no recipe none.yaml")],
)  # fmt: skip
def test_no_recipe(capsys, argv, message):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_version_and_python_m():
    done = subprocess.run(
        [sys.executable, "-m", "xser_brain", "--version"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == f"xser {__version__}\n"
