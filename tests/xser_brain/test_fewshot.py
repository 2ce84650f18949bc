"""Few-shot: speakers who are tested are never labelled, and figures are what they say."""

import csv
import json
import shutil

import numpy as np
import pytest

from data_prep.errors import UserError
from xser_brain.cli import main
from xser_brain.evaluation import embeddings, fewshot
from xser_brain.evaluation.curve import Curve
from xser_brain.evaluation.fewshot import divide, score_run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run that may be written to."""
    shutil.copytree(finished.parents[3], tmp_path / "results")
    return tmp_path / "results" / finished.relative_to(finished.parents[3])


def predictions(run):
    with (run / "predictions.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_speakers_who_are_tested_are_not_labelled(run, monkeypatch):
    rows = predictions(run)
    arrays = embeddings.load(run)
    of_target = arrays["part"] == "target"
    speaker = {
        tuple(x.astype(float)): s
        for x, s in zip(
            arrays["embeddings"][of_target], arrays["speaker"][of_target], strict=True
        )
    }
    assert len(speaker) == len(rows)
    refits = []
    refit = fewshot.refit

    def watched(linear, chosen, labels, *others):
        labelled = {speaker[tuple(x)] for x in chosen}
        found = refit(linear, chosen, labels, *others)

        class Watched:
            def predict(self, tested):
                refits.append((labelled, {speaker[tuple(x)] for x in tested}, labels))
                return found.predict(tested)

        return Watched()

    monkeypatch.setattr(fewshot, "refit", watched)
    curve = score_run(run, (1, 2), draws=5)
    assert len(refits) == 5 * 2 * 2
    for labelled, tested, labels in refits:
        assert not labelled & tested
        assert len(set(np.bincount(labels))) == 1  # as many of each emotion
    assert [x.shape for x in curve.predicted.values()] == [(1, 5, len(rows))] * 2


def test_a_run_is_scored_beside_its_zero_shot_figures(run, record):
    before = {p.name: p.read_bytes() for p in run.glob("*") if p.is_file()}
    score_run(run, (1, 2, 500), draws=4)
    after = {p.name: p.read_bytes() for p in run.glob("*") if p.is_file()}
    written = json.loads(after.pop("fewshot.json"))
    assert after == before
    assert written["protocol"] == "few-shot"
    assert written["system"] == "proposed"
    zero_shot = record(run)["target_all"]["uar"]
    assert written["strict"]["uar"] == pytest.approx(zero_shot)
    points = written["points"]
    assert [point["labelled_per_emotion"] for point in points] == [1, 2]
    assert [point["labelled"] for point in points] == [4, 8]
    for point in points:
        assert point["draws"] == 4
        assert point["gain"]["uar"] == pytest.approx(point["uar"] - zero_shot)
    again = score_run(run, (1, 2), draws=4).predicted
    assert all(
        (again[k] == score_run(run, (1, 2), 4).predicted[k]).all() for k in again
    )


def test_the_command_draws_several_runs_in_one_picture(run, capsys):
    other = run.parents[1] / "twin/ecapa/1"
    other.parent.mkdir(parents=True)
    shutil.copytree(run, other)
    twin = json.loads((other / "run.json").read_text()) | {"system": "twin"}
    (other / "run.json").write_text(json.dumps(twin))
    out = run.parents[3] / "pictures"
    command = ["fewshot", str(run), str(other), "--shots", "1", "2", "--draws=3"]
    assert main([*command, f"--out={out}"]) == 0
    said = capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert names == {f"fewshot.{suffix}" for suffix in ("md", "csv", "png", "pdf")}
    assert all(str(out / name) in said for name in names)
    table = (out / "fewshot.md").read_text()
    assert "**Few-shot: labelled utterances of each emotion" in table
    assert "| setting | system | seeds | zero-shot | 1 | 2 |" in table
    assert "transductive" not in table
    with (out / "fewshot.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["protocol"] for row in rows} == {"few-shot"}
    assert {row["system"] for row in rows} == {"proposed", "twin"}
    assert json.loads((other / "fewshot.json").read_text())["system"] == "twin"


def test_seeds_are_put_together():
    rng = np.random.default_rng(0)
    true = np.arange(40) % 4

    def curve(points):
        predicted = {x: rng.integers(0, 4, (1, 5, 40)) for x in points}
        return Curve(
            "few-shot", list(range(40)), list("abcdefgh") * 5, true,
            rng.integers(0, 4, (1, 40)), predicted, 4,
        )  # fmt: skip

    one, two = curve("12"), curve("1")
    both = one.joined(two)
    assert list(both.predicted) == ["1"]
    points = [c.points()["1"] for c in (one, two, both)]
    mean = (points[0]["uar"] + points[1]["uar"]) / 2
    assert points[2]["uar"] == pytest.approx(mean)
    gains = [point["gain"]["uar"] for point in points]
    assert gains[2] == pytest.approx((gains[0] + gains[1]) / 2)
    low, high = points[2]["gain"]["ci95_speaker"]
    assert low < gains[2] < high


def test_speakers_are_halved():
    rng = np.random.default_rng(0)
    speakers, true = np.repeat(list("abcdefg"), 4), np.arange(28) % 4
    half = divide(speakers, true, 3, rng)
    assert not set(speakers[half]) & set(speakers[~half])
    assert sorted(np.bincount(true[half])) == [3] * 4


def test_runs_that_cannot_be_scored_say_why(run, tmp_path, capsys):
    with pytest.raises(UserError, match="holds no finished run"):
        score_run(tmp_path)
    rows = predictions(run)
    with (run / "predictions.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows({**row, "speaker": ""} for row in rows)
    with pytest.raises(UserError, match="does not tell who speaks"):
        score_run(run)
    with (run / "predictions.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    arrays = embeddings.load(run)
    for change in (
        {"ids": arrays["ids"][::-1].copy()[: len(arrays["ids"]) // 2]},
        {"embeddings": arrays["embeddings"][:, :3]},
        {"embeddings": arrays["embeddings"] * np.float16(np.nan)},
        {"part": np.array(["train"] * len(arrays["part"]))},
    ):
        np.savez(run / "embeddings.npz", **{**arrays, **change})
        with pytest.raises(UserError, match="train that run again"):
            score_run(run)
    (run / "embeddings.npz").unlink()
    with pytest.raises(UserError, match="kept no embeddings"):
        score_run(run)
    assert main(["fewshot", str(run), "--shots", "0"]) == 2
    assert "shots is 0" in capsys.readouterr().err
