"""What importing the package prints: nothing, unless something is wrong."""

import subprocess
import sys

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
