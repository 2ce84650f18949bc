"""Finished models on corpora and tables: who is ahead, how sure that is, and where."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.manifest import write_atomic
from data_prep.outside import cell, printable
from xser_brain.evaluation.intervals import FEWEST_UNITS
from xser_brain.evaluation.metrics import uar
from xser_brain.evaluation.scoring import Scored, in_common
from xser_brain.evaluation.significance import compare, signed_rank
from xser_brain.evaluation.summary import shown_interval
from xser_brain.reports.render import Table
from xser_brain.reports.runs import Outcome
from xser_brain.reports.tables import FEWER, LEVEL, Claim, claims_table, corrected

PARTS = {"test": "test part", "all": "all of it"}
BY = {"speaker": "speaker", "gender": "sex", "length": "length"}
MOST = 20  # groups that are shown
HEARD = " ¶"  # marks what a model was trained on
LEADERS_NOTE = (
    "UAR / macro-F1 in percent; in bold the best of those that were not trained on that "
    f"corpus, which{HEARD} marks: they may know its speakers and sentences, so only its "
    "test part is scored, for all models, and enters no mean."
)
CLAIMS_NOTE = (
    "Difference of UAR in points. p: paired randomisation test that exchanges two models' "
    "predictions of a whole speaker (of an utterance, where there are fewer than "
    f"{FEWEST_UNITS} speakers); over several corpora and tables, without those that one "
    "of the two was trained on, Wilcoxon's signed-rank test. Holm's correction is over "
    "all tests of single ones, and over those over several; in bold what is below 5 %. "
    "These p are about other speakers, with these models; of other seeds of a method "
    "they say nothing. effect: Cohen's d_z, to be compared among the same unit only."
)


@dataclass(frozen=True)
class Entry:
    """A model's figures on one corpus or table.

    Arguments
    ---------
    scored : Scored
        What it said.
    test, all : dict, optional
        Figures of the test part and of all of it, as in run.json; ``all`` is None where
        the model was trained on the corpus, or there are no parts.
    part : str
        Which of them is compared: ``test`` or ``all``.
    """

    scored: Scored
    test: dict
    all: dict | None
    part: str

    @property
    def shown(self) -> dict:
        """The figures that are compared."""
        return (self.all if self.part == "all" else None) or self.test

    @property
    def chosen(self) -> np.ndarray:
        """Which utterances these are of."""
        return self.scored.part(self.part)

    def broken_down(self) -> dict[str, dict]:
        """Figures of each speaker, sex and length."""
        return {name: self.scored.by(name, self.chosen) for name in BY}

    def outcome(self) -> Outcome:
        """What is compared with other models."""
        item, own = self.scored, self.chosen
        rows = [row for row, kept in zip(item.rows, own, strict=True) if kept]
        return Outcome(
            tuple(row.ID for row in rows),
            tuple(row.speaker for row in rows),
            item.true[own],
            item.predicted[own][None],
            len(item.labels),
        )


def entries(scored: Sequence[Scored]) -> list[Entry]:
    """Give models their figures.

    Arguments
    ---------
    scored : sequence of Scored
        Of each model and each corpus or table.

    Returns
    -------
    list of Entry
        In the same order.
    """
    found: dict[int, Entry] = {}
    for group in _groups(scored):
        items = in_common([scored[index] for index in group])
        heard = any(item.heard.corpus for item in items)
        for index, item in zip(group, items, strict=True):
            whole = item.part("test").all()
            test = item.figures(item.part("test"))
            every = None
            if not (whole or item.heard.corpus):
                every = item.figures(item.part("all"))
            part = "test" if heard or whole else "all"
            found[index] = Entry(item, test, every, part)
    return [found[index] for index in sorted(found)]


def _groups(scored: Sequence[Scored]) -> list[list[int]]:
    """Those that may be compared: of one material, and of the same labels."""
    groups: dict[tuple, list[int]] = {}
    for index, item in enumerate(scored):
        groups.setdefault((item.material.name, item.labels), []).append(index)
    return list(groups.values())


def comparisons(given: Sequence[Entry]) -> list[Claim]:
    """Test every two models, on each corpus or table and over them.

    Arguments
    ---------
    given : sequence of Entry
        From ``entries``.

    Returns
    -------
    list of Claim
        The first of two is the one that is ahead.
    """
    single, over = [], []
    differences: dict[tuple[str, str], list[float]] = {}
    for group in _groups([entry.scored for entry in given]):
        for place, one in enumerate(group):
            for other in group[place + 1 :]:
                pair = given[one], given[other]
                result = _compared(*pair)
                names = tuple(entry.scored.model for entry in pair)
                heard = any(entry.scored.heard.corpus for entry in pair)
                if not (heard or pair[0].shown["absent"]):
                    differences.setdefault(names, []).append(result.difference)
                single.append(_claim(names, pair[0], result))
    for names, values in differences.items():
        if len(values) > 1:
            p, effect = signed_rank(values)
            mean, n = float(np.mean(values)), len(values)
            rest = None, None, p, effect, n, "settings"
            over.append(_ahead(names, "over these", "all", mean, *rest))
    return corrected(single) + corrected(over)


def _compared(one: Entry, other: Entry):
    first, second = one.outcome(), other.outcome()
    return compare(first.true, first.predicted, second.predicted, uar, first.clusters)


def _claim(names, entry: Entry, result) -> Claim:
    return _ahead(
        names, entry.scored.material.name, entry.part, result.difference, result.low,
        result.high, result.p, result.effect, result.utterances, result.unit,
    )  # fmt: skip


def _ahead(names, where, part, difference, low, high, p, effect, n, unit) -> Claim:
    """A claim of which the difference is not below 0."""
    if difference < 0:
        names, difference = names[::-1], -difference
        low, high = (None, None) if low is None else (-high, -low)
        effect = None if effect is None else -effect
    return Claim(
        where, "", part, *names, difference, low, high, p, np.nan, effect, n, unit
    )


def tables(given: Sequence[Entry]) -> list[Table]:
    """The leaderboard, all figures with intervals, and the paired tests.

    Arguments
    ---------
    given : sequence of Entry
        From ``entries``.

    Returns
    -------
    list of Table
    """
    found = []
    labels = list(dict.fromkeys(entry.scored.labels for entry in given))
    for own in labels:
        of_labels = [entry for entry in given if entry.scored.labels == own]
        title = f" ({', '.join(own)})" if len(labels) > 1 else ""
        if len({entry.scored.model for entry in of_labels}) > 1:
            found.append(_leaders(of_labels, f"Leaderboard{title}"))
    found.append(_figures(given))
    if tested := comparisons(given):
        found.append(claims_table(tested, "Paired tests", CLAIMS_NOTE, models=True))
    return found


def _leaders(given: Sequence[Entry], title: str) -> Table:
    models = list(dict.fromkeys(entry.scored.model for entry in given))
    names = list(dict.fromkeys(entry.scored.material.name for entry in given))
    cells = {(e.scored.model, e.scored.material.name): e for e in given}
    unheard = [e for e in given if not e.scored.heard.corpus]
    best: dict[str, float] = {}
    for entry in unheard:
        name = entry.scored.material.name
        best[name] = max(entry.shown["uar"], best.get(name, 0))
    averaged = [
        name
        for name in names
        if not any(
            cells[model, name].scored.heard.corpus or cells[model, name].shown["absent"]
            for model in models
        )
    ]
    rows = []
    for model in models:
        row = [model]
        for name in names:
            entry = cells[model, name]
            figures, heard = entry.shown, entry.scored.heard.corpus
            text = f"{figures['uar']:.1f} / {figures['macro_f1']:.1f}"
            text += FEWER * bool(figures["absent"])
            if not heard and figures["uar"] == best[name]:
                text = f"**{text}**"
            row.append(text + HEARD * bool(heard))
        if len(names) > 1:
            pairs = [cells[model, name].shown for name in averaged]
            means = [np.mean([f[key] for f in pairs]) for key in ("uar", "macro_f1")]
            row.append(f"{means[0]:.1f} / {means[1]:.1f}" if pairs else "")
        rows.append(row)
    header = ["model", *names, *["mean"] * (len(names) > 1)]
    return Table(title, header, rows, [LEADERS_NOTE])


def _figures(given: Sequence[Entry]) -> Table:
    rows = []
    for entry in given:
        figures, item = entry.shown, entry.scored
        rows.append(
            [
                item.model,
                item.material.name + FEWER * bool(figures["absent"]),
                PARTS[entry.part],
                str(figures["n"]),
                str(figures["speakers"] or "not told"),
                _with_interval(figures, "uar"),
                _with_interval(figures, "macro_f1"),
                f"{figures['accuracy']:.1f}",
                f"{figures['calibration_error']:.1f}",
                str(item.heard),
            ]
        )
    header = ["model", "on", "part", "utterances", "speakers", "UAR [95 % interval]",
              "macro-F1 [95 % interval]", "accuracy", "calibration error",
              "heard in training"]  # fmt: skip
    notes = [
        "In percent. Intervals are over speakers, or over utterances where there are "
        f"fewer than {FEWEST_UNITS} speakers: of other speakers, with the model as "
        "trained. Calibration error: mean gap between confidence and accuracy, 15 bins."
    ]
    return Table("Figures", header, rows, [*notes, *_remarks(given)])


def _remarks(given: Sequence[Entry]) -> list[str]:
    """What must be known of the models and of what they are scored on; each once."""
    found = []
    for entry in given:
        item, figures = entry.scored, entry.shown
        material = item.material
        if figures["absent"]:
            classes = len(item.labels) - len(figures["absent"])
            found.append(
                f"{FEWER.strip()} {material.name}: over {classes} classes, for no "
                f"utterance is {' or '.join(figures['absent'])}; in no mean."
            )
        if others := material.others(item.labels):
            found.append(f"{material.name}: {others}.")
        if material.without_audio:
            found.append(
                f"{material.name}: {material.without_audio} utterances have no audio on "
                "disk and are left out."
            )
        if material.lacks:
            found.append(f"{material.name} is incomplete, it lacks {material.lacks}.")
        if item.failed:
            found.append(
                f"{material.name}: {len(item.failed)} recordings could not be scored and "
                "are left out."
            )
        if material.standin:
            found.append(
                f"{material.name} is synthetic: these figures say nothing about speech."
            )
        if item.heard.standin:
            found.append(f"{item.model} was trained on synthetic speech.")
        if not material.corpus:
            found.append(
                f"{material.name} is a table: whether its recordings are of a corpus of "
                "training, it does not tell."
            )
    return list(dict.fromkeys(map(printable, found)))


def _with_interval(figures: dict, metric: str) -> str:
    bounds, unit = shown_interval(figures, metric)
    text = f"{figures[metric]:.1f}"
    return (
        text if bounds is None else f"{text} [{bounds[0]:.1f}, {bounds[1]:.1f}] {unit}"
    )


def details(entry: Entry) -> list[Table]:
    """What a model takes for what, and how it does by speaker, sex and length.

    Arguments
    ---------
    entry : Entry
        From ``entries``.

    Returns
    -------
    list of Table
    """
    item, figures = entry.scored, entry.shown
    what = f"{item.model} on {item.material.name}, {PARTS[entry.part]}"
    rows = [
        [
            label,
            *map(str, counts),
            "" if (r := figures["recall"][label]) is None else f"{r:.1f}",
        ]
        for label, counts in zip(item.labels, figures["confusion"], strict=True)
    ]
    header = ["emotion", *(f"called {label}" for label in item.labels), "recall"]
    found = [Table(f"Confusion. {what}", header, rows)]
    for name, groups in entry.broken_down().items():
        if not groups:
            continue
        ranked, notes = list(groups.items()), []
        if len(groups) > MOST:
            ranked.sort(key=lambda pair: pair[1]["uar"])
            ranked = ranked[: MOST // 2] + ranked[-MOST // 2 :]
            notes = [f"The lowest and the highest {MOST // 2} of {len(groups)}."]
        rows = [
            [
                printable(group) + FEWER * bool(own["absent"]),
                str(own["n"]),
                _with_interval(own, "uar"),
                _with_interval(own, "macro_f1"),
                f"{own['accuracy']:.1f}",
                f"{own['calibration_error']:.1f}",
            ]
            for group, own in ranked
        ]
        if any(own["absent"] for _, own in ranked):
            notes.append(f"{FEWER.strip()} Over those classes only that it has.")
        header = [BY[name], "utterances", "UAR [95 % interval]",
                  "macro-F1 [95 % interval]", "accuracy", "calibration error"]  # fmt: skip
        found.append(Table(f"By {BY[name]}. {what}", header, rows, notes))
    return found


def as_json(given: Sequence[Entry]) -> dict:
    """All of it as plain data.

    Arguments
    ---------
    given : sequence of Entry
        From ``entries``.

    Returns
    -------
    dict
    """
    return {
        "schema": 1,
        "level": LEVEL,
        "scores": [
            {
                "model": entry.scored.model,
                "on": entry.scored.material.name,
                "corpus": entry.scored.material.corpus or None,
                "labels": list(entry.scored.labels),
                "heard": {
                    "corpus": entry.scored.heard.corpus,
                    "languages": list(entry.scored.heard.languages),
                    "never": list(entry.scored.heard.unheard),
                },
                "compared": entry.part,
                "test": entry.test,
                "all": entry.all,
                **{f"by_{BY[name]}": own for name, own in entry.broken_down().items()},
                "failed": entry.scored.failed,
            }
            for entry in given
        ],
        "tests": [
            {**vars(claim), "p_holm": claim.p_holm} for claim in comparisons(given)
        ],
        "remarks": _remarks(given),
    }


def as_csv(given: Sequence[Entry]) -> str:
    """The leaderboard with full precision, a row a model and corpus or table.

    Arguments
    ---------
    given : sequence of Entry
        From ``entries``.

    Returns
    -------
    str
    """
    buffer = io.StringIO()
    rows = [_flat(entry) for entry in given]
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: cell(value) for key, value in row.items()} for row in rows])
    return buffer.getvalue()


def _flat(entry: Entry) -> dict:
    item, figures = entry.scored, entry.shown
    row = {"model": item.model, "on": item.material.name, "part": entry.part}
    row["heard"] = str(item.heard)
    row |= {name: figures[name] for name in ("n", "speakers")}
    for metric in ("uar", "macro_f1"):
        bounds, unit = shown_interval(figures, metric)
        low, high = bounds or (None, None)
        row |= {metric: figures[metric], f"{metric}_low": low, f"{metric}_high": high}
    row |= {"unit": unit, "accuracy": figures["accuracy"]}
    row["calibration_error"] = figures["calibration_error"]
    row["absent"] = ", ".join(figures["absent"])
    return row


def as_markdown(given: Sequence[Entry], whole: bool = True) -> str:
    """All tables, as GitHub shows them.

    Arguments
    ---------
    given : sequence of Entry
        From ``entries``.
    whole : bool
        Whether with the details of each.

    Returns
    -------
    str
    """
    found = tables(given)
    for entry in given if whole else ():
        found += details(entry)
    return "\n\n".join(table.markdown() for table in found)


def write_all(given: Sequence[Entry], folder: Path) -> list[Path]:
    """Write ``evaluation.md``, ``evaluation.csv`` and ``evaluation.json``.

    Arguments
    ---------
    given : sequence of Entry
        From ``entries``.
    folder : Path
        Where to; it is made.

    Returns
    -------
    list of Path
    """
    data = json.dumps(as_json(given), indent=1, ensure_ascii=True, allow_nan=False)
    texts = {
        "evaluation.md": as_markdown(given) + "\n",
        "evaluation.csv": as_csv(given),
        "evaluation.json": data + "\n",
    }
    for name, text in texts.items():
        write_atomic(folder / name, text.encode("utf-8", "backslashreplace"))
    return [folder / name for name in texts]
