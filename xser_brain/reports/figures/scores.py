"""UAR over settings, and confusion matrices."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xser_brain.reports.figures.style import panels, styled
from xser_brain.reports.names import setting_name, system_name
from xser_brain.reports.palette import DARK, REFERENCE
from xser_brain.reports.paper import in_order
from xser_brain.reports.tables import Score


def uar_rows(scores: Sequence[Score]) -> list[dict]:
    """The rows of ``draw_uar``, from the scores of the tables.

    ``setting``, ``system``, ``zero_shot``, ``uar``, ``low``, ``high`` and ``chance`` in
    percent, ``unit`` (of the interval), ``n``; ``low`` and ``high`` are None where
    there is no interval.
    """
    return [
        {
            "setting": score.setting,
            "system": score.system,
            "zero_shot": score.zero_shot,
            "uar": score.uar,
            "low": score.uar_low,
            "high": score.uar_high,
            "chance": 100 / score.classes,
            "unit": score.unit,
            "n": score.n,
        }
        for score in scores
    ]


@styled
def draw_uar(rows: Sequence[dict], title: str) -> Figure | None:
    """Draw UAR and its interval: a panel per setting, a line per system.

    None without rows, which are those of ``uar_rows``.
    """
    if not rows:
        return None
    settings = [*dict.fromkeys(row["setting"] for row in rows)]
    systems = in_order(row["system"] for row in rows)
    chances = {row["setting"]: row["chance"] for row in rows}
    units = [*dict.fromkeys(row["unit"] for row in rows if row["low"] is not None)]
    over = f" with 95 % interval over {' or '.join(units)}" if units else ""
    text = f"UAR [%]{over}; dashed: chance ({_chances(chances)})"
    if not all(row["zero_shot"] for row in rows):
        text += "; hollow: trained on the target"
    most = 2 if len(settings) < 5 else 3
    height = 0.16 * len(systems) + 0.3
    figure, axes = panels(title, len(settings), most, height, (text, ""))
    for panel, setting in zip(axes, settings, strict=True):
        own = {row["unit"] for row in rows if row["setting"] == setting}
        over = f", over {' or '.join(own)}" if len(units) > 1 else ""
        panel.set_title(setting_name(setting) + over, loc="left")
        panel.axvline(chances[setting], color=REFERENCE, linestyle="--", linewidth=0.8)
        for row in rows:
            if row["setting"] == setting:
                _dot(panel, systems.index(row["system"]), row)
        panel.set_yticks(range(len(systems)), map(system_name, systems))
        panel.grid(axis="x", color="#DDDDDD", linewidth=0.5)
        panel.set_axisbelow(True)
    lowest = min(row["uar"] if row["low"] is None else row["low"] for row in rows)
    left = min(0.8 * min(chances.values()), lowest - 2)
    axes[0].set(xlim=(left, 101), ylim=(len(systems) - 0.4, -0.6))
    return figure


def _chances(chances: Mapping[str, float]) -> str:
    """The level that most settings have, and those of fewer classes by name."""
    usual = min(chances.values())
    others = [
        f", {setting_name(name)}: {value:.4g} %"
        for name, value in chances.items()
        if value != usual
    ]
    return f"{usual:.4g} %{''.join(others)}"


def _dot(panel: Axes, position: int, row: dict) -> None:
    if row["low"] is not None:
        panel.plot(
            [row["low"], row["high"]], [position] * 2, color=DARK, linewidth=1.1,
            marker="|", markersize=4, label="interval",
        )  # fmt: skip
    panel.plot(
        row["uar"], position, marker="o", markersize=4, color=DARK, label="uar",
        markerfacecolor=DARK if row["zero_shot"] else "white",
    )  # fmt: skip
    panel.text(
        1.01, position, f"n = {row['n']}", fontsize=6, va="center",
        transform=panel.get_yaxis_transform(),
    )  # fmt: skip


@styled
def draw_confusions(systems: Mapping[str, Sequence[dict]], title: str) -> Figure:
    """Draw each system's confusion matrix, the mean over its seeds.

    A cell shows the percentage of its true emotion and, below, the mean count; over the
    whole target, or its test part where the rest was trained on.
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
        labels = runs[0]["labels"]
        across, up = (0, 90) if len(labels) < 5 else (30, 0)
        panel.set_xticks(range(len(labels)), labels, rotation=across)
        panel.set_yticks(range(len(labels)), labels, rotation=up, va="center")
        panel.spines[:].set_visible(False)
        uar = np.mean([score["uar"] for score in scores])
        panel.set_title(f"{system_name(name)}\nUAR {uar:.1f} %, n = {scores[0]['n']}")
    figure.colorbar(image, ax=axes, label="share of the true emotion [%]", shrink=0.7)
    return figure
