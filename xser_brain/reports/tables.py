"""The paper's tables, from the artefacts of runs and nothing else."""

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from data_prep import documents
from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.outside import cell
from xser_brain.evaluation.intervals import FEWEST_UNITS, mean_interval
from xser_brain.evaluation.metrics import macro_f1, uar
from xser_brain.evaluation.significance import compare, holm, signed_rank
from xser_brain.reports.gains import gains_table
from xser_brain.reports.names import corpus_name, setting_name, system_name
from xser_brain.reports.paper import (
    in_order,
    paper_counts,
    paper_results,
    paper_systems,
)
from xser_brain.reports.render import Table, latex_document
from xser_brain.reports.runs import (
    SUBSETS,
    Group,
    Outcome,
    find_runs,
    group_runs,
    incomplete,
)

BEGIN, END = "<!-- xser tables -->", "<!-- end of xser tables -->"
REFERENCE = "baseline2"  # which a mark in Table 2 compares with
# The paper's claims: the first of each is said to be better than the second.
CLAIMS = (
    ("baseline2", "baseline1"),
    ("proposed", "baseline2"),
    ("proposed", "without_supcon"),
    ("proposed", "without_spkadv"),
)
LEVEL = 0.05
FEWER = " §"  # marks figures over fewer than all classes
BESIDE = ("paper", "difference")  # rows of Table 2 that belong to the one above
CLAIMS_NOTE = (
    "Difference of the UAR means over the seeds that both systems have, in points. p: "
    "paired randomisation test that exchanges two systems' predictions of a whole speaker "
    "(of an utterance, where there are fewer than "
    f"{FEWEST_UNITS} speakers); over settings, Wilcoxon's signed-rank test. "
    "Holm's correction is over all tests of single settings in this table, and over "
    "those over settings; in bold what is below 5 %. These p are about other speakers, "
    "with the models as trained; whether other seeds would agree, p over seeds says "
    "(Welch's t-test, uncorrected). A claim needs both, or the test over settings. effect: "
    "Cohen's d_z, to be compared among the same unit only."
)


@dataclass(frozen=True)
class Score:
    """A system's result in a setting, over its seeds; a row of results.csv.

    Arguments
    ---------
    setting, encoder, system, subset : str
        Which.
    standin : bool
        Whether any of the data are synthetic.
    seeds, n, speakers : int
        Runs, test utterances, and speakers of these.
    uar, uar_sd, uar_low, uar_high : float
        Mean and standard deviation over seeds, and the 95 % interval of the mean.
    macro_f1, macro_f1_sd : float
        The same of macro-F1.
    unit : str
        What the interval is over: ``speakers`` or ``utterances``.
    paper_uar, paper_macro_f1 : float, optional
        What the paper has.
    zero_shot : bool
        Whether the system was trained without the target.
    label_set : str
        Name and labels of a label set other than the paper's; otherwise empty.
    classes : int
        Number of labels of which utterances were tested.
    absent : str
        Labels of which none was; figures over fewer than all classes enter no average.
    incomplete : str
        What copies of the corpora lack.
    further : dict of str to (float, float)
        Metrics of one's own: mean and standard deviation over seeds, as the runs
        recorded them; in results.csv the columns ``metric_NAME`` and
        ``metric_NAME_sd``.
    """

    setting: str
    encoder: str
    system: str
    subset: str
    standin: bool
    seeds: int
    n: int
    speakers: int
    uar: float
    uar_sd: float | None
    uar_low: float | None
    uar_high: float | None
    macro_f1: float
    macro_f1_sd: float | None
    unit: str
    paper_uar: float | None
    paper_macro_f1: float | None
    zero_shot: bool
    label_set: str
    classes: int
    absent: str
    incomplete: str
    further: dict[str, tuple[float, float | None]]


