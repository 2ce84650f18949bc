"""Training from Python: the lines of the package's docstring, and what a notebook does."""

import re
import subprocess
import sys
import textwrap

import pytest
import torch
from small import SIZES

import xser_brain
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain import CrossEntropy, Objective, Setting, System, train
from xser_brain.brain import XSERBrain

EN_DE = Setting(("ravdess",), ("esd", "urdu"), "emodb")
OPTIONS = SIZES | {
    "splits": "speaker",
    "steps": 2,
    "validate_every": 2,
    "noprogressbar": True,
}


class MyLoss(Objective):
    """A layer made at once, and one when sizes are known."""

    def __init__(self, power=2, **options):
        super().__init__(**options)
        self.power = power
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def bind(self, width, labels):
        self.layer = torch.nn.Linear(width, 1)

    def forward(self, heard, progress):
        return (self.scale * self.layer(heard.embeddings)).abs().pow(self.power).mean()


def test_the_snippet_of_the_docstring(standins, tmp_path, record):
    """To the letter, but for stand-ins, a small model and a small budget."""
    snippet = xser_brain.__doc__.split("::\n")[1]
    lines = textwrap.dedent(snippet).strip().splitlines()
    assert len(lines) == 5
    clip = next((standins / "emodb").rglob("*.wav"))
    code = "\n".join(lines)
    for ours, small in (
        ('("urdu", "nemo")', '("urdu", "esd")'),
        ('data_root="/corpora"', f"data_root={str(standins)!r}"),
        ('encoder="whisper"', 'encoder="ecapa", results=RESULTS, **OPTIONS'),
        ('"clip.wav"', repr(str(clip))),
    ):
        assert code.count(ours) == 1, ours
        code = code.replace(ours, small)
    *training, classifying = code.splitlines()
    names = {"MyLoss": MyLoss, "RESULTS": tmp_path, "OPTIONS": OPTIONS}
    exec("\n".join(training), names)
    assert eval(classifying, names) in (*EMOTIONS, "unsure")
    told = record(names["folder"])
    assert (told["system"], told["objectives"]) == ("mine", ["emotion", "mine"])
    assert told["zero_shot"] is True and told["trains_on"] == "all"
    log = (names["folder"] / "train_log.txt").read_text()
    assert "train mine: " in log


def test_a_system_by_its_name_is_that_of_the_command_line(finished, standins, tmp_path):
    folder = train(
        EN_DE, data_root=standins, results=tmp_path, splits="speaker", **SIZES
    )
    assert folder == tmp_path / "ravdess_to_emodb/proposed/ecapa/1"
    here = (folder / "predictions.csv").read_bytes()
    assert here == (finished / "predictions.csv").read_bytes()


@pytest.fixture
def fit(standins, tmp_path):
    def call(system, **options):
        return train(
            EN_DE, system, data_root=standins, results=tmp_path, **OPTIONS, **options
        )

    return call


def test_a_notebooks_cell_run_again(fit, monkeypatch):
    system = System("mine", "all", {"emotion": CrossEntropy(), "mine": MyLoss()})
    before = system.definition()
    folder = fit(system)
    assert system.definition() == before
    with monkeypatch.context() as patch:
        patch.setattr(XSERBrain, "fit", None)
        assert fit(system) == folder  # finished already
    other = System("mine", "all", {"emotion": CrossEntropy(), "mine": MyLoss(3)})
    with pytest.raises(UserError, match="other settings.*power"):
        fit(other)


def test_seeds_share_nothing(fit):
    """What one run learned is no start for the next, with the same objects."""
    system = System("mine", "all", {"emotion": CrossEntropy(), "mine": MyLoss()})
    folder = fit(system, seed=2)
    second = (folder / "predictions.csv").read_bytes()
    fit(system, seed=1)
    assert system.objectives["mine"].scale.item() == 1.0
    assert fit(system, seed=2, overwrite=True) == folder
    assert (folder / "predictions.csv").read_bytes() == second


def test_overrides_with_dots_and_mistakes(fit, record):
    folder = fit("without_spkadv", **{"objectives.supcon.temperature": 0.2})
    text = (folder / "hyperparams.yaml").read_text()
    assert re.search(r"LanguageAwareSupCon\n( .*\n)*? +temperature: 0.2\n", text)
    with pytest.raises(UserError, match="did you mean temperature"):
        fit("proposed", temperatur=0.2)
    with pytest.raises(UserError, match="the objective mine is 3"):
        fit(System("mine", "all", {"mine": 3}))


def test_the_package_itself_is_light():
    """Torch takes seconds: it is loaded by the first name that needs it."""
    code = (
        "import sys, xser_brain; print('torch' in sys.modules); "
        "xser_brain.LabelSet; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_every_name_is_there():
    for name in xser_brain.__all__:
        assert getattr(xser_brain, name).__name__ == name
        assert name in dir(xser_brain)
    with pytest.raises(AttributeError, match="has no attribute 'Tarin'"):
        xser_brain.Tarin  # noqa: B018
