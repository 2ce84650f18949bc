"""Figures show what the runs' artefacts hold, and can be read."""

import csv
import json
import logging
import sys
import types
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from sklearn.metrics import recall_score

from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain.reports import figures, palette
from xser_brain.reports.figures import curves, inside, overview, projection
from xser_brain.reports.figures.style import save
from xser_brain.reports.points import MEAN, Point
from xser_brain.reports.probes import balanced_sample, probe_rows, probe_run
from xser_brain.reports.runs import find_runs, group_runs
from xser_brain.reports.tables import scores

SYSTEMS = (
    "baseline1",
    "baseline2",
    "proposed",
    "without_supcon",
    "without_spkadv",
    "upper_bound",
)
NAMES = {"projection", "confusion", "curves", "probes", "layers"}
UARS = {"uar-whisper-target_test", "uar-whisper-target_all"}
OVER = {"overview-whisper"}  # and, of two systems or more, their differences
WIDTH = 16


def utterances(
    language: str, part: str, speakers: int, emotion=4.0, speaker=0.0, spoken=0.0
) -> dict[str, np.ndarray]:
    """Gaussian embeddings, moved by so much for each emotion, speaker and language."""
    rng = np.random.default_rng([*f"{language}-{part}".encode()])
    directions = rng.normal(size=(speakers, WIDTH))
    own = np.random.default_rng([*language.encode()]).normal(size=WIDTH)
    axes = np.eye(WIDTH)
    columns = {name: [] for name in ("ids", "emotion", "speaker", "embeddings")}
    for s in range(speakers):
        for e, name in enumerate(EMOTIONS):
            for take in range(3):
                columns["ids"].append(f"{language}-{part}{s}{e}{take}")
                columns["emotion"].append(name)
                columns["speaker"].append(f"{language}-{part}{s}")
                columns["embeddings"].append(
                    rng.normal(size=WIDTH)
                    + 3 * emotion * axes[e]
                    + speaker * directions[s]
                    + spoken * own
                )
    n = len(columns["ids"])
    return {
        **{name: np.array(values) for name, values in columns.items()},
        "language": np.array([language] * n),
        "part": np.array([part] * n),
    }


def joined(*parts: dict) -> dict[str, np.ndarray]:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


TRUE = np.repeat(np.arange(4), 40)


