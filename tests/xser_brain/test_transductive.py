"""Normalising by unlabelled recordings: right, never by default, and named."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from models import build, exported, noise
from models import record as some_record
from sklearn.metrics import balanced_accuracy_score

from data_prep import manifest
from data_prep.errors import UserError
from xser_brain.adaptation.statistics import standardise
from xser_brain.cli import main
from xser_brain.evaluation.metrics import confusion_matrix, uar
from xser_brain.evaluation.transductive import gain, score_run
from xser_brain.inference import Classifier
from xser_brain.models.export import export

CORPUS, SPEAKER = (f"transductive ({of} statistics)" for of in ("corpus", "speaker"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """12 clips of each of two speakers, the second much louder, and 3 of a third."""
    folder = tmp_path_factory.mktemp("clips")
    for speaker, count, level in (("ann", 12, 0.3), ("bob", 12, 2.0), ("cid", 3, 1.0)):
        (folder / speaker).mkdir()
        for number in range(count):
            samples = level * noise(0.5, 100 * len(speaker) + number + count)
            path = folder / speaker / f"{speaker}_{number}.wav"
            soundfile.write(path, samples, 16000, "FLOAT")
    return folder


def probabilities_of(results):
    return np.array([list(result.probabilities.values()) for result in results])


def by_hand(model, embeddings, groups):
    """The definition, group by group, in plain numpy."""
    mean, deviation = model.statistics.double().numpy()
    moved = np.empty_like(embeddings, dtype=float)
    for group in set(groups):
        own = [i for i, g in enumerate(groups) if g == group]
        source = own if len(own) >= 10 else range(len(groups))
        values = embeddings[list(source)].astype(float)
        z = (embeddings[own] - values.mean(0)) / values.std(0)
        moved[own] = z * deviation + mean
    with torch.no_grad():
        return model.classify(torch.from_numpy(moved).float()).exp().double().numpy()


def test_normalising_is_what_it_says(small, clips):
    model, classifier = small[1], Classifier.from_pretrained(small[0])
    heard = [item for item in classifier.embed([clips]) if item.piece]
    embeddings = np.array([item.embedding for item in heard])
    speakers = [item.recording.name.split("/")[-2] for item in heard]
    plain = probabilities_of(classifier(clips))
    for by, groups, protocol in (
        ("corpus", [""] * 27, CORPUS),
        ("speaker", speakers, SPEAKER),
    ):
        results = list(classifier(clips, normalise=by))
        assert {result.protocol for result in results} == {protocol}
        found = probabilities_of(results)
        expected = by_hand(model, embeddings, groups)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.abs(found - plain).max() > 0.01
    assert {result.protocol for result in classifier(clips)} == {"zero-shot"}


def test_it_undoes_a_shift_and_a_scale_of_embeddings():
    rng = np.random.default_rng(0)
    training = rng.standard_normal((500, 6)) * [1, 2, 3, 4, 5, 6] + 7
    statistics = np.stack([training.mean(0), training.std(0)])
    moved = standardise(training * 0.3 - 11, [""] * 500, statistics)
    np.testing.assert_allclose(moved, training, atol=1e-4)


def test_what_is_constant_stays_finite():
    statistics = np.stack([np.full(3, 2.0), np.ones(3)])
    moved = standardise(np.full((12, 3), 5.0), [""] * 12, statistics)
    np.testing.assert_array_equal(moved, np.full((12, 3), 2.0))


def test_too_few_recordings_are_refused(small, clips):
    classifier = Classifier.from_pretrained(small[0])
    with pytest.raises(UserError, match="3 recordings are too few to adapt to"):
        list(classifier(clips / "cid", normalise="corpus"))
    with pytest.raises(UserError, match="unknown adapt 'corpora'"):
        list(classifier(clips, normalise="corpora"))


def test_a_model_without_statistics_says_so(clips, tmp_path):
    model = build()
    model.register_buffer("statistics", None)
    export(tmp_path / "m", model, False, some_record())
    classifier = Classifier.from_pretrained(tmp_path / "m")
    assert not next(classifier(clips)).error
    with pytest.raises(UserError, match="holds no statistics"):
        classifier(clips, normalise="corpus")


def test_speakers_can_be_named(small, clips, tmp_path, capsys):
    table = tmp_path / "speakers.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "speaker"])
        writer.writerows([p, p.parent.name] for p in clips.rglob("*.wav"))
    found = {}
    for option in (None, r"/(\w+)_\d+\.wav", str(table)):
        args = [str(small[0]), str(clips), "--format=csv", "--noprogressbar"]
        args += ["--normalise=speaker", *([f"--speakers={option}"] if option else [])]
        assert main(["predict", *args]) == 0
        found[option] = capsys.readouterr().out
    assert len(set(found.values())) == 1
    rows = list(csv.DictReader(found[None].splitlines()))
    assert {row["protocol"] for row in rows} == {SPEAKER}
    assert main(["predict", *args[:-1], "--speakers=(nobody)"]) == 2
    assert "names no speaker of" in capsys.readouterr().err


# --- A finished run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run, with its manifests, that may be written to."""
    shutil.copytree(finished.parents[3], tmp_path / "results")
    return tmp_path / "results" / finished.relative_to(finished.parents[3])


