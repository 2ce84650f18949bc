"""The benchmark of the features' store still reads what the store gives."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/store.py"


@pytest.mark.slow
def test_each_vector_is_read_back(tmp_path):
    command = [sys.executable, SCRIPT, "--counts", "300", "--folder", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| 300 |" in done.stdout
