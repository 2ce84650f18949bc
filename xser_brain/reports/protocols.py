"""Tables and figures of other protocols than strict zero-shot, each of its own.

Strict zero-shot has a column, or a dashed line, of its own beside them.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.outside import cell
from xser_brain.adaptation import ADAPTED, FEW_SHOT, PROTOCOLS, STRICT
from xser_brain.adaptation.few_shot import STRENGTH
from xser_brain.evaluation.curve import Curve
from xser_brain.evaluation.summary import shown_interval
from xser_brain.evaluation.transductive import HEARD, MIXED, WHOLE
from xser_brain.evaluation.unlabelled import MIXTURE
from xser_brain.reports.figures.protocols import draw_points
from xser_brain.reports.figures.style import save
from xser_brain.reports.names import setting_name, system_name
from xser_brain.reports.render import Table
from xser_brain.reports.runs import Group, find_runs, group_runs

SHOTS = "shots"
Done = tuple[Group, str, Mapping[str, Curve]]


@dataclass(frozen=True)
class View:
    """What is shown of a kind of curve.

    Arguments
    ---------
    protocol : str
        In titles and files.
    title : str
        What the points are.
    point : str
        Heading of a column, with ``{}`` for the point.
    note : str
        Below the table.
    """

    protocol: str
    title: str
    point: str
    note: str = ""


VIEWS = {
    WHOLE: View(ADAPTED, "all recordings of the target heard", "{}"),
    HEARD: View(
        f"{ADAPTED}, {PROTOCOLS['running']}",
        "utterances of the target heard before each",
        "{}",
    ),
    MIXED: View(
        f"{ADAPTED}, {PROTOCOLS['running']}",
        f"{MIXTURE} utterances heard before each, so many percent of them of one emotion",
        "{} %",
        "The emotion is neutral, or the first of the labels where that is none of them.",
    ),
    SHOTS: View(
        FEW_SHOT,
        "labelled utterances of each emotion, of speakers who are not tested",
        "{}",
        "The classifier is fitted anew from the trained one, with a penalty of strength "
        f"{STRENGTH:g} on how far it moves.",
    ),
}
INTERVALS = (
    "UAR in percent, means over seeds and draws; behind it the gain over strict "
    "zero-shot, in points, and its paired 95 % interval, over speakers (over utterances "
    "where there are too few speakers)."
)


@dataclass(frozen=True)
class Line:
    """All seeds of a system in a setting.

    Arguments
    ---------
    group : Group
        With the setting.
    system : str
        Its name.
    curve : Curve
        Of all seeds.
    points : dict of str to dict
        Its figures.
    strict : dict
        Those of strict zero-shot.
    """

    group: Group
    system: str
    curve: Curve
    points: Mapping[str, dict]
    strict: dict


def zero_shot(folders: Sequence[Path]) -> list[tuple[Group, str, Path]]:
    """Find finished zero-shot runs that may stand in one table.

    Arguments
    ---------
    folders : sequence of Path
        Searched all through.

    Returns
    -------
    list of (Group, str, Path)
        Of each run its setting, system and folder.

    Raises
    ------
    UserError
        If there are none, or they may not be compared (``group_runs``).
    """
    runs = {}
    for folder in folders:
        runs |= {run["folder"].resolve(): run for run in find_runs(folder)}
    chosen = [run for run in runs.values() if run["zero_shot"]]
    if not chosen:
        raise UserError(
            f"{next(iter(runs.values()))['folder']} was trained on its target: there is "
            "nothing to adapt"
        )
    return [
        (group, system, run["folder"])
        for group in group_runs(chosen)
        for system, own in group.systems.items()
        for run in own
    ]


def above(folders: Sequence[Path]) -> Path:
    """The folder that all of these lie in."""
    return Path(os.path.commonpath([Path(folder).resolve() for folder in folders]))


def write_adapted(done: Sequence[Done], out: Path) -> list[Path]:
    """Write ``adapted.md``, ``.csv``, and a figure of each curve.

    Arguments
    ---------
    done : sequence of (Group, str, mapping of str to Curve)
        Of each run, as ``xser_brain.evaluation.transductive.score_run`` gives it.
    out : Path
        Folder; UserError if it cannot be written to.

    Returns
    -------
    list of Path
        The files.
    """
    return _write(done, out, "adapted", (WHOLE, HEARD, MIXED), (HEARD, MIXED))


def write_fewshot(done: Sequence[Done], out: Path) -> list[Path]:
    """Write ``fewshot.md``, ``.csv``, ``.png`` and ``.pdf``; see ``write_adapted``."""
    return _write(done, out, "fewshot", (SHOTS,), (SHOTS,))


def _write(
    done: Sequence[Done],
    out: Path,
    name: str,
    shown: Sequence[str],
    drawn: Sequence[str],
) -> list[Path]:
    lines = {kind: _lines(done, kind) for kind in shown}
    lines = {
        kind: found for kind, found in lines.items() if any(x.points for x in found)
    }
    text = "\n\n".join(
        as_table(found, VIEWS[kind]).markdown() for kind, found in lines.items()
    )
    paths = [Path(out) / f"{name}.md", Path(out) / f"{name}.csv"]
    write_atomic(paths[0], (text + "\n").encode())
    write_atomic(paths[1], as_csv(lines).encode())
    for kind in drawn:
        if kind in lines:
            rows = [row for line in lines[kind] for row in _rows(line, VIEWS[kind])]
            figure = draw_points(rows, VIEWS[kind].protocol, VIEWS[kind].title)
            stem = name if len(drawn) == 1 else f"{name}-{kind.replace('_', '-')}"
            paths += save(figure, Path(out) / stem)
    return paths


def _lines(done: Sequence[Done], kind: str) -> list[Line]:
    """Seeds put together, in the order of the tables."""
    cells: dict[tuple, list[Curve]] = {}
    groups = {}
    for group, system, curves in done:
        cells.setdefault((id(group), system), []).append(curves[kind])
        groups[id(group)] = group
    found = []
    for (key, system), (first, *others) in cells.items():
        curve = first.joined(*others)
        found.append(Line(groups[key], system, curve, curve.points(), curve.without()))
    return found


def as_table(lines: Sequence[Line], view: View) -> Table:
    """A table of one protocol: a row a setting and system, a column a point.

    Arguments
    ---------
    lines : sequence of Line
        Of one kind of curve.
    view : View
        Of that kind.

    Returns
    -------
    Table
    """
    points = list(dict.fromkeys(x for line in lines for x in line.points))
    header = ["setting", "system", "seeds", STRICT]
    header += [view.point.format(x) for x in points]
    rows = [
        [
            setting_name(line.group.name),
            system_name(line.system),
            str(len(line.curve.strict)),
            f"{line.strict['uar']:.1f}",
            *(_cell(line.points.get(x)) for x in points),
        ]
        for line in lines
    ]
    settings = {line.group.name for line in lines}
    for system in dict.fromkeys(line.system for line in lines):
        own = [line for line in lines if line.system == system]
        if len(own) < 2 or len(own) < len(settings):
            continue
        row = [
            f"mean of {len(own)}",
            system_name(system),
            "",
            _mean([x.strict for x in own]),
        ]
        for x in points:
            whole = all(x in line.points for line in own)
            row.append(_mean([line.points[x] for line in own]) if whole else "")
        rows.append(row)
    notes = [INTERVALS, view.note] if view.note else [INTERVALS]
    remarks = dict.fromkeys(line.group.remarks.removeprefix(", ") for line in lines)
    notes += [f"{text[0].upper()}{text[1:]}." for text in remarks if text]
    lacking = any(x not in line.points for line in lines for x in points)
    notes += ["Empty where the target has too few utterances."] * lacking
    encoders = ", ".join(dict.fromkeys(line.group.encoder for line in lines))
    title = f"{view.protocol[0].upper()}{view.protocol[1:]}: {view.title} ({encoders})"
    return Table(title, header, rows, notes)


def _mean(figures: Sequence[Mapping]) -> str:
    return f"{np.mean([given['uar'] for given in figures]):.1f}" + (
        f", {np.mean([given['gain']['uar'] for given in figures]):+.1f}"
        if "gain" in figures[0]
        else ""
    ).replace("-", "−")


def _cell(figures: Mapping | None) -> str:
    if figures is None:
        return ""
    gain = figures["gain"]
    bounds = gain["ci95_speaker"] or gain["ci95"]
    text = f"{gain['uar']:+.1f}"
    if bounds:
        text += f" [{bounds[0]:+.1f}, {bounds[1]:+.1f}]"
    return f"{figures['uar']:.1f}, {text}".replace("-", "−")


def _rows(line: Line, view: View) -> list[dict]:
    """The rows of the CSV file, and of figures."""
    rows = []
    for x, figures in line.points.items():
        (low, high), unit = _bounds(figures)
        gain = figures["gain"]
        least, most = gain["ci95_speaker"] or gain["ci95"] or (None, None)
        rows.append(
            {
                "protocol": view.protocol,
                "setting": line.group.name,
                "encoder": line.group.encoder,
                "system": line.system,
                "seeds": len(line.curve.strict),
                "standin": line.group.standin,
                "points": view.title,
                "point": x,
                "uar": figures["uar"],
                "sd": figures["sd"],
                "low": low,
                "high": high,
                "unit": unit,
                "strict_uar": line.strict["uar"],
                "gain": gain["uar"],
                "gain_low": least,
                "gain_high": most,
                "draws": figures["draws"],
                "n": figures["n"],
                "chance": 100 / len(np.unique(line.curve.true)),
            }
        )
    return rows


def _bounds(figures: Mapping) -> tuple[Sequence[float | None], str]:
    bounds, unit = shown_interval(figures)
    return bounds or (None, None), unit


def as_csv(lines: Mapping[str, Sequence[Line]]) -> str:
    """All figures in full, a row a point.

    Arguments
    ---------
    lines : mapping of str to sequence of Line
        By kind of curve.

    Returns
    -------
    str
    """
    rows = [
        row
        for kind, own in lines.items()
        for line in own
        for row in _rows(line, VIEWS[kind])
    ]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
        writer.writerows(
            ["" if value is None else cell(value) for value in row.values()]
            for row in rows
        )
    return stream.getvalue()
