"""What a start prints and imports: nothing that is not needed."""

import subprocess
import sys

import pytest
from models import exported

CODE = """
import logging

import xser_brain.training.run

logger = logging.getLogger("speechbrain.utils.train_logger")
logger.warning("torchvision is not available: another warning")
logger.warning("torchvision is not available - cannot save figures")
"""


def test_speechbrain_asks_for_no_torchvision_and_other_warnings_are_shown():
    # torchvision as if it were not installed, wherever the test runs
    code = f"import sys; sys.modules['torchvision'] = None\n{CODE}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "torchvision is not available: another warning" in done.stderr
    assert "cannot save figures" not in done.stdout + done.stderr


# What labelling a clip needs none of, by what each takes to import: a tenth of a second
# to a second and a half.
PREDICT = """
import sys
from xser_brain.cli import main
model, clip, *heavy = sys.argv[1:]
assert main(["predict", model, clip, "--device=cpu", "--noprogressbar"]) == 0
found = [name for name in heavy if name in sys.modules]
assert not found, found
"""
NEVER = (
    *("IPython", "matplotlib", "onnxruntime", "pandas", "sklearn", "tensorboard"),
    *("xser_brain.brain", "xser_brain.features", "xser_brain.reports"),
)
COMPILER = ("sympy", "torch._dynamo", "torch._inductor", "torch.distributed.tensor")


@pytest.fixture
def clip(tone, tmp_path):
    return str(tone(tmp_path / "clip.wav"))


def test_predicting_by_an_encoder_of_speechbrain_imports_little(python, small, clip):
    # SpeechBrain's own __init__ takes SciPy's statistics.
    heavy = *NEVER, *COMPILER, "huggingface_hub", "transformers"
    done = python(PREDICT, str(small[0]), clip, *heavy)
    assert done.returncode == 0, done.stderr


def test_predicting_by_an_encoder_of_transformers_imports_little(
    python, small_encoder, tmp_path, clip
):
    # transformers' models take torch's compiler, and SciPy's optimiser.
    folder, _ = exported(tmp_path / "model", small_encoder("wav2vec2"))
    done = python(PREDICT, str(folder), clip, *NEVER, "scipy.stats", "speechbrain")
    assert done.returncode == 0, done.stderr
