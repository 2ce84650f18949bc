"""The headline says what the numbers say, and claims no more."""

import pytest
from test_tables import write_run

from data_prep.errors import UserError
from xser_brain.cli import main
from xser_brain.evaluation.metrics import uar
from xser_brain.evaluation.significance import compare
from xser_brain.reports import headline
from xser_brain.reports.points import MEAN
from xser_brain.reports.tables import gather

SETTINGS = {
    name: {
        "source": ["x"], "non_target": ["y"], "target": name,
        "languages": {"train": ["en"], "target": code},
    }
    for name, code in (("emodb", "de"), ("urdu", "ur"), ("emovo", "it"))
}  # fmt: skip


@pytest.fixture
def told(tmp_path):
    """Write runs, of systems with so much of it right, and compare them."""

    def tell(accuracies, settings=("emodb", "urdu"), reference=None, **changes):
        for name in settings:
            for system, right in accuracies.items():
                folder = tmp_path / f"runs/{name}{system}"
                right = right[name] if isinstance(right, dict) else right
                write_run(folder, system, 1, right, 7, SETTINGS[name], **changes)
        return headline.comparisons(gather(tmp_path / "runs"), reference)

    return tell


def test_a_sure_difference_is_claimed(told):
    (found,) = told({"baseline2": 0.3, "mine": 0.95})
    text = headline.sentence(found)
    point = found.of(found.differences, "mine")
    assert point.setting == MEAN and point.differs
    assert text.startswith("On German and Urdu, unheard in training, Mine with ecapa ")
    assert f", {point.value:.1f} points more than Baseline 2 (paired 95 % " in text
    top = found.of(found.uars, "mine")
    assert f"reaches {top.value:.1f} % (UAR, mean of 2 settings; 95 % interval " in text
    told_by = headline.by_target(found)
    assert "ahead on EMO-DB (German) +" in told_by and "URDU (Urdu) +" in told_by


@pytest.mark.parametrize("best", ["mine", "baseline2"])
def test_an_unsure_difference_is_not_claimed(told, best):
    other = {"mine": "baseline2", "baseline2": "mine"}[best]
    (found,) = told({best: 0.62, other: 0.6})
    point = found.of(found.differences, "mine")
    assert not point.differs
    text = headline.sentence(found)
    assert "is not shown" in text and "points more" not in text
    assert "no difference shown on" in headline.by_target(found)


def test_the_reference_may_be_the_best(told):
    (found,) = told({"baseline2": 0.97, "mine": 0.1, "other": 0.6})
    text = headline.sentence(found)
    assert ", Baseline 2 with ecapa reaches" in text
    assert "points more than Other (paired 95 % interval +" in text
    assert headline.by_target(found).startswith("Other against Baseline 2 by target")
    assert "behind on EMO-DB (German) −" in headline.by_target(found)


def test_one_system_and_one_setting(told):
    (found,) = told({"mine": 0.8}, ["emodb"])
    text = headline.sentence(found)
    assert text.startswith("On German, unheard in training, Mine with ecapa reaches ")
    assert text.endswith(", and is compared with no other system.")
    assert "mean of" not in text and headline.by_target(found) == ""


def test_stand_ins_are_said_first(told):
    (found,) = told({"mine": 0.8}, standin=True)
    assert headline.sentence(found).startswith("On synthetic stand-ins of German and ")


def test_systems_that_not_all_settings_have_are_left_out(told, tmp_path):
    told({"baseline2": 0.3, "mine": 0.9})
    (found,) = told({"baseline2": 0.3}, ["emovo"])
    assert {point.system for point in found.uars} == {"baseline2"}
    assert len(found.groups) == 3 and not found.differences


def test_another_reference(told, tmp_path, capsys):
    (found,) = told({"baseline2": 0.3, "mine": 0.9, "other": 0.5}, reference="mine")
    assert found.reference == "mine"
    assert {point.system for point in found.differences} == {"baseline2", "other"}
    with pytest.raises(UserError, match="no zero-shot system none that all settings"):
        headline.comparisons(gather(tmp_path / "runs"), "none")
    out = tmp_path / "a.html"
    given = ["report", str(tmp_path / "runs"), "--no_figures", f"--out={out}"]
    assert main([*given, "--reference=none"]) == 2
    error = capsys.readouterr().err
    assert "compare with baseline2 or mine or other" in error and not out.exists()
    assert main([*given, "--reference=other"]) == 0
    assert "Other by target" in out.read_text(encoding="utf-8")


def test_differences_are_those_of_the_paired_comparison(told):
    (found,) = told({"baseline2": 0.5, "mine": 0.8})
    for group in found.groups:
        first, second = (
            group.outcome(name, "target_all") for name in ("mine", "baseline2")
        )
        expected = compare(
            first.true, first.predicted, second.predicted, uar, first.clusters
        )
        (point,) = (p for p in found.differences if p.setting == group.name)
        assert (point.value, point.low, point.high) == (
            expected.difference, expected.low, expected.high,
        )  # fmt: skip