@dataclass(frozen=True)
class Claim:
    """A test of two systems in a setting, or over settings; a row of claims.csv.

    Those of the paper's claims, and of every other zero-shot system against
    ``REFERENCE``.

    Arguments
    ---------
    setting, encoder, subset, better, worse : str
        Which; ``better`` is the system said to be better.
    difference, low, high : float
        Of UAR, in points, and its 95 % interval (none over settings).
    p, p_holm : float
        Of the test, and corrected for all settings and claims of a table.
    effect : float
        Of the settings' or units' differences, see ``cohens_d_z``.
    p_seeds : float, optional
        Of Welch's t-test between the seeds: whether other seeds would agree.
    n : int
        Test utterances, or settings.
    unit : str
        What the test exchanges: ``speakers``, ``utterances`` or ``settings``.
    """

    setting: str
    encoder: str
    subset: str
    better: str
    worse: str
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    effect: float | None
    n: int
    unit: str
    p_seeds: float | None = None


def scores(groups: Sequence[Group], subset: str) -> list[Score]:
    """All systems in all settings on a subset, without those that were trained on it.

    ``subset`` is ``target_test`` or ``target_all``.
    """
    found = []
    for group in groups:
        for system, runs in group.systems.items():
            outcome = group.outcome(system, subset)
            if outcome is None:
                continue
            confusions = outcome.confusions()
            uars, f1s = uar(confusions), macro_f1(confusions)
            interval = mean_interval(
                outcome.true, outcome.predicted, uar, outcome.clusters
            )
            low, high = interval or (None, None)
            paper = paper_results().get((group.paper or "", system), {})
            found.append(
                Score(
                    group.name,
                    group.encoder,
                    system,
                    subset,
                    group.standin,
                    len(runs),
                    len(outcome.ids),
                    len(set(outcome.speakers)),
                    float(uars.mean()),
                    _spread(uars),
                    low,
                    high,
                    float(f1s.mean()),
                    _spread(f1s),
                    "utterances" if outcome.clusters is None else "speakers",
                    paper.get("uar"),
                    paper.get("macro_f1"),
                    runs[0]["zero_shot"],
                    group.label_set,
                    outcome.n_classes - len(outcome.absent),
                    ", ".join(group.labels[place] for place in outcome.absent),
                    group.incomplete,
                    _further(runs, subset),
                )
            )
    return found


def _further(runs: Sequence[dict], subset: str) -> dict:
    """Metrics of one's own that all seeds have a value of."""
    found = {}
    for name in runs[0]["metrics"]:
        values = [run[subset].get(name) for run in runs]
        if None not in values:
            found[name] = float(np.mean(values)), _spread(np.array(values))
    return found


