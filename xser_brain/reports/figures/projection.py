"""Utterance embeddings in two dimensions: the paper's Figure 2."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from data_prep.errors import UserError
from xser_brain.evaluation import embeddings
from xser_brain.reports.figures.style import (
    COLUMN,
    PAGE,
    language_styles,
    new_figure,
    styled,
)
from xser_brain.reports.names import system_name
from xser_brain.reports.palette import label_styles
from xser_brain.reports.probes import balanced_sample

METHODS = ("tsne", "umap")
MOST = 1000
FEWEST = 10  # utterances; fewer show nothing


def check_method(method: str) -> None:
    """Refuse a projection other than ``tsne`` and ``umap``, or without its package."""
    if method not in METHODS:
        raise UserError(f"unknown method {method!r}: use {' or '.join(METHODS)}")
    if method == "umap":
        try:
            import umap  # noqa: F401
        except ImportError as error:
            raise UserError(
                "UMAP is not installed: pip install umap-learn, or use tsne"
            ) from error


def project(vectors: np.ndarray, method: str = "tsne") -> np.ndarray:
    """Project embeddings to the plane by their directions, which SupCon compares.

    t-SNE: van der Maaten & Hinton 2008; UMAP: McInnes et al. 2018. Takes ``FEWEST``
    utterances or more.

    Example
    -------
    >>> project(np.random.default_rng(0).normal(size=(12, 4))).shape
    (12, 2)
    """
    check_method(method)
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.maximum(lengths, 1e-12)
    n = len(vectors)
    if method == "umap":
        from umap import UMAP

        reducer = UMAP(n_neighbors=min(15, n - 1), random_state=0, n_jobs=1)
        return np.asarray(reducer.fit_transform(vectors))
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    reducer = TSNE(perplexity=min(30, (n - 1) / 3), init="pca", random_state=0)
    with threadpool_limits(1):  # sums in one order, or the picture would change
        return reducer.fit_transform(vectors)


def common_sample(
    runs: Sequence[Mapping[str, np.ndarray]], most: int = MOST
) -> list[str]:
    """IDs of utterances for all systems, balanced over languages and emotions, sorted.

    They are validation and target utterances of any system; ``runs`` holds one run of
    each.
    """
    cells = {}
    for arrays in runs:
        shown = np.isin(arrays["part"], ["valid", "target"])
        columns = (arrays[name][shown] for name in ("ids", "language", "emotion"))
        for row_id, language, emotion in zip(*columns, strict=True):
            cells[str(row_id)] = str(language), str(emotion)
    ids = sorted(cells)
    return [ids[i] for i in balanced_sample([cells[name] for name in ids], most)]


@styled
def draw_projection(
    systems: Mapping[str, Sequence[dict]], title: str, method: str = "tsne"
) -> Figure | None:
    """Draw what each system makes of the same utterances; None without embeddings.

    Columns are systems, each with the run of its first seed; the upper row shows
    emotions, the lower one languages. Utterances come from validation parts and the
    target, so a zero-shot system has not learned from any. A system shows those that it
    has embedded: one trained on the source alone has no other training language.
    """
    loaded = {}
    for name, runs in systems.items():
        for run in sorted(runs, key=lambda run: run["seed"]):
            arrays = embeddings.load(run["folder"])
            if arrays is not None:
                loaded[name] = arrays
                break
    sample = common_sample([*loaded.values()])
    shown = {}
    for name, arrays in loaded.items():
        ids, index = np.unique(arrays["ids"], return_index=True)
        index = index[np.isin(ids, sample)]
        if len(index) >= FEWEST:
            plane = project(arrays["embeddings"][index], method)
            shown[name] = plane, arrays["emotion"][index], arrays["language"][index]
    if not shown:
        return None
    width = COLUMN if len(shown) < 3 else PAGE
    side = min(2.1, (width - 0.25) / len(shown))
    figure = new_figure(title, width, 2 * side + 0.9)
    axes = figure.subplots(2, len(shown), squeeze=False)
    languages = language_styles(systems)
    labels = label_styles(next(iter(systems.values()))[0]["labels"])
    for column, (name, (plane, emotion, language)) in zip(
        axes.T, shown.items(), strict=True
    ):
        bound = "" if systems[name][0]["zero_shot"] else "\n(trained on the target)"
        column[0].set_title(system_name(name) + bound)
        _scatter(column[0], plane, emotion, labels)
        # The target, which has most, below the others.
        _scatter(column[1], plane, language, dict(reversed(languages.items())))
    target = [*languages][-1]
    languages[f"{target} (target)"] = languages.pop(target)
    for row, place, text, styles in (
        (0, "left", "emotion", labels),
        (1, "right", "language", languages),
    ):
        axes[row, 0].set_ylabel(text)
        figure.legend(
            handles=[
                Line2D([], [], label=name, linestyle="", **_marker(style, 4.5))
                for name, style in styles.items()
            ],
            loc=f"outside lower {place}",
            title=text,
            ncols=2 if width == COLUMN else len(styles),
            handletextpad=0.1,
            columnspacing=0.9,
            alignment="left",
        )
    return figure


def _scatter(
    axes: Axes,
    plane: np.ndarray,
    values: np.ndarray,
    styles: Mapping[str, tuple[str, str]],
) -> None:
    for name, style in styles.items():
        own = plane[values == name]
        axes.plot(*own.T, linestyle="", label=name, **_marker(style, 2.4))
    axes.set(xticks=[], yticks=[], box_aspect=1)
    axes.spines[:].set(visible=True, color="#999999")


def _marker(style: tuple[str, str], size: float) -> dict:
    colour, marker = style
    return {
        "color": colour,
        "marker": marker,
        "markersize": size,
        "markeredgecolor": "black",
        "markeredgewidth": 0.2,
    }
