"""Every reader of outside data: a damaged file gives a value or a UserError."""

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.errors import UserError
from tests import fuzz
from tests.data_prep.readers import READERS

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
        # A playlist is in order, and yet not to be followed.
        refused = pytest.raises(UserError) if name.endswith(".m3u8") else nullcontext()
        with refused:
            reader.read(tmp_path if reader.folder else tmp_path / name)


@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_damaged_files_are_values_or_user_errors(reader, seeds):
    @settings(max_examples=40, deadline=None)
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


def test_the_harness_tells_what_is_neither(tmp_path):
    def read(path):
        if len(path.read_bytes()) % 2:
            raise KeyError("x")

    broken = fuzz.Reader("broken", lambda _: {"a": b"0123456789" * 9}, read)
    outcome = fuzz.fuzz(broken, 60)
    assert outcome.inputs == 60 == outcome.values + len(outcome.others)
    assert outcome.values and "KeyError('x')" in outcome.others[0]


def test_the_harness_outlives_a_crash():
    def read(path):
        if b"AAA" in path.read_bytes():
            os._exit(3)

    broken = fuzz.Reader("crash", lambda _: {"a": b"0123456789" * 9}, read)
    outcome = fuzz.fuzz(broken, 300)
    assert outcome.inputs == 300 and outcome.others
    assert "the process ended with 3" in outcome.others[0]