def test_a_run_is_scored_beside_its_zero_shot_figures(run, standins):
    before = {p.name: p.read_bytes() for p in run.glob("*") if p.is_file()}
    written = score_run(run, data_root=standins, device="cpu")
    assert json.loads((run / "transductive.json").read_text()) == written
    after = {p.name: p.read_bytes() for p in run.glob("*") if p.is_file()}
    after.pop("transductive.json")
    assert after == before
    rows = {r.ID: r for r in manifest.read(run.parents[3] / "manifests/emodb.csv")}
    assert written["statistics"] == {"utterances": len(rows), "speakers": 4}
    with (run / "predictions.csv").open(newline="") as stream:
        scored = list(csv.DictReader(stream))
    classifier = Classifier.from_pretrained(run)
    paths = [row.path(standins) for row in rows.values()]
    speakers = {row.path(standins): row.speaker for row in rows.values()}
    for by, protocol in (("corpus", CORPUS), ("speaker", SPEAKER)):
        results = classifier.classify(paths, normalise=by, speakers=speakers.get)
        predicted = {result.path: result.predicted for result in results}
        figures = written["protocols"][protocol]
        for part in ("target_test", "target_all"):
            chosen = [
                r for r in scored if part == "target_all" or r["subset"] == "test"
            ]
            true = [row["emotion"] for row in chosen]
            ours = [predicted[rows[row["ID"]].path(standins)] for row in chosen]
            expected = 100 * balanced_accuracy_score(true, ours)
            zero_shot = 100 * balanced_accuracy_score(
                true, [row["predicted"] for row in chosen]
            )
            assert figures[part]["n"] == len(chosen)
            assert figures[part]["uar"] == pytest.approx(expected)
            assert figures[part]["gain"]["uar"] == pytest.approx(expected - zero_shot)
            low, high = figures[part]["ci95"]["uar"]
            assert low <= figures[part]["uar"] <= high


def test_the_gain_is_paired():
    """As when utterances are drawn anew, each with both of its predictions."""
    rng = np.random.default_rng(1)
    true = rng.integers(0, 4, 300)
    before = np.where(rng.random(300) < 0.5, true, rng.integers(0, 4, 300))
    after = np.where(rng.random(300) < 0.3, true, before)
    found = gain(true, before, after, ["a", "b"] * 150)
    differences = []
    for _ in range(2000):
        i = rng.integers(0, 300, 300)
        one, other = (uar(confusion_matrix(true[i], p[i], 4)) for p in (after, before))
        differences.append(one - other)
    np.testing.assert_allclose(
        found["ci95"], np.percentile(differences, [2.5, 97.5]), atol=0.6
    )
    assert found["ci95"][0] < found["uar"] < found["ci95"][1]
    assert gain(true, before, before, ["a"] * 300) == {
        "uar": 0.0, "ci95": [0.0, 0.0], "ci95_speaker": None,
    }  # fmt: skip


def test_runs_that_cannot_be_adapted_say_why(run, standins, tmp_path):
    with pytest.raises(UserError, match="holds no finished run"):
        score_run(tmp_path)
    record = json.loads((run / "run.json").read_text())
    for key, value, said in (
        ("manifest_sha256", {"emodb": "0"}, "is not the manifest"),
        ("zero_shot", False, "was trained on its target"),
    ):
        record[key] = value
        (run / "run.json").write_text(json.dumps(record))
        with pytest.raises(UserError, match=said):
            score_run(run, data_root=standins)
