"""What probes read from embeddings, and which layers of the encoder are used."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from xser_brain.reports.figures.style import panels, styled
from xser_brain.reports.names import system_name
from xser_brain.reports.palette import BAR, DARK, REFERENCE
from xser_brain.reports.paper import in_order

THICK = 0.72  # of a bar, of the room for one


@styled
def draw_probes(rows: Sequence[dict], title: str) -> Figure | None:
    """Draw what linear probes read: a panel per probe, a bar per system.

    Bars are means over seeds, dots are seeds, and a line across a bar is chance. Only
    zero-shot systems are shown: the others are trained on another language. None
    without rows.
    """
    cells: dict[tuple[str, str], dict[str, list[dict]]] = {}
    for row in rows:
        if row["zero_shot"]:
            panel = cells.setdefault((row["probe"], row["within"] or ""), {})
            panel.setdefault(row["system"], []).append(row)
    if not cells:
        return None
    systems = in_order(system for panel in cells.values() for system in panel)
    text = "balanced accuracy of a linear probe [%]; dots: seeds; line: chance"
    most = 4 if len(cells) < 5 else 3
    height = 0.16 * len(systems) + 0.3
    figure, axes = panels(title, len(cells), most, height, (text, ""))
    for panel, ((name, within), found) in zip(axes, sorted(cells.items()), strict=True):
        panel.set_title(f"{name}, {within}" if within else name, loc="left")
        for position, system in enumerate(systems):
            if system not in found:
                panel.text(2, position, "no probe", fontsize=6, va="center")
                continue
            values = np.array([row["accuracy"] for row in found[system]])
            chance = np.mean([row["chance"] for row in found[system]])
            ends = position - THICK / 2, position + THICK / 2
            panel.barh(position, values.mean(), THICK, color=BAR)
            panel.vlines(chance, *ends, color=REFERENCE, linewidth=1.6)
            heights = np.linspace(*ends, len(values) + 2)[1:-1]
            panel.plot(
                values, heights, linestyle="", marker="o", markersize=2, color=DARK,
                label=system,
            )  # fmt: skip
        panel.set_yticks(range(len(systems)), map(system_name, systems))
    axes[0].set(xlim=(0, 102), ylim=(len(systems) - 0.4, -0.6))
    return figure


@styled
def draw_layer_weights(
    systems: Mapping[str, Sequence[dict]], title: str
) -> Figure | None:
    """Draw the weight of each encoder layer: the mean over seeds, and their range.

    None if no run weighs layers.
    """
    weights = {
        name: np.array([r["layer_weights"] for r in runs if r.get("layer_weights")])
        for name, runs in systems.items()
    }
    weights = {name: values for name, values in weights.items() if len(values)}
    if not weights:
        return None
    text = "layer of the encoder (0: input of the first); dashed: all equal"
    figure, axes = panels(title, len(weights), 3, 1.2, (text, "weight"))
    for panel, (name, values) in zip(axes, weights.items(), strict=True):
        mean, layers = values.mean(0), np.arange(values.shape[1])
        panel.bar(layers, mean, THICK, color=BAR)
        if len(values) > 1:
            panel.errorbar(
                layers, mean, [mean - values.min(0), values.max(0) - mean],
                linestyle="", color=DARK, linewidth=0.9, capsize=1.5,
            )  # fmt: skip
        panel.axhline(1 / len(layers), color=REFERENCE, linestyle="--", linewidth=0.8)
        panel.set_title(system_name(name))
        panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return figure
