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
    PAGE,
    language_styles,
    new_figure,
    styled,
)
from xser_brain.reports.names import system_name
from xser_brain.reports.palette import DARK

DASHES = ["-", (0, (4, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2))]
VALID = "valid loss"  # of the emotions
# What is drawn on one pair of axes: losses of one scale.
LOSSES = {
    "emotion": ("train ce", "train emotion", VALID),  # the first of earlier versions
    "contrastive": ("train supcon",),
    "speaker": ("train speaker",),
}
SUM = "train loss"  # of all objectives, weighted
HEIGHT = 1.1  # inches of a row

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


def losses(logs: Iterable[Log]) -> dict[str, list[str]]:
    """Which logged losses go on one pair of axes: those of ``LOSSES``, others by name.

    Example
    -------
    >>> losses([{1: {"train loss": 2.0, "train spread": 1.0, "train supcon": 1.0}}])
    {'contrastive': ['train supcon'], 'spread': ['train spread']}
    """
    logged = {name for log in logs for values in log.values() for name in values}
    known = {
        title: [name for name in names if name in logged]
        for title, names in LOSSES.items()
    }
    others = logged.difference([SUM], *LOSSES.values())
    return {title: names for title, names in known.items() if names} | {
        name.removeprefix("train "): [name]
        for name in sorted(others)
        if name.startswith("train ")
    }


@styled
def draw_curves(systems: Mapping[str, Sequence[dict]], title: str) -> Figure | None:
    """Draw losses and validation UAR over steps; None if no run has a log.

    Columns are systems, rows the losses, each on a scale of its own, and UARs. A thin
    line is a seed, a thick one their mean as far as all of them have come, and a circle
    the checkpoint that was chosen.
    """
    logs: dict[str, list[tuple[dict, Log]]] = {}
    for name, runs in systems.items():
        for run in runs:
            log = read_train_log(run["folder"] / "train_log.txt")
            if len(log) > 1:  # a solver's has a single step, and no curve
                logs.setdefault(name, []).append((run, log))
    if not logs:
        return None
    found = losses(log for pairs in logs.values() for _, log in pairs)
    width = COLUMN if len(logs) == 1 else PAGE
    rows = len(found) + 2
    figure = new_figure(title, width, rows * HEIGHT + 0.9)
    axes = figure.subplots(rows, len(logs), squeeze=False, sharex=True, sharey="row")
    validated, uars = False, {}
    for column, (name, pairs) in zip(axes.T, logs.items(), strict=True):
        column[0].set_title(system_name(name))
        seeds = [log for _, log in pairs]
        *above, mean, each = column
        for panel, names in zip(above, found.values(), strict=True):
            drawn = [
                _draw(panel, seeds, x, DARK, DASHES[x == VALID], pale=x == VALID)
                for x in names
            ]
            validated |= VALID in names and drawn[-1]
            if not any(drawn):
                panel.text(
                    0.5, 0.5, "not used", ha="center", va="center", fontsize=6.5,
                    transform=panel.transAxes,
                )  # fmt: skip
        _draw(mean, seeds, "valid uar", DARK, "-")
        for run, log in pairs:
            _mark(mean, run["valid"]["step"], log)
        for index, (language, (colour, _)) in enumerate(
            language_styles(systems).items()
        ):
            dashes = DASHES[index % len(DASHES)]
            if _draw(each, seeds, f"valid uar_{language}", colour, dashes):
                uars[language] = Line2D([], [], color=colour, linestyle=dashes)
        each.set_xlabel("step")
        each.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    titles = [f"{name}\nloss" for name in found]
    titles += ["mean valid\nUAR [%]", "valid UAR [%]\nby language"]
    for axis, text in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(text)
    figure.align_ylabels(axes[:, 0])
    kinds = {"training": Line2D([], [], color=DARK)} if validated else {}
    if validated:
        kinds["validation"] = Line2D([], [], color=DARK, linestyle=DASHES[1], alpha=0.6)
    kinds["chosen"] = Line2D(
        [], [], linestyle="", marker="o", markersize=4, color="white",
        markeredgecolor="black",
    )  # fmt: skip
    for side, entries in (("left", kinds), ("right", uars)):
        if entries:
            figure.legend(
                [*entries.values()],
                [*entries],
                loc=f"outside lower {side}",
                ncols=len(entries) if width == PAGE else 2,
                columnspacing=1.1,
                handletextpad=0.5,
                alignment="left",
            )
    return figure


def _draw(
    axes: Axes, logs: Sequence[Log], name: str, colour: str, dashes, pale: bool = False
) -> bool:
    """Thin lines for seeds and a thick one for their mean; whether there are any."""
    seeds, mean = curves(logs, name)
    for seed in seeds:
        axes.plot(
            *seed, color=colour, linewidth=0.5, alpha=0.5, label=f"{name}, seed",
        )  # fmt: skip
    if seeds:
        axes.plot(
            *mean, color=colour, linestyle=dashes, label=name, alpha=0.6 if pale else 1
        )
    return bool(seeds)


def _mark(axes: Axes, step: int, log: Log) -> None:
    """A circle at the checkpoint that was chosen."""
    if "valid uar" in log.get(step, ()):
        axes.plot(
            step, log[step]["valid uar"], marker="o", markersize=4, color="white",
            markeredgecolor="black", label="chosen", zorder=3,
        )  # fmt: skip