def predicted(seed: int) -> np.ndarray:
    """Predictions for ``TRUE``, other ones for each seed."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(TRUE)) < 0.6, TRUE, rng.integers(0, 4, len(TRUE)))


def counts(true: np.ndarray, guess: np.ndarray) -> np.ndarray:
    return np.array([[np.sum((true == t) & (guess == g)) for g in range(4)]
                     for t in range(4)])  # fmt: skip


def result(true: np.ndarray, guess: np.ndarray) -> dict:
    uar = 100 * recall_score(true, guess, average="macro")
    confusion = counts(true, guess).tolist()
    return {"uar": uar, "n": len(true), "confusion": confusion, "labels": [*EMOTIONS]}


def write_run(folder, system, seed=1, target="emodb", **changes):
    """A made-up finished run: the target is heard by the upper bound alone."""
    heard = {"baseline1": ["en"], "upper_bound": ["de"]}.get(system, ["en", "zh"])
    folder = folder / target / system / str(seed)
    folder.mkdir(parents=True)
    record = {
        "setting": {
            "source": ["ravdess"],
            "non_target": ["esd"],
            "target": target,
            "languages": {"train": heard, "target": "de"},
        },
        "system": system,
        "seed": seed,
        "standin": False,
        "zero_shot": system != "upper_bound",
        "encoder": {"name": "whisper"},
        "protocol_sha256": "p",
        "hparams_sha256": "h",
        "valid": {"step": 10 * seed},
        "target_test": result(TRUE[::4], predicted(seed)[::4]),
        "target_all": result(TRUE, predicted(seed))
        if system != "upper_bound"
        else None,
        "layer_weights": [0.1 * seed, 0.3, 0.7 - 0.1 * seed],
        **changes,
    }
    (folder / "run.json").write_text(json.dumps(record))
    lines = [
        f"step: {step}, lr: 1.0e-03 - train loss: 4.0, train ce: {1 / step:.4e}"
        f" - valid loss: 5.0e-01, valid uar: {50 + step / seed:.4f}, "
        + ", ".join(f"valid uar_{name}: {40 + seed}" for name in heard)
        for step in range(10, 10 * seed + 21, 10)
    ]
    (folder / "train_log.txt").write_text("\n".join(lines) + "\n")
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["ID", "speaker", "emotion", "predicted", "subset"])
        for i, (true, guess) in enumerate(zip(TRUE, predicted(seed), strict=True)):
            labels = EMOTIONS[true], EMOTIONS[guess]
            if i % 4 == 0:
                writer.writerow([i, f"s{i // 4 % 6}", *labels, "test"])
            elif system != "upper_bound":
                writer.writerow([i, f"s{i // 4 % 6}", *labels, "rest"])
    parts = [utterances(name, part, 3) for name in heard for part in ("train", "valid")]
    np.savez(folder / "embeddings.npz", **joined(*parts, utterances("de", "target", 2)))


@pytest.fixture
def runs(tmp_path):
    """Write runs of systems and seeds, and find them; by system."""

    def build(systems=SYSTEMS, seeds=(1,), **changes) -> dict[str, list[dict]]:
        for system in systems:
            for seed in seeds:
                write_run(tmp_path / "runs", system, seed, **changes)
        found = find_runs(tmp_path / "runs")
        return {s: [run for run in found if run["system"] == s] for s in systems}

    return build


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """All figures of a setting; the folder and the paths."""
    folder = tmp_path_factory.mktemp("figures")
    for seed in (1, 2):
        write_run(folder / "runs", "proposed", seed)
    before = dict(matplotlib.rcParams)
    paths = figures.draw_all(find_runs(folder / "runs"), folder / "out")
    assert dict(matplotlib.rcParams) == before
    return folder / "out", paths


def test_every_figure_is_written_as_png_and_pdf(drawn):
    folder, paths = drawn
    expected = UARS | OVER | {f"ravdess_to_emodb/whisper/{name}" for name in NAMES}
    assert {str(p.relative_to(folder).with_suffix("")) for p in paths} == expected
    assert len(paths) == 2 * len(expected)
    for path in paths:
        magic = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-"}[path.suffix]
        assert path.read_bytes().startswith(magic)
        if path.suffix == ".png":
            pixels = matplotlib.image.imread(path)
            assert pixels.shape[1] in (945, 2010)  # a column or a page, at 300 dpi
            assert pixels[..., :3].std() > 0.01


def test_figures_are_the_same_each_time(drawn, tmp_path):
    folder, _ = drawn
    found = find_runs(folder.parent / "runs")
    systems = {"proposed": [run for run in found if run["system"] == "proposed"]}
    figure = figures.draw_projection(
        systems, "RAVDESS (+ ESD Mandarin) to EMO-DB, whisper"
    )
    for path in save(figure, tmp_path / "projection"):
        before = folder / "ravdess_to_emodb/whisper" / path.name
        assert path.read_bytes() == before.read_bytes()


def assert_readable(figure) -> None:
    """Nothing is cut off at the edges, and no title or legend is over another."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 > -0.05 and box.y0 > -0.05
    assert box.x1 < width + 0.05 and box.y1 < height + 0.05
    axes = figure.get_axes()
    texts = [figure._suptitle, figure._supxlabel]
    texts += [t for a in axes for t in (a.title, a._left_title, a.xaxis.label)]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    boxes = [t.get_window_extent().padded(-1) for t in texts if t and t.get_text()]
    boxes += [a.get_window_extent() for a in axes]
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    assert min(text.get_fontsize() for text in figure.findobj(Text)) >= 6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 2, 6])
def test_nothing_is_cut_off_or_overlaps(n, runs, monkeypatch):
    # The layout does not depend on where the points are.
    monkeypatch.setattr(projection, "project", lambda v, method: v[:, :2])
    systems = runs(SYSTEMS[-n:], seeds=(1, 2))
    title = "meld (+ esd, urdu, cafe) → emodb, wav2vec2-paper, synthetic stand-ins"
    probes = [
        {"system": s, "zero_shot": s != "upper_bound", "seed": 1, "probe": "speaker",
         "within": w, "accuracy": 60.0, "chance": 9.0, "classes": 11, "n": 99}
        for s in ("proposed", *systems) for w in ["de", "en", "fr", "ur", "zh"][:n]
    ]  # fmt: skip
    uars = [
        {"setting": f"meld_to_esd{i}", "system": s, "zero_shot": s != "upper_bound",
         "uar": 99.0, "low": 60.0, "high": 100.0, "chance": 25.0, "n": 12345,
         "unit": "utterances" if i % 2 else "speakers"}
        for s in systems for i in range(n)
    ]  # fmt: skip
    for figure in (
        figures.draw_projection(systems, title),
        figures.draw_confusions(systems, title),
        figures.draw_curves(systems, title),
        figures.draw_layer_weights(systems, title),
        figures.draw_probes(probes, title),
        figures.draw_uar(uars, title),
    ):
        assert_readable(figure)


