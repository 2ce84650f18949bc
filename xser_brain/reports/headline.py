"""What a folder of results comes to: one sentence and one picture, before all tables.

A system is said to be better only where the paired interval of the difference excludes 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.errors import UserError
from xser_brain.models.card import language_name
from xser_brain.reports import points
from xser_brain.reports.names import system_name
from xser_brain.reports.points import MEAN, Point
from xser_brain.reports.runs import SUBSETS, Group
from xser_brain.reports.tables import REFERENCE, Report


@dataclass(frozen=True)
class Comparison:
    """Settings of one encoder, and what all their systems make of them.

    Arguments
    ---------
    groups : list of Group
        The settings, without those of which an emotion was not tested.
    subset : str
        ``target_all``, or ``target_test`` where no system was tested on the rest.
    rows : dict of str to str
        What settings and the mean are called.
    uars : list of Point
        UAR of each system, see ``xser_brain.reports.points``.
    reference : str
        The system to compare with: that which was asked for, else the first.
    differences : list of Point
        Of all others to it.
    """

    groups: list[Group]
    subset: str
    rows: dict[str, str]
    uars: list[Point]
    reference: str
    differences: list[Point]

    @property
    def what(self) -> str:
        """Encoder, part of the target, labels and stand-ins: the title of a figure."""
        first = self.groups[0]
        return f"{first.encoder}, {SUBSETS[self.subset]}{first.kind}"

    def of(self, found: Sequence[Point], system: str) -> Point | None:
        """A system's figure over the mean, or of the only setting."""
        place = MEAN if MEAN in self.rows else self.groups[0].name
        own = (p for p in found if (p.setting, p.system) == (place, system))
        return next(own, None)


def comparisons(report: Report, reference: str | None = None) -> list[Comparison]:
    """Compare what may be compared: of each encoder the settings that are there.

    Arguments
    ---------
    report : Report
        From ``xser_brain.reports.tables.gather``.
    reference : str, optional
        The system to compare with; by default ``baseline2``, and where there is none
        the first in the order of the tables.

    Returns
    -------
    list of Comparison
        That of most settings first; then real speech before stand-ins, then by the
        best mean.

    Raises
    ------
    UserError
        If no encoder's settings all have the reference that was asked for.
    """
    found = []
    for key in dict.fromkeys((group.encoder, group.standin) for group in report.groups):
        own = [g for g in report.groups if (g.encoder, g.standin) == key]
        for subset in reversed(SUBSETS):
            scores = [
                score
                for score in report.scores
                if (score.encoder, score.standin, score.subset) == (*key, subset)
                and not score.absent
            ]
            groups = [g for g in own if g.name in {score.setting for score in scores}]
            systems = points.systems_of(groups, subset)
            if not systems:
                continue
            chosen = next(
                (name for name in (reference, REFERENCE) if name in systems), systems[0]
            )
            found.append(
                Comparison(
                    groups,
                    subset,
                    points.rows_of(groups),
                    points.uars(groups, scores, subset),
                    chosen,
                    points.differences(groups, subset, chosen),
                )
            )
            break
    known = {point.system: None for item in found for point in item.uars}
    if reference and reference not in known:
        raise UserError(
            f"no zero-shot system {reference} that all settings have: compare with "
            f"{' or '.join(known) or 'none'}"
        )
    best = {id(c): max(p.value for p in c.uars) for c in found}
    return sorted(
        found, key=lambda c: (-len(c.groups), c.groups[0].standin, -best[id(c)])
    )


def sentence(compared: Comparison) -> str:
    """What is best, on which languages, and how sure that is.

    Arguments
    ---------
    compared : Comparison
        From ``comparisons``.

    Returns
    -------
    str
        One sentence.
    """
    systems = dict.fromkeys(point.system for point in compared.uars)
    figures = {name: compared.of(compared.uars, name) for name in systems}
    best = max(systems, key=lambda name: figures[name].value)
    spoken = (g.runs[0]["setting"]["languages"]["target"] for g in compared.groups)
    languages = sorted(map(language_name, {*spoken}))
    over = (
        "" if len(compared.groups) < 2 else f", mean of {len(compared.groups)} settings"
    )
    top = figures[best]
    chance = 100 / len(compared.groups[0].labels)
    interval = (
        "" if top.low is None else f"; 95 % interval {top.low:.1f} to {top.high:.1f}"
    )
    on = "On synthetic stand-ins of" if compared.groups[0].standin else "On"
    text = (
        f"{on} {_listed(languages)}, unheard in training, {system_name(best)} with "
        f"{compared.groups[0].encoder} reaches {top.value:.1f} % (UAR{over}{interval}; "
        f"chance {chance:.4g} %)"
    )
    return f"{text}{_compared(compared, best, figures)}."


def _compared(compared: Comparison, best: str, figures: dict[str, Point]) -> str:
    """The second half: against the reference, or that against the next best."""
    if len(figures) < 2:
        return ", and is compared with no other system"
    if best == compared.reference:
        others = [name for name in figures if name != best]
        rival = max(others, key=lambda name: figures[name].value)
        found, sign = compared.of(compared.differences, rival), -1
    else:
        rival = best
        found, sign = compared.of(compared.differences, best), 1
    other = system_name(compared.reference if sign > 0 else rival)
    if found is None:
        return f"; no seed is common with {other}, so nothing is claimed of the two"
    value = sign * found.value
    if found.low is None:
        return (
            f"; the difference to {other}, {_signed(value)} points, has no interval and "
            "claims nothing"
        )
    low, high = sorted((sign * found.low, sign * found.high))
    interval = f"(paired 95 % interval {_signed(low)} to {_signed(high)})"
    if found.differs:
        more = "more" if value > 0 else "less"
        return f", {abs(value):.1f} points {more} than {other} {interval}"
    shown = f"{_signed(value)} points {interval}"
    return f"; that it differs from {other} is not shown: {shown}"


def by_target(compared: Comparison) -> str:
    """Where the best of the others is ahead of the reference, and where not.

    Arguments
    ---------
    compared : Comparison
        From ``comparisons``.

    Returns
    -------
    str
        A sentence; empty with a single setting or system.
    """
    if len(compared.groups) < 2 or not compared.differences:
        return ""
    others = dict.fromkeys(point.system for point in compared.differences)
    best = max(others, key=lambda name: compared.of(compared.uars, name).value)
    ahead, behind, open_ = [], [], []
    for point in compared.differences:
        if point.system == best and point.setting != MEAN:
            side = open_ if not point.differs else ahead if point.value > 0 else behind
            side.append(f"{compared.rows[point.setting]} {_signed(point.value)}")
    parts = [
        f"{text} {', '.join(side)}"
        for text, side in (
            ("ahead on", ahead), ("behind on", behind), ("no difference shown on", open_),
        )
        if side
    ]  # fmt: skip
    return (
        f"{system_name(best)} against {system_name(compared.reference)} by target, in "
        f"points: {'; '.join(parts)}."
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
