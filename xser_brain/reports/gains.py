"""How much each system gains on a reference: what each part of a method brings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.errors import UserError
from xser_brain.evaluation.metrics import uar
from xser_brain.evaluation.significance import Comparison, compare
from xser_brain.reports.paper import in_order
from xser_brain.reports.render import Table
from xser_brain.reports.runs import Group

NOTE = (
    "Means over seeds of the UAR in percent, and differences in points with 95 % "
    "intervals, paired by utterance. Over settings: these settings, with other speakers "
    "(utterances, where a setting has fewer than 5 speakers), by the settings' own "
    "intervals, which are independent; in bold where 0 is outside. Settings in which a "
    "label was not tested are left out."
)


@dataclass(frozen=True)
class Gain:
    """What a system gains on another, in each setting and over all.

    Arguments
    ---------
    system, reference : str
        Which.
    uar, reference_uar : float
        Means over settings and seeds, in percent.
    settings : mapping of str to Comparison
        By setting.
    difference : float
        Mean over settings, in points.
    low, high : float, optional
        Its 95 % interval; None where a setting has none.
    """

    system: str
    reference: str
    uar: float
    reference_uar: float
    settings: dict[str, Comparison]
    difference: float
    low: float | None
    high: float | None

    @property
    def better(self) -> int:
        """In how many settings it is better."""
        return sum(found.difference > 0 for found in self.settings.values())


def gains(groups: Sequence[Group], subset: str, reference: str) -> list[Gain]:
    """Compare all zero-shot systems with one, where both were run.

    Arguments
    ---------
    groups : sequence of Group
        Of one encoder.
    subset : str
        ``target_test`` or ``target_all``.
    reference : str
        A system.

    Returns
    -------
    list of Gain
    """
    names = {
        run["system"] for group in groups for run in group.runs if run["zero_shot"]
    }
    found = []
    for system in in_order(names - {reference}):
        settings, uars = {}, []
        for group in groups:
            if not {system, reference} <= set(group.systems):
                continue
            seeds = group.seeds(system, reference)
            first, second = (
                group.outcome(name, subset, seeds) for name in (system, reference)
            )
            if first is None or second is None or first.absent:
                continue
            if first.ids != second.ids:
                raise UserError(
                    f"systems of {group.title} tested other utterances: put them in "
                    "folders of their own"
                )
            uars.append([uar(one.confusions()).mean() for one in (first, second)])
            settings[group.name] = compare(
                first.true, first.predicted, second.predicted, uar, first.clusters,
                samples=0,
            )  # fmt: skip
        if settings:
            own, others = np.mean(uars, axis=0)
            mean, low, high = over_settings(list(settings.values()))
            found.append(
                Gain(system, reference, own, others, settings, mean, low, high)
            )
    return found


def over_settings(
    comparisons: Sequence[Comparison],
) -> tuple[float, float | None, float | None]:
    """The mean difference of independent test sets, and its interval.

    Arguments
    ---------
    comparisons : sequence of Comparison
        One of each.

    Returns
    -------
    mean, low, high : tuple of float
        In points; without an interval if one of them has none.

    Example
    -------
    >>> one = Comparison(4.0, 1.0, 7.0, None, None, 100, 10, "speakers")
    >>> over_settings([one, one])[0]
    4.0
    """
    mean = float(np.mean([one.difference for one in comparisons]))
    if any(one.low is None for one in comparisons):
        return mean, None, None
    margins = [(one.high - one.low) / 2 for one in comparisons]
    margin = float(np.linalg.norm(margins)) / len(margins)
    return mean, mean - margin, mean + margin


def gains_table(found: Sequence[Gain], title: str) -> Table:
    """A row a system: its mean, what it gains, over settings and in each.

    Arguments
    ---------
    found : sequence of Gain
        On one reference.
    title : str
        Of the table.

    Returns
    -------
    Table
    """
    settings = list(dict.fromkeys(name for gain in found for name in gain.settings))
    rows = []
    for gain in found:
        mean = _with_interval(gain.difference, gain.low, gain.high)
        if gain.low is not None and not gain.low <= 0 <= gain.high:
            mean = f"**{mean}**"
        own = [gain.settings.get(name) for name in settings]
        rows.append(
            [
                gain.system,
                f"{gain.uar:.1f} ({gain.reference_uar:.1f})",
                mean,
                f"{gain.better} of {len(gain.settings)}",
                *(
                    _with_interval(one.difference, one.low, one.high) if one else ""
                    for one in own
                ),
            ]
        )
    reference = found[0].reference
    header = ["system", f"UAR ({reference})", "over settings", "better in", *settings]
    return Table(title, header, rows, [NOTE])


def _with_interval(difference: float, low: float | None, high: float | None) -> str:
    interval = "" if low is None else f" [{low:+.1f}, {high:+.1f}]"
    return f"{difference:+.1f}{interval}".replace("-", "−")
