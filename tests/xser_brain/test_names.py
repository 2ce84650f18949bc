"""What people read in place of the names of files."""

import pytest

from data_prep import corpus
from xser_brain.reports.names import corpus_name, setting_name, system_name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("baseline2", "Baseline 2"),
        ("proposed", "Proposed"),
        ("robust", "Robust"),
        ("robust_ridge", "Robust ridge"),
        ("without_supcon", "without SupCon"),
        ("without_spkadv", "without SpkAdv"),
        ("upper_bound", "Upper bound"),
        ("mine", "Mine"),
    ],
)
def test_systems(name, words):
    assert system_name(name) == words


def test_settings():
    assert setting_name("ravdess_to_emodb") == "RAVDESS to EMO-DB"
    assert setting_name("meld+mine_to_cafe") == "MELD + mine to CaFE"
    assert setting_name("EN-DE") == "EN-DE"


def test_no_two_corpora_are_called_alike():
    names = [corpus_name(name) for name in corpus.registry()]
    assert len({*names}) == len(names)
    assert all(0 < len(name) <= 40 for name in names)
    assert corpus_name("no such corpus") == "no such corpus"
