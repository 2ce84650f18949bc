"""Adapting without labels: what each protocol does, and that it says so."""

import csv
import json

import numpy as np
import pytest
import soundfile
from models import noise
from scipy.special import softmax

from data_prep.errors import UserError
from xser_brain.adaptation import PROTOCOLS
from xser_brain.adaptation.few_shot import refit
from xser_brain.adaptation.linear import Linear
from xser_brain.adaptation.running import SHRINKAGE, RunningStatistics
from xser_brain.adaptation.self_training import ridge, self_train
from xser_brain.adaptation.unlabelled import adapt
from xser_brain.cli import main
from xser_brain.inference import Classifier
from xser_brain.inference.recordings import Windows

TRAINING = np.array([[1.0, -2.0, 0.5], [1.0, 2.0, 0.5]])
ONLINE = PROTOCOLS["running"]


@pytest.fixture(scope="module")
def classifier(small):
    return Classifier.from_pretrained(small[0], device="cpu", windows=Windows(1.0))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for number in range(12):
        path = folder / f"{number:02}.wav"
        soundfile.write(path, noise(0.5, number), 16000, "FLOAT")
    return folder


def probabilities_of(results):
    return np.array([list(result.probabilities.values()) for result in results])


# --- Running statistics


def test_running_statistics_are_those_of_what_was_heard_and_some_of_training():
    heard = np.random.default_rng(0).normal(3, 2, (40, 3))
    running = RunningStatistics(TRAINING)
    for n, embedding in enumerate(heard, 1):
        # Pseudo-utterances that have training's mean and deviation, SHRINKAGE in weight.
        several = np.concatenate([heard[:n], TRAINING[0] + TRAINING[1] * [[1], [-1]]])
        weights = np.array([1.0] * n + [SHRINKAGE / 2] * 2)
        mean = np.average(several, axis=0, weights=weights)
        deviation = np.sqrt(np.average((several - mean) ** 2, axis=0, weights=weights))
        expected = (embedding - mean) / deviation * TRAINING[1] + TRAINING[0]
        np.testing.assert_allclose(running(embedding), expected, atol=1e-5)
    assert running.heard == 40


def test_what_comes_later_changes_nothing_that_was_said(classifier, clips):
    paths = sorted(clips.glob("*.wav"))
    whole = list(classifier.classify(paths, adapt="running"))
    part = list(classifier.classify(paths[:5], adapt="running"))
    np.testing.assert_allclose(
        probabilities_of(part), probabilities_of(whole[:5]), atol=1e-6
    )
    assert {result.protocol for result in whole} == {ONLINE}
    assert np.abs(
        probabilities_of(whole) - probabilities_of(classifier(clips))
    ).max() > (0.01)


def test_a_stream_goes_on_from_what_was_heard(classifier, tmp_path):
    first, second = noise(3.0, 1), noise(3.0, 2)
    running = classifier.running()
    before = list(classifier.stream([first], 16000, adapt=running))
    assert {part.protocol for part in before} == {ONLINE}
    running.save(tmp_path / "heard.json")
    unbroken = list(classifier.stream([second], 16000, adapt=running))
    again = classifier.running(tmp_path / "heard.json")
    assert again.heard == len(before)
    resumed = list(classifier.stream([second], 16000, adapt=again))
    np.testing.assert_array_equal(probabilities_of(resumed), probabilities_of(unbroken))
    running.reset()
    anew = list(classifier.stream([second], 16000, adapt=running))
    fresh = list(classifier.stream([second], 16000, adapt="running"))
    np.testing.assert_array_equal(probabilities_of(anew), probabilities_of(fresh))
    assert np.abs(probabilities_of(fresh) - probabilities_of(unbroken)).max() > 1e-3
    plain = list(classifier.stream([second], 16000))
    assert {part.protocol for part in plain} == {"zero-shot"}
    with pytest.raises(UserError, match="a stream cannot adapt by corpus: use running"):
        next(classifier.stream([second], 16000, adapt="corpus"))


