"""What figures of many settings show: systems by target and over the mean, with intervals.

UAR of each system, or its difference to another one on the same utterances.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xser_brain.evaluation.averages import Influence, mean_of
from xser_brain.evaluation.metrics import uar
from xser_brain.models.card import language_name
from xser_brain.reports import gains
from xser_brain.reports.names import setting_name, target_name
from xser_brain.reports.paper import in_order
from xser_brain.reports.runs import Group
from xser_brain.reports.tables import Score

MEAN = ""  # in place of a setting


@dataclass(frozen=True)
class Point:
    """A figure with its 95 % interval, of a system in a setting or over the mean.

    Arguments
    ---------
    setting : str
        Its name; ``MEAN`` over the mean of those that all systems have.
    system : str
        Its name.
    value, low, high : float
        Percent, or points of a difference; without bounds where there are too few
        units.
    """

    setting: str
    system: str
    value: float
    low: float | None
    high: float | None

    @property
    def differs(self) -> bool:
        """Whether the interval of a difference excludes 0."""
        return self.low is not None and not self.low <= 0 <= self.high


def rows_of(groups: Sequence[Group]) -> dict[str, str]:
    """What the rows of a figure are called: each setting, then the mean.

    By setting the target and its language, with the source where targets are tested
    from several.

    Arguments
    ---------
    groups : sequence of Group
        Of one encoder.

    Returns
    -------
    dict of str to str
    """
    targets = [group.setting.target for group in groups]
    rows = {}
    for group in groups:
        language = language_name(group.runs[0]["setting"]["languages"]["target"])
        rows[group.name] = target_name(group.setting.target, language)
        if targets.count(group.setting.target) > 1:
            rows[group.name] = f"{setting_name(group.name)} ({language})"
    if len(groups) > 1:
        rows[MEAN] = f"mean of {len(groups)}"
    return rows


def systems_of(groups: Sequence[Group], subset: str) -> list[str]:
    """Zero-shot systems that all settings have, in the order of the tables.

    Arguments
    ---------
    groups : sequence of Group
        Of one encoder.
    subset : str
        ``target_test`` or ``target_all``.

    Returns
    -------
    list of str
    """
    known = [
        {name for name, runs in group.systems.items()
         if runs[0]["zero_shot"] and runs[0].get(subset)}
        for group in groups
    ]  # fmt: skip
    return in_order(set.intersection(*known)) if known else []


def uars(groups: Sequence[Group], scores: Sequence[Score], subset: str) -> list[Point]:
    """UAR of every system that all settings have, by setting and over the mean.

    Arguments
    ---------
    groups : sequence of Group
        Of one encoder.
    scores : sequence of Score
        Of the tables, which have the intervals of settings.
    subset : str
        ``target_test`` or ``target_all``.

    Returns
    -------
    list of Point
        In percent.
    """
    systems = systems_of(groups, subset)
    shown = [
        Point(score.setting, score.system, score.uar, score.uar_low, score.uar_high)
        for score in scores
        if score.system in systems
    ]

    def influence(group: Group, system: str) -> Influence | None:
        one = group.outcome(system, subset)
        return Influence.of(
            one.true, one.predicted, one.units, _mean_uar, one.n_classes
        )

    return shown + _means(groups, systems, shown, influence, percent=True)


def differences(groups: Sequence[Group], subset: str, reference: str) -> list[Point]:
    """How far the systems that all settings have are from one of them, paired.

    Arguments
    ---------
    groups : sequence of Group
        Of one encoder.
    subset : str
        ``target_test`` or ``target_all``.
    reference : str
        The system to compare with.

    Returns
    -------
    list of Point
        In points of UAR, over the seeds that both have; none of the reference itself,
        and none at all where a setting lacks it.

    Raises
    ------
    UserError
        If two systems tested other utterances.
    """
    systems = systems_of(groups, subset)
    if reference not in systems:
        return []
    systems = [
        name
        for name in systems
        if name != reference and all(group.seeds(name, reference) for group in groups)
    ]

    pairs = {
        (group.name, system): group.pair(system, reference, subset)
        for group in groups
        for system in systems
    }
    shown = []
    for (setting, system), pair in pairs.items():
        result = gains.paired(*pair)
        bounds = result.low, result.high
        shown.append(Point(setting, system, result.difference, *bounds))

    def influence(group: Group, system: str) -> Influence | None:
        return gains.influence(*pairs[group.name, system])

    return shown + _means(groups, systems, shown, influence)


def _means(
    groups: Sequence[Group],
    systems: Sequence[str],
    shown: Sequence[Point],
    influence: Callable[[Group, str], Influence | None],
    percent: bool = False,
) -> list[Point]:
    """Over the settings, of each system; none with a single setting."""
    if len(groups) < 2:
        return []
    found = []
    for system in systems:
        sets = [influence(group, system) for group in groups]
        if None in sets:
            own = [point.value for point in shown if point.system == system]
            found.append(Point(MEAN, system, float(np.mean(own)), None, None))
        else:
            found.append(Point(MEAN, system, *mean_of(sets, percent=percent)))
    return found


def _mean_uar(confusions: np.ndarray) -> np.ndarray:
    return uar(confusions).mean(-1)
