"""Solvers: against slow computations, and in runs that others rely on."""

import json

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Oracle

from data_prep.errors import UserError
from xser_brain.cli.train import main
from xser_brain.inference.calibration import fit_temperature
from xser_brain.inference.classifier import Classifier
from xser_brain.solvers import Ensemble, Logistic, Ridge, Vectors
from xser_brain.solvers.nested import choose
from xser_brain.solvers.stacked import cell_weights


@pytest.fixture
def vectors() -> Vectors:
    """Two views of 90 utterances in three languages; layer 1 alone knows the emotion."""
    rng = np.random.default_rng(0)
    emotions, languages = rng.integers(0, 3, 90), np.repeat([0, 1, 2], 30)
    first = rng.normal(size=(90, 4, 5))
    first[:, 1] += 3 * np.eye(3, 5)[emotions]
    second = first + rng.normal(scale=0.1, size=first.shape)
    views = [view.astype(np.float32) for view in (first, second)]
    return Vectors(views, emotions, languages, ["de", "en", "ur"], 3, ("mean", "loud"))


def predicted(solution, view: np.ndarray) -> np.ndarray:
    x = view[:, list(solution.vectors)].reshape(len(view), -1)
    return (x - solution.mean) / solution.scale @ solution.weights.T + solution.bias


def test_cells_weigh_the_same():
    languages, emotions = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    weights = cell_weights(languages, emotions)
    assert weights.tolist() == [0.5, 0.5, 1.0, 0.5, 0.5]


@pytest.mark.parametrize("strength", [0.1, 2.0])
def test_ridge_against_another_implementation(vectors, strength):
    solver = Ridge(layers=[[0]], poolings=["mean"], strengths=[strength])
    found = predicted(solver.solve(vectors), vectors.views[0])
    x = vectors.of(0)
    weights = np.tile(cell_weights(vectors.languages, vectors.emotions), 2)
    mean = np.average(x, axis=0, weights=weights)
    scale = np.sqrt(np.average(np.square(x - mean), axis=0, weights=weights))
    labels = np.eye(3)[np.tile(vectors.emotions, 2)]
    oracle = Oracle(alpha=strength * weights.sum())
    oracle.fit((x - mean) / scale, labels, weights)
    expected = oracle.predict((vectors.views[0][:, 0] - mean) / scale)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("solver", [Ridge, Logistic])
def test_scores_of_vectors_are_averaged(vectors, solver):
    both = solver(layers=[[0, 1]], poolings=["mean"]).solve(vectors)
    parts = [solver(layers=[[n]], poolings=["mean"]).solve(vectors) for n in (0, 1)]
    expected = sum(predicted(part, vectors.views[0]) for part in parts) / 2
    np.testing.assert_allclose(predicted(both, vectors.views[0]), expected, atol=1e-6)


@pytest.mark.parametrize("solver", [Ridge, Logistic])
def test_what_knows_the_emotion_is_chosen(vectors, solver):
    solution = solver(layers=[[0], [1]], poolings=["loud", "mean"]).solve(vectors)
    chosen = solution.choice["chosen"]
    assert (chosen["layers"], chosen["pooling"]) == ([1], "mean")
    assert solution.vectors == [1]
    candidates = solution.choice["candidates"]
    assert len(candidates) == 4
    assert set(candidates[0]["uar"]) == {"de", "en", "ur"}
    json.dumps(solution.choice, allow_nan=False)


@pytest.mark.parametrize("solver", [Ridge, Logistic])
def test_weights_are_candidates(vectors, solver):
    """Which is chosen comes out as if it alone had been asked for."""
    options = {"layers": [[0, 1]], "poolings": ["mean"], "strengths": [0.3]}
    both = solver(balanced=[True, False], **options).solve(vectors)
    scores = [one["mean"] for one in both.choice["candidates"]]
    alone = [
        solver(balanced=[value], **options).solve(vectors) for value in (True, False)
    ]
    assert len(set(scores)) == 2 or np.allclose(*scores)
    chosen = alone[int(np.argmax(scores))]
    np.testing.assert_allclose(both.weights, chosen.weights)
    assert not np.allclose(alone[0].weights, alone[1].weights)


