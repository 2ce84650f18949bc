"""How much each system gains on a reference: what each part of a method brings."""

from collections.abc import Sequence

import numpy as np

from xser_brain.evaluation.averages import Influence, mean_of
from xser_brain.evaluation.metrics import uar
from xser_brain.evaluation.significance import Comparison, compare
from xser_brain.reports.names import setting_name, system_name
from xser_brain.reports.paper import in_order
from xser_brain.reports.render import Table
from xser_brain.reports.runs import Group, Outcome

NOTE = (
    "Means over the seeds that both have of the UAR in percent, and differences in points "
    "with 95 % intervals, paired by utterance. Over settings: these settings, with other "
    "speakers (utterances, where a setting has fewer than 5 speakers), and not other "
    "languages; whoever speaks in several settings counts once. In bold where 0 is "
    "outside. Settings in which a label was not tested are left out."
)


def gains_table(
    groups: Sequence[Group], subset: str, reference: str, what: str
) -> Table | None:
    """A row a zero-shot system: its mean, what it gains over settings, and in each.

    Arguments
    ---------
    groups : sequence of Group
        Of one encoder.
    subset : str
        ``target_test`` or ``target_all``.
    reference : str
        The system to compare with.
    what : str
        For the title.

    Returns
    -------
    Table, or None
        None if there is nothing to compare.

    Raises
    ------
    UserError
        If two systems tested other utterances.
    """
    names = {
        run["system"] for group in groups for run in group.runs if run["zero_shot"]
    }
    pairs: dict[str, dict[str, tuple[Outcome, Outcome]]] = {}
    for system in in_order(names - {reference}):
        for group in groups:
            pair = group.pair(system, reference, subset)
            if pair and not pair[0].absent:
                pairs.setdefault(system, {})[group.name] = pair
    if not pairs:
        return None
    shown = {name for found in pairs.values() for name in found}
    settings = [group.name for group in groups if group.name in shown]
    rows = [_row(system, found, settings) for system, found in pairs.items()]
    of = system_name(reference)
    header = ["system", f"UAR ({of})", "over settings", "better in"]
    header += map(setting_name, settings)
    return Table(f"Gains on {of}. {what}", header, rows, [NOTE])


def _row(
    system: str, pairs: dict[str, tuple[Outcome, Outcome]], settings: Sequence[str]
) -> list[str]:
    found = {name: paired(*pair) for name, pair in pairs.items()}
    own, others = (
        np.mean([uar(outcome.confusions()).mean() for outcome in side])
        for side in zip(*pairs.values(), strict=True)
    )
    moves = [influence(*pair) for pair in pairs.values()]
    mean = float(np.mean([one.difference for one in found.values()]))
    low = high = None
    if None not in moves:
        _, low, high = mean_of(moves)
    told = _with_interval(mean, low, high)
    return [
        system_name(system),
        f"{own:.1f} ({others:.1f})",
        told if low is None or low <= 0 <= high else f"**{told}**",
        f"{sum(one.difference > 0 for one in found.values())} of {len(found)}",
        *(_of_setting(found.get(name)) for name in settings),
    ]


def paired(first: Outcome, second: Outcome) -> Comparison:
    """The difference of two systems' UAR and its interval, without the tests of the claims.

    Arguments
    ---------
    first, second : Outcome
        A pair, from ``Group.pair``.

    Returns
    -------
    Comparison
        First less second, in points.
    """
    return compare(
        first.true, first.predicted, second.predicted, uar, first.clusters, samples=0
    )


def influence(first: Outcome, second: Outcome) -> Influence | None:
    """What each speaker, or utterance, does to the difference of two systems' UAR.

    Arguments
    ---------
    first, second : Outcome
        A pair, from ``Group.pair``.

    Returns
    -------
    Influence, or None
        None where there are too few units for an interval.
    """
    both = np.concatenate([first.predicted, second.predicted])
    return Influence.of(first.true, both, first.units, _difference, first.n_classes)


def _difference(confusions: np.ndarray) -> np.ndarray:
    """First less second mean over seeds: (..., runs, classes, classes) to (...)."""
    first, second = np.split(uar(confusions), 2, axis=-1)
    return first.mean(-1) - second.mean(-1)


def _of_setting(one: Comparison | None) -> str:
    return _with_interval(one.difference, one.low, one.high) if one else ""


def _with_interval(difference: float, low: float | None, high: float | None) -> str:
    interval = "" if low is None else f" [{low:+.1f}, {high:+.1f}]"
    return f"{difference:+.1f}{interval}".replace("-", "−")
