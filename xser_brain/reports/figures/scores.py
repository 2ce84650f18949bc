"""UAR over settings, and confusion matrices."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_prep.manifest import EMOTIONS
from xser_brain.protocol import SYSTEMS
from xser_brain.reports.figures.style import DARK, REFERENCE, label, panels, styled
from xser_brain.reports.tables import Score

CHANCE = 100 / len(EMOTIONS)


def uar_rows(scores: Sequence[Score]) -> list[dict]:
    """What ``draw_uar`` takes, from the scores of the tables.

    Arguments
    ---------
    scores : sequence of Score
        From ``xser_brain.reports.tables.scores``.

    Returns
    -------
    list of dict
        ``setting``, ``system``, ``uar``, ``low``, ``high`` in percent, ``n``.
    """
    return [
        {
            "setting": score.setting,
            "system": score.system,
            "uar": score.uar,
            "low": score.uar_low,
            "high": score.uar_high,
            "n": score.n,
        }
        for score in scores
    ]


@styled
def draw_uar(rows: Sequence[dict], title: str) -> Figure | None:
    """Draw UAR and its interval: a panel a setting, a line a system.

    Arguments
    ---------
    rows : sequence of dict
        ``setting``, ``system``, ``uar``, ``low``, ``high`` (None for no interval) and
        ``n``.
    title : str
        Above the figure.

    Returns
    -------
    Figure or None
        None without rows.
    """
    if not rows:
        return None
    settings = [*dict.fromkeys(row["setting"] for row in rows)]
    systems = [name for name in SYSTEMS if name in {row["system"] for row in rows}]
    intervals = any(row["low"] is not None for row in rows)
    text = f"UAR [%]{' with 95 % interval' if intervals else ''}"
    text += f"; dashed: chance ({CHANCE:g} %)"
    if any(not SYSTEMS[name].zero_shot for name in systems):
        text += "; hollow: heard the target"
    most = 2 if len(settings) < 5 else 3
    height = 0.16 * len(systems) + 0.3
    figure, axes = panels(title, len(settings), most, height, (text, ""))
    for panel, setting in zip(axes, settings, strict=True):
        panel.set_title(setting, loc="left")
        panel.axvline(CHANCE, color=REFERENCE, linestyle="--", linewidth=0.8)
        for row in rows:
            if row["setting"] == setting:
                _dot(panel, systems.index(row["system"]), row)
        panel.set_yticks(range(len(systems)), map(label, systems))
        panel.grid(axis="x", color="#DDDDDD", linewidth=0.5)
        panel.set_axisbelow(True)
    lowest = min(row["uar"] if row["low"] is None else row["low"] for row in rows)
    axes[0].set(xlim=(min(20, lowest - 2), 101), ylim=(len(systems) - 0.4, -0.6))
    return figure


def _dot(panel: Axes, position: int, row: dict) -> None:
    if row["low"] is not None:
        panel.plot(
            [row["low"], row["high"]], [position] * 2, color=DARK, linewidth=1.1,
            marker="|", markersize=4, label="interval",
        )  # fmt: skip
    panel.plot(
        row["uar"], position, marker="o", markersize=4, color=DARK, label="uar",
        markerfacecolor=DARK if SYSTEMS[row["system"]].zero_shot else "white",
    )  # fmt: skip
    panel.text(
        1.01, position, f"n = {row['n']}", fontsize=6, va="center",
        transform=panel.get_yaxis_transform(),
    )  # fmt: skip


@styled
def draw_confusions(systems: Mapping[str, Sequence[dict]], title: str) -> Figure:
    """Draw each system's confusion matrix, the mean over its seeds.

    A cell shows the percentage of its true emotion and, below, the mean count; over the
    whole target, or its test part where the rest was heard in training.

    Arguments
    ---------
    systems : mapping
        System to its runs, one a seed.
    title : str
        Above the figure.

    Returns
    -------
    Figure
    """
    figure, axes = panels(title, len(systems), 3, 2.25, ("predicted", "true"))
    for panel, (name, runs) in zip(axes, systems.items(), strict=True):
        scores = [run["target_all"] or run["target_test"] for run in runs]
        mean = np.mean([score["confusion"] for score in scores], axis=0)
        totals = mean.sum(1, keepdims=True)
        percent = np.zeros(mean.shape)
        np.divide(100 * mean, totals, out=percent, where=totals > 0)
        image = panel.imshow(percent, cmap="cividis", vmin=0, vmax=100)
        for (true, predicted), value in np.ndenumerate(percent):
            count = f"{mean[true, predicted]:.1f}".removesuffix(".0")
            panel.text(
                predicted, true, f"{value:.0f} %\n{count}", ha="center", va="center",
                fontsize=6.5, color="black" if value > 50 else "white",
            )  # fmt: skip
        panel.set_xticks(range(len(EMOTIONS)), EMOTIONS)
        panel.set_yticks(range(len(EMOTIONS)), EMOTIONS, rotation=90, va="center")
        panel.spines[:].set_visible(False)
        uar = np.mean([score["uar"] for score in scores])
        panel.set_title(f"{label(name)}\nUAR {uar:.1f} %, n = {scores[0]['n']}")
    figure.colorbar(image, ax=axes, label="share of the true emotion [%]", shrink=0.7)
    return figure
