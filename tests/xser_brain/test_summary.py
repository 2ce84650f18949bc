"""What run.json says of a test set, and how it is printed."""

import json

import numpy as np
import pytest
from scipy import stats

from data_prep.errors import UserError
from xser_brain.evaluation.intervals import mean_interval
from xser_brain.evaluation.metrics import macro_f1, recalls, uar
from xser_brain.evaluation.summary import in_words, shown_interval, summarise

LABELS = ("neutral", "happy", "angry", "sad")


def test_summary_of_a_known_case():
    true = [0, 0, 0, 0, 1, 1, 2, 2]  # no sad one
    predicted = [0, 0, 0, 1, 1, 1, 3, 2]
    speakers = ["a", "a", "b", "b", "a", "b", "a", "b"]
    summary = summarise(true, predicted, speakers, LABELS)
    assert summary["uar"] == pytest.approx((75 + 100 + 50) / 3)
    assert summary["macro_f1"] == pytest.approx(100 * (6 / 7 + 4 / 5 + 2 / 3) / 3)
    assert summary["accuracy"] == 75 and summary["n"] == 8
    recall = {"neutral": 75.0, "happy": 100.0, "angry": 50.0, "sad": None}
    assert summary["recall"] == recall
    assert summary["confusion"] == [
        [3, 1, 0, 0],
        [0, 2, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 0, 0],
    ]
    assert summary["labels"] == list(LABELS) and summary["absent"] == ["sad"]
    for metric in ("uar", "macro_f1"):
        low, high = summary["ci95"][metric]
        assert 0 <= low < summary[metric] < high <= 100
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_all_right_has_no_spread():
    summary = summarise([0, 1, 2, 3] * 5, [0, 1, 2, 3] * 5, list("abcde") * 4, LABELS)
    assert summary["uar"] == summary["macro_f1"] == summary["accuracy"] == 100
    for name, units in (("ci95", 20), ("ci95_speaker", 5)):
        exact = stats.binomtest(units, units).proportion_ci(method="exact").low
        assert summary[name]["uar"] == summary[name]["macro_f1"]
        assert summary[name]["uar"] == pytest.approx([100 * exact, 100])


@pytest.mark.parametrize(("speakers", "interval"), [(1, False), (4, False), (5, True)])
def test_few_speakers_have_no_speaker_interval(speakers, interval):
    names = [f"s{i % speakers}" for i in range(20)]
    summary = summarise([0, 1] * 10, [0, 1, 0, 0] * 5, names, LABELS)
    assert (summary["ci95_speaker"] is not None) == interval
    assert summary["ci95"] is not None


def test_alike_utterances_of_a_speaker_widen_the_interval():
    """Half the speakers always right, half always wrong: speakers are what varies."""
    speakers = np.repeat(np.arange(8), 40)
    true = np.tile([0, 1, 2, 3], 80)
    predicted = np.where(speakers % 2, true, (true + 1) % 4)
    summary = summarise(true, predicted, speakers.astype(str), LABELS)
    widths = [np.ptp(summary[name]["uar"]) for name in ("ci95", "ci95_speaker")]
    assert widths[0] < 15 and widths[1] > 50


def test_nothing_to_summarise():
    with pytest.raises(UserError, match="no utterance"):
        summarise([], [], [], LABELS)


SIX = (*LABELS, "fear", "disgust")


def answers(classes: int, n: int = 120, speakers: int = 7) -> tuple:
    rng = np.random.default_rng(classes)
    true = np.arange(n) % classes
    predicted = np.where(rng.random(n) < 0.6, true, rng.integers(classes, size=n))
    return true, predicted, [f"s{i % speakers}" for i in range(n)]


def worst_recall(confusion):
    return recalls(confusion).min(-1)


@pytest.mark.parametrize("labels", [("low", "high"), LABELS, SIX])
def test_any_labels_and_the_jackknife(labels):
    true, predicted, speakers = answers(len(labels))
    summary = summarise(true, predicted, speakers, labels, {"worst": worst_recall})
    assert list(summary["recall"]) == summary["labels"] == list(labels)
    assert np.shape(summary["confusion"]) == (len(labels), len(labels))
    assert summary["worst"] == pytest.approx(min(summary["recall"].values()))
    for name, clusters in (("ci95", None), ("ci95_speaker", speakers)):
        assert summary[name] == {
            key: list(mean_interval(true, predicted, metric, clusters))
            for key, metric in (
                ("uar", uar), ("macro_f1", macro_f1), ("worst", worst_recall)
            )
        }  # fmt: skip


def test_an_undefined_metric_is_none_in_json():
    metrics = {"sad_recall": lambda confusion: recalls(confusion)[..., 3]}
    summary = summarise(*answers(3), LABELS, metrics)
    assert summary["sad_recall"] is None
    assert summary["ci95"]["sad_recall"] is None
    assert summary["ci95"]["uar"] is not None
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "metric", "message"),
    [
        ("uar", uar, "cannot be called uar"),
        ("ci95", uar, "cannot be called ci95"),
        ("share", lambda c: 2 * uar(c), "gives 0 to 19.*: it must be in percent"),
        (
            "all",
            lambda c: uar(c).mean(),
            r"metric all makes \(\) of confusion matrices",
        ),
        ("each", recalls, r"\(2, 3, 4\) of confusion matrices \(2, 3, 4, 4\)"),
    ],
)
def test_what_is_no_metric_is_refused(name, metric, message):
    true, predicted, speakers = answers(4)
    with pytest.raises(UserError, match=message):
        summarise(true, predicted, speakers, LABELS, {name: metric})


@pytest.mark.parametrize("speakers", [4, 7])
def test_it_is_printed_with_the_unit_of_its_interval(speakers):
    summary = summarise(*answers(4, speakers=speakers), LABELS)
    key, unit = ("ci95", "utterances") if speakers < 5 else ("ci95_speaker", "speakers")
    assert shown_interval(summary) == (summary[key]["uar"], unit)
    low, high = summary[key]["macro_f1"]
    assert in_words(summary, "macro_f1") == (
        f"{summary['macro_f1']:.1f} % (95 % interval over {unit} {low:.1f}-{high:.1f})"
    )


def test_too_few_utterances_have_no_interval():
    summary = summarise([0, 1, 2, 3], [0, 1, 2, 2], list("abcd"), LABELS)
    assert summary["ci95"] is summary["ci95_speaker"] is None
    assert in_words(summary) == "75.0 %"
