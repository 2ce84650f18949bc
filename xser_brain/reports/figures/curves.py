"""Learning curves, from SpeechBrain's train_log.txt."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from data_prep.outside import read_bytes
from xser_brain.artefacts import find_file
from xser_brain.reports.figures.style import (
    COLUMN,
    DARK,
    PAGE,
    label,
    language_styles,
    new_figure,
    styled,
)

DASHES = ["-", (0, (4, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2))]
# Statistic of the log: its label and colour.
LOSSES = {
    "train ce": ("emotion", "#0B2A5B"),  # of earlier versions
    "train emotion": ("emotion", "#0B2A5B"),
    "train supcon": ("contrastive", "#E69F00"),
    "train speaker": ("speaker", "#A0285F"),
    "valid loss": ("emotion, validation", "#8FBCE6"),
}
# Of other objectives; of more than these the first come again, with other dashes.
COLOURS = ["#3C7A3B", "#6B3FA0", "#7A4B21", "#17807E", "#D3234D", "#4D4D4D"]
SUM = "train loss"  # of all objectives, weighted
ENTRIES = 9  # of both legends, side by side on a page

Log = dict[int, dict[str, float]]
Line = tuple[list[int], list[float]]


def read_train_log(path: Path) -> Log:
    """Read what was logged at each validation, from SpeechBrain's train_log.txt.

    Step to statistics by name (``train ce``, ``valid uar_en``, ...); of a step that a
    resumed run did again, the later ones. Empty if there is no log.
    """
    if not path.is_file():
        return {}
    log = {}
    data = read_bytes(find_file(path.parent, path.name), "the log of a run")
    for line in data.decode("utf-8", "replace").splitlines():
        found = re.findall(r"(\w[\w ]*): ([^\s,]+)", line)
        try:
            values = {name: float(number) for name, number in found}
        except ValueError:
            continue  # a killed run leaves half a line
        if math.isfinite(values.get("step", math.nan)):
            log[int(values.pop("step"))] = values
    return log


def curves(logs: Sequence[Log], name: str) -> tuple[list[Line], Line]:
    """One statistic over steps: the lines of the seeds that have it, and their mean.

    A line is (steps, values); the mean is over the steps that all of the seeds have
    done, since they stop at different ones.

    Example
    -------
    >>> logs = [{1: {"a": 2.0}, 2: {"a": 1.0}}, {1: {"a": 4.0}}]
    >>> curves(logs, "a")[1]
    ([1], [3.0])
    """
    seeds = [
        {step: log[step][name] for step in sorted(log) if name in log[step]}
        for log in logs
    ]
    seeds = [seed for seed in seeds if seed]
    common = sorted(set.intersection(*map(set, seeds))) if seeds else []
    mean = [float(np.mean([seed[step] for seed in seeds])) for step in common]
    return [([*seed], [*seed.values()]) for seed in seeds], (common, mean)


def losses(logs: Iterable[Log]) -> dict[str, tuple[str, str]]:
    """Label and colour of each logged loss: those of ``LOSSES``, then others by name.

    Example
    -------
    >>> losses([{1: {"train loss": 2.0, "train spread": 1.0, "train supcon": 1.0}}])
    {'train supcon': ('contrastive', '#E69F00'), 'train spread': ('spread', '#3C7A3B')}
    """
    logged = {name for log in logs for values in log.values() for name in values}
    others = sorted(
        name for name in logged - {SUM, *LOSSES} if name.startswith("train ")
    )
    return {name: style for name, style in LOSSES.items() if name in logged} | {
        name: (name.removeprefix("train "), COLOURS[index % len(COLOURS)])
        for index, name in enumerate(others)
    }


@styled
def draw_curves(systems: Mapping[str, Sequence[dict]], title: str) -> Figure | None:
    """Draw losses and validation UAR over steps; None if no run has a log.

    Columns are systems. A thin line is a seed, a thick one their mean as far as all of
    them have come, and a circle the checkpoint that was chosen.
    """
    logs: dict[str, list[tuple[dict, Log]]] = {}
    for name, runs in systems.items():
        for run in runs:
            log = read_train_log(run["folder"] / "train_log.txt")
            if log:
                logs.setdefault(name, []).append((run, log))
    if not logs:
        return None
    languages = language_styles(systems)
    width = COLUMN if len(logs) == 1 else PAGE
    figure = new_figure(title, width, 5.0)
    axes = figure.subplots(3, len(logs), squeeze=False, sharex=True, sharey="row")
    styles = losses(log for pairs in logs.values() for _, log in pairs)
    shown, uars = {}, {}
    for column, (name, pairs) in zip(axes.T, logs.items(), strict=True):
        column[0].set_title(label(name))
        seeds = [log for _, log in pairs]
        for index, (statistic, (text, colour)) in enumerate(styles.items()):
            dashes = DASHES[index % len(DASHES)]
            if _draw(column[0], seeds, statistic, colour, dashes):
                shown[text] = Line2D([], [], color=colour, linestyle=dashes)
        _draw(column[1], seeds, "valid uar", DARK, "-")
        for run, log in pairs:
            _mark(column[1], run["valid"]["step"], log)
        for index, (language, (colour, _)) in enumerate(languages.items()):
            dashes = DASHES[index % len(DASHES)]
            if _draw(column[2], seeds, f"valid uar_{language}", colour, dashes):
                uars[language] = Line2D([], [], color=colour, linestyle=dashes)
        column[2].set_xlabel("step")
        column[2].xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    for axis, text in zip(
        axes[:, 0],
        (
            "loss",
            "validation UAR [%],\nmean of languages",
            "validation UAR [%],\neach language",
        ),
        strict=True,
    ):
        axis.set_ylabel(text)
    uars = {name: uars[name] for name in languages if name in uars}
    uars["chosen"] = Line2D(
        [], [], color="white", marker="o", markersize=4, markeredgecolor="black"
    )
    shown = {n: shown[n] for n, _ in styles.values() if n in shown}
    lines = -(-(len(shown) + len(uars)) // ENTRIES)
    for side, text, entries in (
        ("left", "loss", shown),
        ("right", "validation UAR", uars),
    ):
        figure.legend(
            [*entries.values()],
            [*entries],
            loc=f"outside lower {side}",
            title=text,
            ncols=1 if width == COLUMN else -(-len(entries) // lines),
            columnspacing=1.1,
            handletextpad=0.5,
            alignment="left",
        )
    return figure


def _draw(axes: Axes, logs: Sequence[Log], name: str, colour: str, dashes) -> bool:
    """Thin lines for seeds and a thick one for their mean; whether there are any."""
    seeds, mean = curves(logs, name)
    for seed in seeds:
        axes.plot(*seed, color=colour, linewidth=0.5, alpha=0.6, label=f"{name}, seed")
    if seeds:
        axes.plot(*mean, color=colour, linestyle=dashes, label=name)
    return bool(seeds)


def _mark(axes: Axes, step: int, log: Log) -> None:
    """A circle at the checkpoint that was chosen."""
    if "valid uar" in log.get(step, ()):
        axes.plot(
            step, log[step]["valid uar"], marker="o", markersize=4, color="white",
            markeredgecolor="black", label="chosen", zorder=3,
        )  # fmt: skip