def test_styles_differ_in_grey_and_in_marker():
    seven = (*EMOTIONS, "fear", "disgust", "surprise")
    for styles, least in (
        ([*palette.label_styles(EMOTIONS).values()], 0.1),
        ([*palette.label_styles(seven).values()], 0.06),
        ([*palette.LANGUAGES[:4], palette.TARGET], 0.1),
        ([*palette.system_styles("abcd").values()], 0.05),
    ):
        grey = sorted(np.dot(to_rgb(c), (0.299, 0.587, 0.114)) for c, _ in styles)
        assert min(np.diff(grey)) > least
        assert len({marker for _, marker in styles}) == len(styles)


def test_labels_that_nobody_knows_have_styles_of_their_own():
    labels = [*palette.EMOTIONS, *"abcdef"]
    styles = palette.label_styles(labels)
    assert [*styles] == labels
    assert len({colour for colour, _ in styles.values()}) == len(labels)
    assert len({marker for _, marker in styles.values()}) == len(labels)


def _points(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_projection_shows_clusters_of_what_was_not_learned_from(runs):
    figure = figures.draw_projection(runs(["baseline1", "proposed"]), "title")
    upper, lower = np.array(figure.get_axes()).reshape(2, 2)
    for column, languages in enumerate([["en", "de"], ["en", "zh", "de"]]):
        emotions, spoken = _points(upper[column]), _points(lower[column])
        sizes = {name: len(points) for name, points in spoken.items()}
        # 12 utterances a speaker; 3 of a validation part, 2 of the target
        assert sizes == {"zh": 0, **dict.fromkeys(languages, 36), "de": 24}
        assert {len(points) for points in emotions.values()} == {
            sum(sizes.values()) / 4
        }
        first, second = (np.concatenate([*p.values()]) for p in (emotions, spoken))
        assert sorted(map(tuple, first)) == sorted(map(tuple, second))
        label = np.repeat(np.arange(4), sum(sizes.values()) // 4)
        distance = np.linalg.norm(first[:, None] - first, axis=-1)
        np.fill_diagonal(distance, np.inf)
        assert np.mean(label[distance.argmin(1)] == label) > 0.95


def test_projection_takes_the_first_seed_with_embeddings(runs, monkeypatch):
    seen = []
    monkeypatch.setattr(
        projection, "project", lambda v, method: seen.append(v[0, 0]) or v[:, :2]
    )
    systems = runs(["proposed"], seeds=(2, 10, 11))
    for run in systems["proposed"]:
        path = run["folder"] / "embeddings.npz"
        with np.load(path) as stored:
            arrays = dict(stored)
        arrays["embeddings"][:] = run["seed"]
        np.savez(path, **arrays)
    figures.draw_projection(systems, "title")
    (systems["proposed"][0]["folder"].parent / "2/embeddings.npz").unlink()
    figures.draw_projection(systems, "title")
    assert seen == [2, 10]


def test_sample_is_common_and_balanced():
    target = utterances("de", "target", 30)
    one = joined(utterances("en", "valid", 2), utterances("en", "train", 9), target)
    other = joined(utterances("zh", "valid", 2), target)
    sample = projection.common_sample([one, other], most=96)
    assert sample == projection.common_sample([other, one], most=96)
    assert len(set(sample)) == 96
    assert not [name for name in sample if "train" in name]
    counts = [sum(name.startswith(f"{x}-") for name in sample) for x in ("en", "zh")]
    assert counts == [24, 24]
    target = [name for name in sample if name.startswith("de-")]
    # The last but one digit is the emotion.
    assert [sum(n[-2] == str(e) for n in target) for e in range(4)] == [12] * 4


@pytest.mark.parametrize("most", [1, 7, 10, 100])
def test_balanced_sample_fills_the_smallest_class_first(most):
    labels = ["a"] * 20 + ["b"] * 3 + ["c"] * 9
    chosen = balanced_sample(labels, most)
    assert len(set(chosen)) == min(most, 32)
    counts = {x: [labels[i] for i in chosen].count(x) for x in "abc"}
    share = max(counts.values())
    for name, size in (("a", 20), ("b", 3), ("c", 9)):
        assert counts[name] >= min(size, share - 1)


def test_unknown_and_missing_methods_are_told(runs, tmp_path, monkeypatch):
    found = runs(["proposed"])["proposed"]
    with pytest.raises(UserError, match="unknown method 'pca': use tsne or umap"):
        figures.draw_all(found, tmp_path / "out", method="pca")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match="pip install umap-learn"):
        figures.draw_all(found, tmp_path / "out", method="umap")
    assert not (tmp_path / "out").exists()


def test_umap_is_used_when_asked_for(monkeypatch):
    class UMAP:
        def __init__(self, n_neighbors, random_state, n_jobs):
            assert n_neighbors < 12

        def fit_transform(self, vectors):
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
            return vectors[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    assert projection.project(np.arange(1, 37).reshape(12, 3), "umap").shape == (12, 2)


def test_confusions_are_means_over_seeds(runs):
    figure = figures.draw_confusions(
        runs(["proposed", "upper_bound"], seeds=(1, 2, 4)), "title"
    )
    # The upper bound has heard all but the test part.
    for axes, step, name in zip(
        figure.get_axes(), (1, 4), ("Proposed", "Upper bound"), strict=False
    ):
        true = TRUE[::step]
        guesses = [predicted(seed)[::step] for seed in (1, 2, 4)]
        mean = sum(counts(true, guess) for guess in guesses) / 3
        percent = 100 * mean / (40 // step)
        np.testing.assert_allclose(axes.get_images()[0].get_array(), percent)
        for text, share, count in zip(
            axes.texts, percent.ravel(), mean.ravel(), strict=True
        ):
            assert text.get_text() == f"{share:.0f} %\n{round(count, 1):g}"
        uar = 100 * np.mean([recall_score(true, g, average="macro") for g in guesses])
        assert axes.get_title() == f"{name}\nUAR {uar:.1f} %, n = {160 // step}"


def test_confusion_without_utterances_of_a_class(runs):
    empty = {"uar": 100.0, "n": 1, "confusion": np.diag([1, 0, 0, 0]).tolist()}
    figure = figures.draw_confusions(runs(["proposed"], target_all=empty), "title")
    assert figure.get_axes()[0].get_images()[0].get_array().sum() == 100


def test_curves_show_seeds_their_mean_and_the_choice(runs):
    figure = figures.draw_curves(runs(["proposed"], seeds=(1, 2)), "title")
    losses, mean, languages = figure.get_axes()
    assert losses.get_ylabel() == "emotion\nloss"
    line = _points(losses)["train ce"]  # seed 1 ends at step 30
    np.testing.assert_allclose(line, [[s, 1 / s] for s in (10, 20, 30)], rtol=1e-4)
    np.testing.assert_allclose(
        _points(mean)["valid uar"],
        [[s, 50 + (s + s / 2) / 2] for s in (10, 20, 30)],
    )
    seeds = [x for x in mean.get_lines() if x.get_label() == "valid uar, seed"]
    assert [len(x.get_xdata()) for x in seeds] == [3, 4]
    assert max(x.get_linewidth() for x in seeds) < 1
    chosen = [x.get_xydata() for x in mean.get_lines() if x.get_label() == "chosen"]
    assert np.concatenate(chosen).tolist() == [[10, 60], [20, 60]]
    for name in ("en", "zh"):
        assert set(_points(languages)[f"valid uar_{name}"][:, 1]) == {41.5}


def test_log_of_a_resumed_run(tmp_path):
    path = tmp_path / "train_log.txt"
    path.write_text(
        "step: 100, lr: 1.0e-03 - train loss: 2.0, train ce: 1.5e-01\n"
        "step: 200, lr: 1.0e-03 - train loss: 1.0, train ce: 1.2e-\n"
        "step: 100, lr: 1.0e-03 - train loss: nan, train ce: 3\n"
        "Epoch loaded: 3 - test loss: 9.0\n"
    )
    log = curves.read_train_log(path)
    assert [*log] == [100]
    assert log[100]["train ce"] == 3 and np.isnan(log[100]["train loss"])
    assert curves.read_train_log(tmp_path / "none") == {}


def test_uar_shows_rows_as_they_are():
    rows = [
        {"setting": "a_to_b", "system": "proposed", "uar": 70.0, "low": 61.0,
         "high": 77.0, "n": 30},
        {"setting": "a_to_b", "system": "upper_bound", "uar": 90.0, "low": None,
         "high": None, "n": 20, "zero_shot": False},
        {"setting": "c_to_b", "system": "baseline1", "uar": 30.0, "low": 9.0,
         "high": 33.0, "n": 10},
    ]  # fmt: skip
    shared = {"zero_shot": True, "chance": 25.0, "unit": "utterances"}
    rows = [{**shared, **row} for row in rows]
    figure = figures.draw_uar(rows, "title")
    first, second = figure.get_axes()
    dots = [x.get_xydata() for x in first.get_lines() if x.get_label() == "uar"]
    assert np.concatenate(dots).tolist() == [[70, 1], [90, 2]]
    bars = [x.get_xydata() for x in first.get_lines() if x.get_label() == "interval"]
    assert np.concatenate(bars).tolist() == [[61, 1], [77, 1]]
    labels = [text.get_text() for text in first.get_yticklabels()]
    assert labels == ["Baseline 1", "Proposed", "Upper bound"]
    assert second.get_title(loc="left") == "c to b"
    assert second.get_lines()[0].get_xdata()[0] == 25
    low, high = second.get_xlim()
    assert low < 9 and high > 100
    assert [text.get_text() for text in first.texts] == ["n = 30", "n = 20"]


def test_uar_of_each_subset_is_that_of_the_predictions(runs, tmp_path, monkeypatch):
    drawn = {}

    def save_uar(figure, stem):
        drawn[stem.name] = figure
        return [stem]

    for name in ("projection", "confusions", "curves", "probes", "layer_weights"):
        monkeypatch.setattr(figures, f"draw_{name}", lambda *args: None)
    monkeypatch.setattr(figures, "save", save_uar)
    systems = runs(["proposed", "upper_bound"], seeds=(1, 2))
    paths = figures.draw_all([r for own in systems.values() for r in own], tmp_path)
    assert {path.name for path in paths} == UARS | OVER == {*drawn}
    for subset, step in (("target_test", 4), ("target_all", 1)):
        (axes,) = drawn[f"uar-whisper-{subset}"].get_axes()
        uars = [
            100 * recall_score(TRUE[::step], predicted(seed)[::step], average="macro")
            for seed in (1, 2)
        ]
        dots = [x.get_xdata()[0] for x in axes.get_lines() if x.get_label() == "uar"]
        # The whole target is none to a system that was trained on it.
        assert dots == pytest.approx([np.mean(uars)] * (2 if step == 4 else 1))
        low, high = next(
            x.get_xdata() for x in axes.get_lines() if x.get_label() == "interval"
        )
        assert low < dots[0] < high
        assert axes.texts[0].get_text() == f"n = {160 // step}"


def arrays(speaker: float, spoken: float, languages=("en", "zh", "fr")) -> dict:
    parts = [
        utterances(name, part, 6, speaker=speaker, spoken=spoken)
        for name in languages
        for part in ("train", "valid")
    ]
    return joined(*parts, utterances("de", "target", 3))


def by_name(rows: list[dict]) -> dict:
    return {(row["probe"], row["within"]): row for row in rows}


def test_probes_find_what_is_planted():
    rows = by_name(probe_run(arrays(speaker=4.0, spoken=8.0)))
    assert {*rows} == {
        ("language", None),
        *(("speaker", x) for x in ("en", "fr", "zh")),
    }
    assert all(row["accuracy"] > 95 for row in rows.values())
    assert rows["language", None]["chance"] == pytest.approx(100 / 3)
    assert rows["speaker", "en"]["chance"] == pytest.approx(100 / 12)
    assert rows["speaker", "en"]["n"] == 2 * 6 * 12
    assert rows["language", None]["n"] == 3 * 2 * 6 * 12


def test_probes_are_at_chance_on_noise():
    rows = probe_run(arrays(speaker=0.0, spoken=0.0))
    for row in rows:
        deviation = 100 * np.sqrt(0.01 * row["chance"] / row["n"])
        assert abs(row["accuracy"] - row["chance"]) < 4 * deviation, row


def test_language_is_read_from_unheard_speakers():
    # Speakers differ and languages do not: whoever knows the speakers knows theirs.
    rows = by_name(probe_run(arrays(speaker=4.0, spoken=0.0, languages=("en", "zh"))))
    assert rows["speaker", "en"]["accuracy"] > 95
    assert rows["language", None]["accuracy"] < 75


def test_the_same_utterance_is_in_one_fold_only():
    # A copy in the training part would give the speaker away, noise or not.
    noise = arrays(speaker=0.0, spoken=0.0)
    assert probe_run(joined(noise, noise)) == probe_run(noise)


def test_what_cannot_be_probed_is_left_out():
    one = utterances("en", "train", 1)
    assert probe_run(one) == []
    unknown = utterances("en", "train", 4)
    unknown["speaker"] = np.full(len(unknown["ids"]), "")
    assert probe_run(unknown) == []
    rare = utterances("en", "train", 12)
    rare["speaker"] = np.array([f"s{i // 3}" for i in range(len(rare["ids"]))])
    assert probe_run(rare) == []
    assert probe_run(utterances("de", "target", 4)) == []


def test_probe_rows_and_their_bars(runs):
    systems = runs(["baseline1", "proposed", "upper_bound"], seeds=(1, 2))
    rows = probe_rows([run for own in systems.values() for run in own])
    assert rows == probe_rows([run for own in systems.values() for run in own])
    values = {(1, "en"): 50.0, (2, "en"): 70.0, (1, "zh"): 20.0, (2, "zh"): 40.0}
    rows = [
        {**row, "accuracy": values[row["seed"], row["within"]]}
        for row in rows
        if row["probe"] == "speaker" and row["within"] in ("en", "zh")
    ] + [row for row in rows if row["within"] == "de"]
    assert {row["system"] for row in rows} == {*systems}
    figure = inside.draw_probes(rows, "title")
    english, chinese = figure.get_axes()
    assert [bar.get_width() for bar in english.patches] == [60, 60]
    assert [bar.get_width() for bar in chinese.patches] == [30]
    assert sorted(_points(chinese)["proposed"][:, 0]) == [20, 40]
    assert chinese.texts[0].get_text() == "no probe"
    (chance,) = chinese.collections[0].get_segments()
    assert chance[:, 0] == pytest.approx(100 / 6)


def test_layer_weights_are_means_with_their_range(runs):
    figure = inside.draw_layer_weights(runs(["proposed"], seeds=(1, 2, 6)), "title")
    axes = figure.get_axes()[0]
    np.testing.assert_allclose(
        [bar.get_height() for bar in axes.patches], [0.3, 0.3, 0.4]
    )
    (ranges,) = axes.collections
    np.testing.assert_allclose(ranges.get_segments()[0], [[0, 0.1], [0, 0.6]])
    assert axes.get_lines()[-1].get_ydata()[0] == pytest.approx(1 / 3)


def test_what_is_missing_is_passed_over(runs, tmp_path, caplog):
    systems = runs(["proposed"], seeds=(1, 2), layer_weights=None)
    for run in systems["proposed"]:
        (run["folder"] / "embeddings.npz").unlink()
        (run["folder"] / "train_log.txt").unlink()
        del run["layer_weights"]
    with caplog.at_level(logging.INFO):
        paths = figures.draw_all(systems["proposed"], tmp_path / "out")
    assert caplog.messages == ["2 of 2 runs kept no embeddings"]
    assert {path.stem for path in paths} == {"confusion", *UARS, *OVER}


def test_settings_and_standins_are_apart(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "project", lambda v, method: v[:, :2])
    seen = {}
    monkeypatch.setattr(
        figures, "save", lambda f, stem: seen.setdefault(stem, f) and [stem]
    )
    runs(["proposed"])
    found = runs(["proposed"], target="cafe")["proposed"]
    assert len(found) == 2
    found.append({**found[0], "standin": True})
    figures.draw_all(found, tmp_path / "out")
    real = "whisper"
    expected = {
        *(f"ravdess_to_{t}/{real}/{n}" for t in ("emodb", "cafe") for n in NAMES),
        *(f"ravdess_to_cafe/{real}-standins/{n}" for n in NAMES),
        *UARS | OVER,
        *(name.replace(real, f"{real}-standins") for name in UARS | OVER),
    }
    names = {str(stem.relative_to(tmp_path / "out")): stem for stem in seen}
    assert {*names} == expected
    for name, stem in names.items():
        title = " ".join(seen[stem]._suptitle.get_text().split())
        assert ("synthetic stand-ins" in title) == ("standins" in name)
    assert len(seen[names["uar-whisper-target_all"]].get_axes()) == 2


def test_runs_that_may_not_be_compared_are_refused(runs, tmp_path):
    found = runs(["proposed"], seeds=(1, 2))["proposed"]
    found[1]["protocol_sha256"] = "other"
    with pytest.raises(UserError, match="different plans"):
        figures.draw_all(found, tmp_path)


def test_settings_of_one_name_are_refused(runs, tmp_path):
    (run,) = runs(["proposed"])["proposed"]
    other = {**run, "setting": {**run["setting"], "non_target": ["urdu"]}}
    with pytest.raises(UserError, match="two settings are called ravdess_to_emodb"):
        figures.draw_all([run, other], tmp_path)


def test_figure_that_cannot_be_written(runs, tmp_path):
    (tmp_path / "file").touch()
    figure = figures.draw_confusions(runs(["proposed"]), "title")
    with pytest.raises(UserError, match="cannot write"):
        save(figure, tmp_path / "file/a")


# --- Systems and labels of one's own


def as_six(run: dict) -> dict:
    """A run's record, of two emotions more that nobody spoke or predicted."""
    labels = [*EMOTIONS, "fear", "disgust"]
    run = {**run, "labels": labels, "label_set": "six"}
    for part in ("target_test", "target_all"):
        confusion = np.zeros((6, 6), int)
        confusion[:4, :4] = run[part]["confusion"]
        run[part] = {**run[part], "labels": labels, "confusion": confusion.tolist()}
    return run


def titles_of(figure) -> list[str]:
    """Of panels, ticks and entries of legends: where systems may be named."""
    axes = figure.get_axes()
    texts = [a.get_title() for a in axes]
    texts += [tick.get_text() for a in axes for tick in a.get_yticklabels()]
    texts += [
        text.get_text() for legend in figure.legends for text in legend.get_texts()
    ]
    return [text.split("\n")[0] for text in texts]


@pytest.mark.filterwarnings("error")
def test_a_system_that_nobody_knows_is_in_every_figure(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "project", lambda v, method: v[:, :2])
    drawn = {}
    monkeypatch.setattr(
        figures, "save", lambda f, stem: drawn.setdefault(stem.name, f) and [stem]
    )
    own = {"trains_on": "all", "objectives": ["emotion", "spread"]}
    systems = runs(["proposed", "mine"], **own)
    figures.draw_all(find_runs(tmp_path / "runs"), tmp_path / "out")
    assert {*drawn} == NAMES | UARS | OVER | {"differences-whisper"}
    for name, figure in drawn.items():
        assert "Mine" in titles_of(figure), name
        assert_readable(figure)
    assert len(systems["mine"]) == 1


def test_a_system_that_was_trained_on_the_target_is_hollow_whatever_its_name(runs):
    systems = runs(["mine"], zero_shot=False, target_all=None)
    figure = figures.draw_projection(systems, "title")
    assert figure.get_axes()[0].get_title() == "Mine\n(trained on the target)"
    assert figures.draw_probes(probe_rows(systems["mine"]), "title") is None


def test_each_loss_has_axes_of_its_own(runs):
    systems = runs(["mine", "proposed"])
    path = systems["mine"][0]["folder"] / "train_log.txt"
    others = "".join(f", train loss{i}: {i}.0" for i in range(7))
    path.write_text(path.read_text().replace(", train ce", f"{others}, train ce"))
    figure = figures.draw_curves(systems, "title")
    axes = np.array(figure.get_axes()).reshape(-1, 2)
    titles = [axis.get_ylabel() for axis in axes[:, 0]]
    assert titles[:-2] == [
        f"{n}\nloss" for n in ("emotion", *(f"loss{i}" for i in range(7)))
    ]
    for i, row in enumerate(axes[1:-2]):
        shown = [{name.removesuffix(", seed") for name in _points(a)} for a in row]
        assert shown == [{f"train loss{i}"}, set()]
        assert [text.get_text() for text in row[1].texts] == ["not used"]
    assert {*_points(axes[0, 0])} >= {"train ce", "valid loss"}
    assert_readable(figure)


# --- Colours


def seen(colours: list[str], matrix: np.ndarray) -> np.ndarray:
    """CIELAB of colours as someone sees them; the matrix is of linear RGB."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [
        [0.4125, 0.3576, 0.1804],
        [0.2127, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9503],
    ]
    xyz = (linear @ matrix.T).clip(0, 1) @ np.transpose(to_xyz) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.transpose([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Of nobody, protanopia and deuteranopia: Machado, Oliveira & Fernandes 2009.
EYES = np.reshape(
    [
        *(1, 0, 0, 0, 1, 0, 0, 0, 1),
        *(0.1523, 1.0526, -0.2049, 0.1145, 0.7863, 0.0992, -0.0039, -0.0481, 1.0520),
        *(0.3673, 0.8606, -0.2280, 0.2801, 0.6725, 0.0475, -0.0118, 0.0429, 0.9689),
    ],
    (3, 3, 3),
)


@pytest.mark.parametrize("eyes", EYES, ids=["usual", "protanopia", "deuteranopia"])
def test_colours_mean_one_thing_to_everyone(eyes):
    emotions = palette.label_colours(EMOTIONS)
    languages = [colour for colour, _ in palette.LANGUAGES[:4]]
    systems = palette.SYSTEMS[:4]
    for colours in (emotions, languages, systems):
        lab = seen(colours, eyes)
        for one, other in combinations(lab, 2):
            assert np.linalg.norm(one - other) > 12
    lab = seen(emotions, eyes)
    for colour in seen(languages + systems, eyes):
        assert np.linalg.norm(lab - colour, axis=1).min() > 12


def test_no_colour_is_in_two_sets():
    sets = [
        [colour for colour, _ in palette.EMOTIONS.values()],
        [colour for colour, _ in palette.LABELS],
        [colour for colour, _ in [*palette.LANGUAGES, palette.TARGET]],
        palette.SYSTEMS,
        [palette.DARK, palette.BAR, palette.PALE, palette.REFERENCE],
    ]
    colours = [colour for own in sets for colour in own]
    assert len({*colours}) == len(colours)


def test_a_language_keeps_its_colour_in_all_settings():
    first = palette.language_styles(["en", "am", "ur"], "de")
    second = palette.language_styles(["ur", "pl", "en", "it"], "zh")
    assert first["en"] == second["en"] and first["ur"] == second["ur"]
    assert len({*second.values()}) == 5
    many = palette.language_styles([*"abcdefgh"], "de")
    assert len(many) == 9


# --- Many settings in one picture


def test_overview_shows_points_and_differences_as_they_are():
    rows = {"x_to_a": "A (German)", MEAN: "mean of 2"}
    points = [
        Point("x_to_a", "baseline2", 50.0, 45.0, 55.0),
        Point("x_to_a", "mine", 60.0, None, None),
        Point(MEAN, "baseline2", 52.0, 50.0, 54.0),
        Point(MEAN, "mine", 58.0, 55.0, 61.0),
    ]
    figure = overview.draw_overview(points, rows, 25.0, "title")
    (axes,) = figure.get_axes()
    assert [t.get_text() for t in axes.get_yticklabels()] == [*rows.values()]
    drawn = {
        name: [x.get_xdata()[0] for x in axes.get_lines() if x.get_label() == name]
        for name in ("baseline2", "mine")
    }
    assert drawn == {"baseline2": [50, 52], "mine": [60, 58]}
    bars = [[*x.get_xdata()] for x in axes.get_lines() if x.get_label() == "interval"]
    assert bars == [[45, 55], [50, 54], [55, 61]]
    heights = [x.get_ydata()[0] for x in axes.get_lines() if x.get_label() == "mine"]
    assert heights[0] < heights[1]  # the mean is below
    assert_readable(figure)
    differences = [
        Point("x_to_a", "mine", 10.0, -1.0, 21.0), Point(MEAN, "mine", 6.0, 1.0, 11.0)
    ]  # fmt: skip
    figure = overview.draw_differences(differences, rows, "baseline2", "title")
    faces = [
        x.get_markerfacecolor()
        for a in figure.get_axes()
        for x in a.get_lines()
        if x.get_label() == "difference"
    ]
    assert faces == ["white", palette.DARK]  # one is claimed, by its interval
    assert "less that of Baseline 2" in figure._supxlabel.get_text()
    assert_readable(figure)
    assert overview.draw_overview([], rows, 25.0, "title") is None
    assert overview.draw_differences([], rows, "baseline2", "title") is None


@pytest.mark.filterwarnings("error")
def test_six_emotions(runs, monkeypatch):
    monkeypatch.setattr(projection, "project", lambda v, method: v[:, :2])
    systems = {
        name: [as_six(run) for run in own]
        for name, own in runs(["baseline2", "proposed"]).items()
    }
    (group,) = group_runs([run for own in systems.values() for run in own])
    assert group.title == (
        "RAVDESS (+ ESD Mandarin) to EMO-DB, whisper, "
        "label set six (neutral, happy, angry, sad, fear, disgust)"
    )
    confusions = figures.draw_confusions(systems, group.title)
    for axes in confusions.get_axes()[:2]:
        ticks = [text.get_text() for text in axes.get_xticklabels()]
        assert ticks == group.labels or tuple(ticks) == group.labels
        assert axes.get_images()[0].get_array().shape == (6, 6)
    projected = figures.draw_projection(systems, group.title)
    legend = [text.get_text() for text in projected.legends[0].get_texts()]
    assert tuple(legend) == group.labels
    rows = figures.uar_rows(scores([group], "target_all"))
    uars = figures.draw_uar(rows, group.title)
    # Of two labels no utterance was tested, as of four.
    assert uars.get_axes()[0].get_lines()[0].get_xdata()[0] == pytest.approx(100 / 4)
    assert "chance (25 %)" in uars._supxlabel.get_text().replace("\n", " ")
    assert "interval over speakers" in uars._supxlabel.get_text().replace("\n", " ")
    for figure in (confusions, projected, uars):
        assert_readable(figure)
