"""Every reader of outside data: a damaged file gives a value or a UserError."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import fuzz
from tests.xser_brain.result_readers import FIGURES, READERS

INPUTS = 500  # of each reader, in the slow test
NAMES = [reader.name for reader in READERS]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """The unharmed files of each reader, made once."""
    made = {}

    def get(reader):
        if reader.name not in made:
            made[reader.name] = reader.seeds(tmp_path_factory.mktemp("seeds"))
        return made[reader.name]

    return get


@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_unharmed_files_are_read(reader, seeds, tmp_path):
    files = seeds(reader)
    fuzz.plant(tmp_path, files)
    for name in files:
        reader.read(tmp_path if reader.folder else tmp_path / name)


@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_damaged_files_are_values_or_user_errors(reader, seeds):
    @settings(max_examples=20, deadline=None, suppress_health_check=[*HealthCheck])
    @given(st.randoms(use_true_random=False))
    def search(random):
        with tempfile.TemporaryDirectory() as home:
            told = fuzz.attempt(reader, seeds(reader), Path(home) / "x", random)
        assert not told or told.startswith("UserError: "), ascii(told)

    search()


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_many_damaged_files(reader):
    """In processes of limited memory and time, where a crash is told too."""
    outcome = fuzz.fuzz(reader, INPUTS, seed=1)
    assert outcome.inputs == INPUTS
    assert not outcome.others


@pytest.mark.slow
def test_damaged_results_are_drawn_or_refused(monkeypatch):
    """Figures take a second each: fewer inputs than above."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    outcome = fuzz.fuzz(FIGURES, 40, seed=1)
    assert outcome.inputs == 40
    assert not outcome.others