@pytest.mark.parametrize("solver", [Ridge, Logistic])
def test_a_language_is_judged_by_those_who_never_heard_it(vectors, solver, monkeypatch):
    """The score of a candidate is that of a fit to the other languages alone."""
    options = {"poolings": ["mean"], "strengths": [0.5]}
    choice = solver(layers=[[1], [0]], **options).solve(vectors).choice
    heard = vectors.languages != 2
    alone = Vectors(
        [view[heard] for view in vectors.views],
        vectors.emotions[heard],
        vectors.languages[heard],
        vectors.names,
        3,
        vectors.poolings,
    )
    fitted = solver(layers=[[1]], **options).solve(alone)
    scores = predicted(fitted, vectors.views[0][~heard]).argmax(1)
    true = vectors.emotions[~heard]
    recalls = [(scores[true == k] == k).mean() for k in range(3)]
    assert choice["candidates"][0]["uar"]["ur"] == pytest.approx(100 * np.mean(recalls))


def members() -> list:
    options = {"layers": [[1], [0, 1]], "poolings": ["mean", "both"]}
    return [Logistic(strengths=[0.1, 0.3], **options), Ridge(**options)]


def test_an_ensemble_takes_the_best_on_languages_left_out(vectors):
    choice = Ensemble(members(), size=3).solve(vectors).choice
    assert len(choice["candidates"]) == 12
    ranked = sorted(choice["candidates"], key=lambda one: -one["mean"])
    names = ("solver", "layers", "pooling", "strength", "balanced")
    expected = [{name: one[name] for name in names} for one in ranked[:3]]
    assert choice["chosen"] == expected
    alone = members()[1].solve(vectors).choice["candidates"]
    assert [one["uar"] for one in choice["candidates"][8:]] == [c["uar"] for c in alone]


def test_scores_of_an_ensemble_are_the_mean_of_calibrated_ones(vectors):
    """Each by the temperature that it needs on languages it has not heard."""
    solvers = [
        Logistic(layers=[[1]], poolings=["mean"], strengths=[0.1]),
        Ridge(layers=[[0, 1]], poolings=["both"], strengths=[0.5]),
    ]
    found = predicted(Ensemble(solvers).solve(vectors), vectors.views[0])
    expected = np.zeros_like(found)
    for solver in solvers:
        held_out = np.zeros_like(found)
        for left_out in range(3):
            own = vectors.languages == left_out
            others = Vectors(
                [view[~own] for view in vectors.views],
                vectors.emotions[~own],
                vectors.languages[~own],
                vectors.names,
                3,
                vectors.poolings,
            )
            held_out[own] = predicted(solver.solve(others), vectors.views[0])[own]
        shares = np.exp(held_out) / np.exp(held_out).sum(-1, keepdims=True)
        temperature = fit_temperature(shares, vectors.emotions)
        expected += predicted(solver.solve(vectors), vectors.views[0]) / temperature / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", [[], ["Ridge"]])
def test_an_ensemble_needs_solvers(wrong):
    with pytest.raises(UserError, match="at least one solver"):
        Ensemble(wrong)


def test_one_language_leaves_the_first_candidate():
    choice = choose([{"strength": 3.0}, {"strength": 1.0}], ["de"], lambda name: [0, 1])
    assert choice.describe()["chosen"] == {"strength": 3.0}
    assert "cannot be left out" in choice.describe()["by"]