def test_what_was_heard_is_not_taken_from_elsewhere(tmp_path):
    running = RunningStatistics(TRAINING)
    running(np.ones(3))
    path = tmp_path / "heard.json"
    running.save(path)
    with pytest.raises(UserError, match="was heard by another model"):
        RunningStatistics(TRAINING + 1).load(path)
    whole = json.loads(path.read_text())
    for key, value in (
        ("heard", -1), ("mean", [1.0]), ("squares", [-1.0] * 3), ("mean", [1e300] * 3),
        ("mean", [float("nan")] * 3), ("heard", "many"), ("squares", [[]]),
    ):  # fmt: skip
        path.write_text(json.dumps({**whole, key: value}))
        with pytest.raises(UserError, match="is damaged .*: delete it to begin anew"):
            running.load(path)
        assert running.heard == 1
    with pytest.raises(UserError, match=r"none\.json"):
        running.load(tmp_path / "none.json")


# --- Self-training


def test_ridge_is_the_minimum_of_what_it_says():
    rng = np.random.default_rng(1)
    x, t, w = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), rng.random(30)
    weight, bias = ridge(x, t, w, 0.5)
    w = w / w.sum()
    middle = x - np.average(x, axis=0, weights=w)
    strength = 0.5 * np.average((middle**2).sum(1), weights=w) / 4

    def loss(weight, bias):
        errors = ((x @ weight.T + bias - t) ** 2).sum(1)
        return w @ errors + strength * (weight**2).sum()

    least = loss(weight, bias)
    for _ in range(50):
        moved = weight + 1e-3 * rng.normal(size=weight.shape)
        assert loss(moved, bias + 1e-3 * rng.normal(size=2)) > least


def clusters(counts, seed=0):
    """Four classes that the last four dimensions tell apart best, of which none knows."""
    rng = np.random.default_rng(seed)
    true = np.repeat(range(4), counts)
    x = rng.normal(size=(len(true), 8))
    x[:, :4] += 1.6 * np.eye(4)[true]
    x[:, 4:] += 5 * np.eye(4)[true]
    return x, true, Linear(np.eye(4, 8), np.zeros(4))


@pytest.mark.parametrize("counts", [[50] * 4, [150, 20, 20, 20]])
def test_self_training_finds_what_tells_the_emotions_of_the_target_apart(counts):
    x, true, linear = clusters(counts)
    before = np.mean(linear.predict(x) == true)
    adapted = self_train(x, linear)
    assert np.mean(adapted.predict(x) == true) > max(0.95, before + 0.1)
    sureness = [
        softmax(way.logits(x), axis=1).max(1).mean() for way in (linear, adapted)
    ]
    assert sureness[1] == pytest.approx(sureness[0], abs=1e-6)
    again = self_train(x, linear)
    np.testing.assert_array_equal(again.weight, adapted.weight)


def test_what_is_all_one_emotion_or_all_the_same_stays_finite():
    x, _, linear = clusters([30, 0, 0, 0])
    one = Linear(linear.weight, np.array([99.0, 0, 0, 0]))
    assert set(self_train(x, one).predict(x)) == {0}
    same = np.ones((12, 8))
    assert np.isfinite(self_train(same, linear).logits(same)).all()


# --- All of them


