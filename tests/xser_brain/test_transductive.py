"""Normalising by unlabelled recordings: right, never by default, and named."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from models import build, noise
from models import record as some_record
from sklearn.metrics import balanced_accuracy_score

from data_prep import manifest
from data_prep.errors import UserError
from xser_brain.adaptation import PROTOCOLS
from xser_brain.adaptation.linear import Linear
from xser_brain.adaptation.running import RunningStatistics
from xser_brain.adaptation.statistics import standardise
from xser_brain.cli import main
from xser_brain.evaluation import transductive, unlabelled
from xser_brain.evaluation.curve import gain
from xser_brain.evaluation.metrics import confusion_matrix, uar
from xser_brain.evaluation.transductive import score_run
from xser_brain.inference import Classifier
from xser_brain.models.export import export

CORPUS, SPEAKER = (f"transductive ({of} statistics)" for of in ("corpus", "speaker"))


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
    heard = [item for item in classifier.embed_pieces([clips]) if item.piece]
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
    written, _ = score_run(run, data_root=standins, device="cpu")
    assert json.loads((run / "transductive.json").read_text()) == written
    after = {p.name: p.read_bytes() for p in run.glob("*") if p.is_file()}
    after.pop("transductive.json")
    assert after == before
    rows = {r.ID: r for r in manifest.read(run.parents[3] / "manifests/emodb.csv")}
    assert written["protocol"] == "adapted without labels"
    assert written["strict"]["uar"] == pytest.approx(
        json.loads(before["run.json"])["target_all"]["uar"]
    )
    assert list(written["protocols"]) == list(PROTOCOLS.values())
    assert written["statistics"] == {"utterances": len(rows), "speakers": 4}
    with (run / "predictions.csv").open(newline="") as stream:
        scored = list(csv.DictReader(stream))
    classifier = Classifier.from_pretrained(run)
    paths = [row.path(standins) for row in rows.values()]
    speakers = {row.path(standins): row.speaker for row in rows.values()}
    for by in ("corpus", "speaker", "self_training"):
        protocol = PROTOCOLS[by]
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


def test_the_corpora_may_be_named_from_the_current_folder(run, standins, monkeypatch):
    monkeypatch.chdir(standins.parent)
    written, _ = score_run(run, ("corpus",), standins.name, device="cpu")
    assert written["protocols"][PROTOCOLS["corpus"]]["target_test"]["n"] > 0


def shuffled(run, rng):
    """Deal the emotions of a run's target out anew, wherever they are written."""
    path = run.parents[3] / "manifests/emodb.csv"
    rows, sidecar = manifest.read(path), manifest.read_sidecar(path)
    emotions = [row.emotion for row in rows]
    rng.shuffle(emotions)
    rows = [replace(r, emotion=e) for r, e in zip(rows, emotions, strict=True)]
    manifest.write(path, rows, {"corpus": sidecar["corpus"]})
    record = json.loads((run / "run.json").read_text())
    record["manifest_sha256"]["emodb"] = manifest.read_sidecar(path)["sha256"]
    (run / "run.json").write_text(json.dumps(record))
    with (run / "predictions.csv").open(newline="") as stream:
        scored = list(csv.DictReader(stream))
    given = [row["emotion"] for row in scored]
    rng.shuffle(given)
    with (run / "predictions.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, scored[0])
        writer.writeheader()
        writer.writerows(
            {**row, "emotion": e} for row, e in zip(scored, given, strict=True)
        )


def test_labels_of_the_target_are_not_read(run, standins):
    found = []
    for _ in range(2):
        written, curves = score_run(run, data_root=standins, device="cpu")
        found.append((written, curves))
        shuffled(run, np.random.default_rng(0))
    (before, of_before), (after, of_after) = found
    assert before["protocols"] != after["protocols"]  # they are scored by labels
    for kind in (transductive.WHOLE, transductive.HEARD):
        one, other = of_before[kind].predicted, of_after[kind].predicted
        assert one.keys() == other.keys()
        assert len(one) >= 4
        for point in one:
            np.testing.assert_array_equal(one[point], other[point])


def test_the_curve_is_of_running_statistics():
    """As if the utterances drawn had been heard one by one, and then the one tested."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(2, 3, (30, 5))
    training = np.stack([rng.normal(size=5), 1 + rng.random(5)])
    linear = Linear(rng.normal(size=(4, 5)), rng.normal(size=4))
    tested = np.arange(3, 28)
    found = unlabelled.heard_before(
        embeddings, tested, linear, training, (1, 7, 29, 30), draws=3
    )
    assert list(found) == ["1", "7", "29"]
    for count in (1, 7, 29):
        for draw in range(3):
            order = np.random.default_rng([0, draw]).permutation(30)
            for place, own in enumerate(tested):
                heard = [order[count] if i == own else i for i in order[:count]]
                assert own not in heard
                running = RunningStatistics(training)
                for i in heard:
                    running(embeddings[i])
                expected = linear.predict(running(embeddings[own]))
                assert found[str(count)][draw, place] == expected


def test_a_mixture_is_as_one_sided_as_it_says(monkeypatch):
    rng = np.random.default_rng(0)
    emotions = np.repeat(range(4), 30)
    tested = np.arange(5, 125)
    drawn = []
    monkeypatch.setattr(
        unlabelled,
        "_after",
        lambda _, __, heard, instead, *___: (
            drawn.append((emotions[heard - 5], emotions[instead - 5]))
            or np.zeros(120, int)
        ),
    )
    found = unlabelled.mixtures(
        rng.normal(size=(130, 3)), tested, emotions, 1, None, np.ones((2, 3)), 20,
        (25, 50, 90, 100), draws=2,
    )  # fmt: skip
    assert list(found) == ["25", "50", "90", "100"]
    for (heard, instead), share in zip(
        drawn, np.repeat([25, 50, 90, 100], 2), strict=True
    ):
        assert len(heard) == 20
        assert (heard == 1).sum() == 20 * share // 100
        rest = np.bincount(heard, minlength=4)[[0, 2, 3]]
        assert rest.max() - rest.min() <= 1
        np.testing.assert_array_equal(heard, instead)
    none = unlabelled.mixtures(
        rng.normal(size=(130, 3)), tested, emotions, 1, None, np.ones((2, 3)), 60
    )
    assert list(none) == ["25"]


def test_the_command_writes_a_table_and_figures_of_its_own(run, standins, capsys):
    command = ["transductive", str(run), f"--data_root={standins}", "--device=cpu"]
    assert main(command) == 0
    said = capsys.readouterr().out
    names = {path.name for path in run.iterdir()}
    made = {"adapted.md", "adapted.csv"}
    made |= {f"adapted-{c}.{s}" for c in ("heard-before",) for s in ("png", "pdf")}
    assert made <= names
    assert all(name in said for name in made)
    table = (run / "adapted.md").read_text()
    assert table.count("**Adapted without labels") >= 2
    assert "| setting | system | seeds | zero-shot |" in table
    assert "few-shot" not in table.lower()
    assert "ynthetic stand-ins" in table
    with (run / "adapted.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    written = json.loads((run / "transductive.json").read_text())
    by_point = {row["point"]: row for row in rows}
    for protocol, parts in written["protocols"].items():
        row = by_point[protocol]
        assert float(row["uar"]) == pytest.approx(parts["target_all"]["uar"])
        assert float(row["gain"]) == pytest.approx(parts["target_all"]["gain"]["uar"])
        assert row["protocol"] == "adapted without labels"
    for point in written["heard_before"]:
        row = by_point[str(point["utterances"])]
        assert float(row["uar"]) == pytest.approx(point["uar"])
        assert point["protocol"] == PROTOCOLS["running"]


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