def test_a_class_that_a_language_lacks(vectors):
    kept = (vectors.languages > 0) | (vectors.emotions == 1)
    less = Vectors(
        [view[kept] for view in vectors.views],
        vectors.emotions[kept],
        vectors.languages[kept],
        vectors.names,
        3,
        vectors.poolings,
    )
    for solver in (Ridge, Logistic):
        solution = solver(layers=[[1], [0]], poolings=["mean"]).solve(less)
        assert np.isfinite(solution.weights).all()
        assert solution.vectors == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"poolings": ["max"]}, "name some of mean, loud, energy, both, all"),
        ({"layers": []}, "at least one of layers"),
        ({"layers": ["upper"]}, "numbers from 0 to 1, all, middle, last"),
        ({"layers": [[7]]}, "numbers from 0 to 1"),
        ({"strengths": [-1]}, "strengths is -1"),
        ({"balanced": []}, "of balanced"),
    ],
)
def test_mistakes_are_named(vectors, options, message):
    with pytest.raises(UserError, match=message):
        Ridge(**options).solve(vectors)


# --- In runs

ROBUST = {"encoder": "wav2vec2", "system": "robust"}


@pytest.fixture(scope="module")
def robust(argv, small_encoder, tmp_path_factory):
    """A finished run of the system robust."""
    results = tmp_path_factory.mktemp("robust")
    options = {**ROBUST, "encoder_source": small_encoder("wav2vec2")}
    assert main(argv(results, **options)) == 0
    return results / "ravdess_to_emodb/robust/wav2vec2/1"


def test_run_json_holds_the_choice(robust, record):
    found = record(robust)
    assert found["zero_shot"]
    assert found["steps"] == 1
    choice = found["choice"]
    assert choice["chosen"]["pooling"] in ("mean", "loud", "energy")
    assert {name for c in choice["candidates"] for name in c["uar"]} == {
        "en",
        "ur",
        "zh",
    }


def test_the_same_command_finds_it_finished(robust, argv, small_encoder, caplog):
    before = (robust / "predictions.csv").read_bytes()
    options = {**ROBUST, "encoder_source": small_encoder("wav2vec2")}
    assert main(argv(robust.parents[3], **options)) == 0
    assert "finished already" in caplog.text
    assert (robust / "predictions.csv").read_bytes() == before


def test_begun_anew_it_ends_the_same(robust, argv, small_encoder, tmp_path):
    options = {**ROBUST, "encoder_source": small_encoder("wav2vec2")}
    assert main(argv(tmp_path, **options)) == 0
    again = tmp_path / robust.relative_to(robust.parents[3])
    for name in ("predictions.csv", "train_log.txt"):
        assert (again / name).read_bytes() == (robust / name).read_bytes()


def test_the_exported_model_says_what_the_run_said(robust, standins):
    classifier = Classifier.from_pretrained(robust / "model")
    lines = (robust / "predictions.csv").read_text().splitlines()
    said = {line.split(",")[0]: line.split(",")[5:9] for line in lines[1:]}
    from data_prep import manifest

    rows = manifest.read(robust.parents[3] / "manifests/emodb.csv")
    rows = [row for row in rows if row.ID in said][:12]
    for row in rows:
        found = classifier(row.path(str(standins)))
        expected = [float(share) for share in said[row.ID]]
        assert [*found.probabilities.values()] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_onnx_says_it_too(robust, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from models import noise

    from xser_brain.inference.to_onnx import export_onnx

    export_onnx(robust / "model", tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    classifier = Classifier.from_pretrained(robust / "model")
    for count, seconds in enumerate((0.4, 1.0, 2.7), 1):
        samples = np.stack([noise(seconds, seed) for seed in range(count)])
        samples[:, : len(samples[0]) // 3] *= 0.001
        found = session.run(None, {"samples": samples})[0]
        for utterance, shares in zip(samples, found, strict=True):
            expected = [*classifier(utterance, 16000).probabilities.values()]
            np.testing.assert_allclose(shares, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "ecapa"}, "needs a pretrained encoder that does not adapt"),
        ({"adaptation": "lora"}, "needs a pretrained encoder that does not adapt"),
        ({"cache": "none"}, "leave --cache=none out"),
    ],
)
def test_what_it_cannot_do_is_refused(
    argv, small_encoder, complaint, tmp_path, changes, message
):
    options = {**ROBUST, "encoder_source": small_encoder("wav2vec2"), **changes}
    if changes.get("encoder") == "ecapa":
        del options["encoder_source"]
    assert message in complaint(argv(tmp_path, **options))