def _spread(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def claims(groups: Sequence[Group], subset: str) -> list[Claim]:
    """Test the paper's claims, and every other zero-shot system against ``REFERENCE``.

    Each in each setting, and over the settings of an encoder. By claim, then by
    setting; ``p_holm`` counts all tests of single settings as one family, and all tests
    over settings as another. ``groups`` are of one encoder, ``subset`` is
    ``target_test`` or ``target_all``.
    """
    found, over = [], []
    for better, worse in (*CLAIMS, *_others(groups)):
        # Settings whose runs came out the same (the same corpora trained on, another of
        # them called the source) are one experiment, not several.
        distinct: dict[tuple, float] = {}
        for group in groups:
            pair = group.pair(better, worse, subset)
            if pair is None:
                continue
            first, second = pair
            result = compare(
                first.true, first.predicted, second.predicted, uar, first.clusters
            )
            outcomes = (first.predicted.tobytes(), second.predicted.tobytes())
            if not first.absent:
                distinct[first.ids, outcomes] = result.difference
            found.append(
                Claim(
                    group.name, group.encoder, subset, better, worse,
                    result.difference, result.low, result.high,
                    result.p, np.nan, result.effect, len(first.ids), result.unit,
                    _p_over_seeds(first, second),
                )
            )  # fmt: skip
        differences = list(distinct.values())
        if len(differences) > 1:
            p, effect = signed_rank(differences)
            over.append(
                Claim(
                    "all settings", groups[0].encoder, subset, better, worse,
                    float(np.mean(differences)), None, None,
                    p, np.nan, effect, len(differences), "settings",
                )
            )  # fmt: skip
    return corrected(found) + corrected(over)


def _others(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """Zero-shot systems that the paper does not have, each against the reference."""
    names = {run["system"] for g in groups for run in g.runs if run["zero_shot"]}
    return [(name, REFERENCE) for name in in_order(names.difference(paper_systems()))]


def _p_over_seeds(first: Outcome, second: Outcome) -> float | None:
    """Welch 1947: two systems' UARs, a seed each; None with fewer than two seeds."""
    uars = [uar(outcome.confusions()) for outcome in (first, second)]
    if len(uars[0]) < 2:
        return None
    if not any(np.ptp(values) for values in uars):
        return float(uars[0][0] == uars[1][0])
    from scipy import stats  # slow to import

    return float(stats.ttest_ind(*uars, equal_var=False).pvalue)


def corrected(family: list[Claim]) -> list[Claim]:
    """The same with ``p_holm``, as one family of tests."""
    adjusted = holm([claim.p for claim in family]) if family else []
    return [
        replace(claim, p_holm=float(p))
        for claim, p in zip(family, adjusted, strict=True)
    ]


def settings_table(groups: Sequence[Group]) -> Table:
    """Table 1: the settings and their sizes, beside the paper's."""
    header = ["setting", "source", "non-target", "target", "train", "speakers",
              "valid", "test part", "whole target"]  # fmt: skip
    counted = any(group.paper for group in groups)
    rows, seen = [], set()
    for group in groups:
        if group.setting in seen:
            continue
        seen.add(group.setting)
        runs = {run["trains_on"]: run for run in group.runs}
        counts = (runs.get("all") or next(iter(runs.values())))["counts"]
        row = [
            setting_name(group.name),
            _named(group.setting.source),
            _named(group.setting.non_target) if "all" in runs else "",
            corpus_name(group.setting.target),
            *(str(counts[key]) for key in ("train", "speakers", "valid", "test")),
            str(counts["target_all"]),
        ]
        if counted:
            paper = paper_counts().get(group.paper or "", {})
            row += [str(value) for value in paper.values()] or ["", ""]
        rows.append(row)
    if counted:
        header += ["train (paper)", "speakers (paper)"]
    what = groups[0].label_set or "four emotions"
    lacking = incomplete(run for group in groups for run in group.runs)
    notes = [f"Incomplete copies of corpora: {lacking}."] if lacking else []
    return Table(f"Table 1. Settings, in utterances of the {what}", header, rows, notes)


def _named(corpora: Sequence[str]) -> str:
    return ", ".join(map(corpus_name, corpora))


def systems_table(
    results: Sequence[Score], tested: Sequence[Claim], title: str
) -> Table:
    """Table 2: systems by settings, beside the paper's figures where it has them."""
    settings = list(dict.fromkeys(score.setting for score in results))
    cells = {(score.system, score.setting): score for score in results}
    gains = {
        (claim.better, claim.setting): claim.difference
        for claim in tested
        if claim.worse == REFERENCE and claim.p_holm < LEVEL
    }
    systems = in_order(score.system for score in results)
    best: dict[str, float] = {}
    for score in results:
        if score.zero_shot:
            best[score.setting] = max(score.uar, best.get(score.setting, 0))
    fewer = {score.setting: score for score in results if score.absent}
    averaged = [setting for setting in settings if setting not in fewer]
    rows = []
    for system in systems:
        row, uars, f1s = [system_name(system)], [], []
        for setting in settings:
            score = cells.get((system, setting))
            if score is None:
                row.append("")
                continue
            if setting in averaged:
                uars.append(score.uar)
                f1s.append(score.macro_f1)
            text = f"{score.uar:.1f} / {score.macro_f1:.1f}" + FEWER * bool(
                score.absent
            )
            if score.zero_shot and score.uar == best[setting]:
                text = f"**{text}**"
            gain = gains.get((system, setting))
            row.append(text + ("" if gain is None else "†" if gain > 0 else "‡"))
        whole = len(uars) == len(averaged) > 0
        row.append(f"{np.mean(uars):.1f} / {np.mean(f1s):.1f}" if whole else "")
        rows.append(row)
        comparable = uars if whole and not fewer else []
        rows += _beside_the_paper(system, settings, cells, comparable)
    notes = [
        "UAR / macro-F1 in percent, means over seeds; in bold the best zero-shot system "
        f"of a setting. † significantly better, ‡ worse than {system_name(REFERENCE)} "
        "(paired test, Holm-corrected, 5 %; only the systems of the claims below are "
        "tested)."
    ]
    notes += [
        f"{FEWER.strip()} {setting_name(name)}: over {score.classes} classes (chance "
        f"{100 / score.classes:.1f} %), for no utterance of {score.absent} was tested; "
        "left out of the average."
        for name, score in fewer.items()
    ]
    if lacking := {score.incomplete: None for score in results if score.incomplete}:
        notes.append(f"Incomplete copies of corpora: {'; '.join(lacking)}.")
    if any(score.standin for score in results):
        notes.append(
            "Synthetic stand-ins: these figures say nothing about real speech."
        )
    header = ["system", *map(setting_name, settings), "average"]
    return Table(title, header, rows, notes)


def _beside_the_paper(system, settings, cells, uars) -> list[list[str]]:
    """The paper's figures of a system, and how far these are from them."""
    paper = [paper_results().get((name, system), {}) for name in (*settings, "average")]
    if not any(paper[:-1]) and not (paper[-1] and _are_the_papers(settings)):
        return []
    if not _are_the_papers(settings):
        paper[-1] = {}
    ours = [getattr(cells.get((system, name)), "uar", None) for name in settings]
    ours.append(np.mean(uars) if uars else None)
    figures, differences = ([name] for name in BESIDE)
    for own, theirs in zip(ours, paper, strict=True):
        parts = [theirs.get(key) for key in ("uar", "macro_f1")]
        figures.append(" / ".join(f"{part:.1f}" for part in parts if part is not None))
        known = own is not None and parts[0] is not None
        differences.append(f"{own - parts[0]:+.1f}".replace("-", "−") if known else "")
    return [figures, differences]


def _are_the_papers(settings: Sequence[str]) -> bool:
    """Whether an average over them is the paper's average."""
    return set(settings) == set(paper_counts())


def intervals_table(results: Sequence[Score], title: str) -> Table:
    """Every figure with its spread, its interval and the number of utterances."""
    rows = []
    further = list(dict.fromkeys(name for score in results for name in score.further))
    for score in results:
        interval = (
            ""
            if score.uar_low is None
            else f"[{score.uar_low:.1f}, {score.uar_high:.1f}] {score.unit}"
        )
        rows.append(
            [
                setting_name(score.setting) + FEWER * bool(score.absent),
                system_name(score.system),
                str(score.seeds),
                _plus_minus(score.uar, score.uar_sd),
                interval,
                _plus_minus(score.macro_f1, score.macro_f1_sd),
                *(
                    _plus_minus(*score.further[name]) if name in score.further else ""
                    for name in further
                ),
                str(score.n),
                str(score.speakers),
            ]
        )
    header = ["setting", "system", "seeds", "UAR", "95 % interval of the mean UAR",
              "macro-F1", *further, "utterances", "speakers"]  # fmt: skip
    notes = [
        "± is the standard deviation over seeds; the interval is over speakers, or over "
        f"utterances where there are fewer than {FEWEST_UNITS} speakers."
    ]
    if any(score.absent for score in results):
        notes.append(f"{FEWER.strip()} Over fewer than all classes, see above.")
    return Table(title, header, rows, notes)


def _plus_minus(mean: float, spread: float | None) -> str:
    return f"{mean:.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def claims_table(
    tested: Sequence[Claim], title: str, note: str = CLAIMS_NOTE, models: bool = False
) -> Table:
    """Pairs of systems, each with its difference, interval and tests.

    Of ``models`` there is one seed, and they are called as they were given, as is what
    they are scored on.
    """
    seeds = not models
    system, setting = (str, str) if models else (system_name, setting_name)
    rows = []
    for claim in tested:
        interval = (
            "" if claim.low is None else f" [{claim.low:+.1f}, {claim.high:+.1f}]"
        )
        p = _p_value(claim.p_holm)
        rows.append(
            [
                f"{system(claim.better)} > {system(claim.worse)}",
                setting(claim.setting),
                f"{claim.difference:+.1f}{interval}".replace("-", "−"),
                _p_value(claim.p),
                f"**{p}**" if claim.p_holm < LEVEL else p,
                *["" if claim.p_seeds is None else _p_value(claim.p_seeds)] * seeds,
                "" if claim.effect is None else f"{claim.effect:.2f}".replace("-", "−"),
                f"{claim.n} {claim.unit if claim.unit == 'settings' else 'utterances'}",
                claim.unit,
            ]
        )
    header = ["claim", "setting", "UAR difference [95 % interval]", "p", "p (Holm)",
              *["p over seeds"] * seeds, "effect", "n", "exchanged"]  # fmt: skip
    return Table(title, header, rows, [note])


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@dataclass(frozen=True)
class Report:
    """All tables of a folder of results."""

    groups: list[Group]
    scores: list[Score]
    claims: list[Claim]
    tables: list[Table]


def gather(
    results: Path, purpose: str = "result", reference: str | None = None
) -> Report:
    """Read all runs below a folder and make their tables.

    ``purpose`` is ``result`` or ``tuning``; with a ``reference``, a system's name, what
    each other one gains on it is told, too. UserError if there is no run, one is
    damaged, or they may not stand in one table.
    """
    groups = group_runs(find_runs(results), purpose)
    report = Report(groups, [], [], [settings_table(groups)])
    kinds = dict.fromkeys((group.encoder, group.standin) for group in groups)
    for (encoder, standin), subset in itertools.product(kinds, SUBSETS):
        own = [g for g in groups if (g.encoder, g.standin) == (encoder, standin)]
        found, tested = scores(own, subset), claims(own, subset)
        if not found:
            continue
        what = f"{encoder}, {SUBSETS[subset]}" + (
            f", {own[0].label_set}" if own[0].label_set else ""
        )
        report.scores.extend(found)
        report.claims.extend(tested)
        report.tables.append(systems_table(found, tested, f"Table 2. {what}"))
        report.tables.append(intervals_table(found, f"Intervals. {what}"))
        if tested:
            own_systems = {claim.better for claim in tested} - {*paper_systems()}
            title = "The paper's claims" + (
                f", and other systems against {system_name(REFERENCE)}"
                if own_systems
                else ""
            )
            report.tables.append(claims_table(tested, f"{title}. {what}"))
        if reference and (table := gains_table(own, subset, reference, what)):
            report.tables.append(table)
    if reference and not any(reference in group.systems for group in groups):
        raise UserError(
            f"--reference: no run of {reference} below {results}; there are: "
            + ", ".join(in_order({s for group in groups for s in group.systems}))
        )
    return report


def as_markdown(report: Report) -> str:
    """All tables, as GitHub shows them."""
    return "\n\n".join(table.markdown() for table in report.tables)


def as_csv(rows: Sequence[Score] | Sequence[Claim]) -> str:
    """Scores or claims with full precision."""
    buffer = io.StringIO()
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()


def _flat(row: Score | Claim) -> dict:
    values = asdict(row)
    for name, (mean, spread) in values.pop("further", {}).items():
        values |= {f"metric_{name}": mean, f"metric_{name}_sd": spread}
    return {cell(name): cell(value) for name, value in values.items()}


def write_all(report: Report, folder: Path) -> list[Path]:
    """Write all tables in all formats, and return their paths.

    ``tables.md``, ``tables.tex`` (a document that compiles), ``results.csv`` and, if
    claims could be tested, ``claims.csv``.
    """
    texts = {
        "tables.md": as_markdown(report) + "\n",
        "tables.tex": latex_document(report.tables),
        "results.csv": as_csv(report.scores),
    }
    if report.claims:
        texts["claims.csv"] = as_csv(report.claims)
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    return [folder / name for name in texts]


def update_document(path: Path, table: str) -> None:
    """Put a table between the lines ``BEGIN`` and ``END`` of a Markdown file.

    UserError if the file is missing or has no such lines.
    """
    documents.update(path, BEGIN, END, table)