@pytest.mark.parametrize("by", PROTOCOLS)
def test_predict_says_which_protocol_it_is(small, clips, capsys, by):
    args = ["predict", str(small[0]), str(clips), "--noprogressbar", f"--adapt={by}"]
    assert main([*args, "--format=csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert len(rows) == 12
    assert {row["protocol"] for row in rows} == {PROTOCOLS[by]}
    assert main([*args, "--format=json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {json.loads(line)["protocol"] for line in lines} == {PROTOCOLS[by]}
    assert main(args) == 0
    assert all(
        line.endswith(f"  [{PROTOCOLS[by]}]")
        for line in capsys.readouterr().out.splitlines()
    )


def test_predict_goes_on_from_what_was_heard(small, clips, tmp_path, capsys):
    paths = [str(path) for path in sorted(clips.glob("*.wav"))]
    heard = tmp_path / "heard.json"
    args = ["predict", str(small[0]), "--format=csv", "--noprogressbar"]
    args += ["--adapt=running"]
    assert main([*args, *paths]) == 0
    whole = capsys.readouterr().out.splitlines()
    parts = []
    for some in (paths[:5], paths[5:]):
        assert main([*args, f"--heard={heard}", *some]) == 0
        parts += capsys.readouterr().out.splitlines()[1:]
    assert parts == whole[1:]
    assert json.loads(heard.read_text())["heard"] == 12
    heard.write_text("{}")
    assert main([*args, f"--heard={heard}", *paths]) == 2
    assert "delete it to begin anew" in capsys.readouterr().err
    assert heard.read_text() == "{}"
    assert main([*args[:-1], "--adapt=corpus", f"--heard={heard}", *paths]) == 2
    assert "--heard is for --adapt=running" in capsys.readouterr().err


def test_too_few_are_refused_where_all_must_be_there():
    embeddings = np.zeros((9, 3))
    for by in ("corpus", "speaker", "self_training"):
        with pytest.raises(UserError, match="9 recordings are too few to adapt to"):
            adapt(by, embeddings, [""] * 9, Linear(np.eye(4, 3), np.zeros(4)), TRAINING)


# --- Few-shot


def test_few_shot_is_the_minimum_of_what_it_says():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(12, 3)) * 2 + 1, np.arange(12) % 4
    start = Linear(rng.normal(size=(4, 3)), rng.normal(size=4))
    found = refit(start, x, y, TRAINING, 0.1)

    def loss(linear):
        """Moves are of weights over standardised embeddings, the bias for their mean."""
        moves = (linear.weight - start.weight) * TRAINING[1]
        middle = (linear.bias - start.bias) + (linear.weight - start.weight) @ TRAINING[
            0
        ]
        penalty = 3 * (moves**2).sum() + (middle**2).sum()
        return 0.05 * penalty - linear.log_posteriors(x)[np.arange(12), y].sum()

    least = loss(found)
    assert least < loss(start)
    for _ in range(50):
        step = 1e-3 * rng.normal(size=(4, 4))
        moved = Linear(found.weight + step[:, :3], found.bias + step[:, 3])
        assert loss(moved) > least
    firm = refit(start, x, y, TRAINING, 1e6)
    np.testing.assert_allclose(firm.weight, start.weight, atol=1e-4)


def test_a_taught_classifier_knows_its_examples_and_says_so(classifier, clips):
    paths = sorted(clips.glob("*.wav"))
    plain = list(classifier(paths))
    wanted = [classifier.labels[number // 3 * 2] for number in range(6)]
    taught = classifier.taught(zip(paths, wanted, strict=False))
    results = list(taught(paths))
    right = [r.predicted == w for r, w in zip(results, wanted, strict=False)]
    before = [r.predicted == w for r, w in zip(plain, wanted, strict=False)]
    assert sum(right) > sum(before) + 1
    assert {r.protocol for r in results} == {"few-shot (6 labelled utterances)"}
    [window] = taught.stream([noise(1.0)], 16000)
    assert window.protocol == "few-shot (6 labelled utterances)"
    again = list(classifier(paths))
    np.testing.assert_array_equal(probabilities_of(again), probabilities_of(plain))
    with pytest.raises(UserError, match="protocols do not mix: this is few-shot"):
        taught.classify(paths, adapt="corpus")
    with pytest.raises(UserError, match="protocols do not mix"):
        taught.taught([(paths[0], "sad")])
    with pytest.raises(UserError, match="no labelled recordings"):
        classifier.taught([])


def test_predict_takes_examples(small, clips, tmp_path, capsys):
    table = tmp_path / "examples.csv"

    def predict(text, *options):
        table.write_text(text)
        args = ["predict", str(small[0]), str(clips), "--noprogressbar", "--format=csv"]
        code = main([*args, f"--examples={table}", *options])
        return code, capsys.readouterr()

    rows = "".join(f"{clips / f'{n:02}.wav'},{label}\n" for n, label in ((0, "sad"),))
    code, said = predict("path,emotion\n" + rows)
    assert code == 0
    found = list(csv.DictReader(said.out.splitlines()))
    assert {row["protocol"] for row in found} == {"few-shot (1 labelled utterance)"}
    assert found[0]["predicted"] == "sad"
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    for text, reason in (
        (
            f"path,emotion\n{clips / '00.wav'},bored\n",
            "is labelled 'bored': use neutral",
        ),
        ("path,emotion\nnone.wav,sad\n", "names 'none.wav', which is no file"),
        (f"path,emotion\n{tmp_path / 'bad.wav'},sad\n", "a labelled recording,"),
        ("path,emotion\n", "no labelled recordings"),
        ("path\n", "write it with these columns"),
    ):
        code, said = predict(text)
        assert (code, said.out) == (2, "")
        assert reason in said.err
        assert "Traceback" not in said.err
    code, said = predict("path,emotion\n" + rows, "--adapt=corpus")
    assert code == 2
    assert "protocols do not mix" in said.err
