"""Faults from outside: what a user sees, and that the run goes on to the same result."""

import os
import re

import pytest
from faults import FAULTS, try_fault

NEEDS_ROOT = ("disk", "checkpoints")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault, argv, tmp_path):
    if os.geteuid() and fault.name.startswith(NEEDS_ROOT):
        pytest.skip("may not mount a small disk")
    seen, same = try_fault(fault, argv, tmp_path)
    assert seen.code == fault.code, seen.error
    assert re.search(fault.line, seen.line)
    assert "Traceback" not in seen.error
    assert seen.error.count("error: ") == (fault.code == 2)
    assert same
    left = [path.name for path in tmp_path.rglob("*") if path.suffix == ".tmp"]
    assert not left
