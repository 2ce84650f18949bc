"""Finished runs, read back from their artefacts, and what may be compared."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from xser_brain import artefacts
from xser_brain.evaluation.intervals import FEWEST_UNITS
from xser_brain.evaluation.metrics import confusion_matrix
from xser_brain.protocol import PAPER_SETTINGS, Setting
from xser_brain.reports.names import corpus_name
from xser_brain.reports.paper import LABEL_SET, in_order

logger = logging.getLogger(__name__)

SUBSETS = {"target_test": "the target's test part", "target_all": "the whole target"}
# Runs of one table may differ in these: they are what a table is about.
FREE = ("run.system", "source", "non_target", "target", "corpora")
SYSTEM = "system."  # in these only runs of other systems may differ
METRICS = "run.metrics."  # what else is measured decides on no result


def find_runs(results: Path) -> list[artefacts.Record]:
    """Read the run.json of every finished run below a folder.

    Arguments
    ---------
    results : Path
        Searched all through.

    Returns
    -------
    list of Record
        In the order of their paths, with ``folder`` added, and what runs of earlier
        versions do not say: ``trains_on``, ``objectives``, ``labels``, ``label_set`` and
        ``metrics``.

    Raises
    ------
    UserError
        If there is none, or one cannot be read.
    """
    runs = []
    for path in sorted(Path(results).rglob(artefacts.RUN)):
        run = artefacts.read_run(path.parent)
        values = {**_unsaid(run), **run, "folder": path.parent}
        runs.append(artefacts.Record(values, run.where))
    if not runs:
        raise UserError(f"no finished run below {results}: train one first")
    return runs


def _unsaid(run: Mapping) -> dict:
    """What runs of earlier versions do not say of themselves."""
    trained = {*((run.get("audit") or {}).get("training") or {}).get("corpora", ())}
    setting = run["setting"]
    source_only = setting["non_target"] and trained == set(setting["source"])
    return {
        "trains_on": (
            "target" if not run["zero_shot"] else "source" if source_only else "all"
        ),
        "objectives": [],
        "labels": run["target_test"]["labels"],
        "label_set": LABEL_SET,
        "metrics": {},
    }


def read_predictions(run: Mapping) -> list[dict[str, str]]:
    """Read the predictions of a run.

    Arguments
    ---------
    run : mapping
        From ``find_runs``.

    Returns
    -------
    list of dict
        One an utterance, by the columns of predictions.csv.

    Raises
    ------
    UserError
        If they are missing or damaged.
    """
    rows = artefacts.read_predictions(run["folder"], run["labels"])
    expected = (run.get("target_all") or run["target_test"])["n"]
    if len(rows) != expected:
        raise UserError(
            f"{run['folder'] / artefacts.PREDICTIONS} has {len(rows)} utterances, "
            f"run.json says {expected}: train that run again"
        )
    return rows


@dataclass(frozen=True)
class Group:
    """Runs of one setting and one encoder: what a block of a table compares.

    Arguments
    ---------
    setting : Setting
        Who plays which part.
    encoder : str
        Its name, with its adaptation.
    standin : bool
        Whether any of the data are synthetic.
    systems : dict of str to list of dict
        Runs, by system (the paper's in its order, then others by name) and seed.
    """

    setting: Setting
    encoder: str
    standin: bool
    systems: dict[str, list[dict]]

    @property
    def runs(self) -> list[dict]:
        """All runs, system by system."""
        return [run for runs in self.systems.values() for run in runs]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the runs' confusion matrices."""
        return tuple(self.runs[0]["labels"])

    @property
    def label_set(self) -> str:
        """Name and labels of a label set that is not the paper's, or nothing."""
        run = self.runs[0]
        return "" if run["label_set"] == LABEL_SET else label_set(run)

    @property
    def trained(self) -> str:
        """What is trained on and tested."""
        source, others = (
            ", ".join(map(corpus_name, names))
            for names in (self.setting.source, self.setting.non_target)
        )
        trained = f"{source} (+ {others})" if others else source
        return f"{trained} to {corpus_name(self.setting.target)}"

    @property
    def title(self) -> str:
        """What is trained on and tested, with which encoder, and which labels."""
        return f"{self.trained}, {self.encoder}{self.remarks}"

    @property
    def kind(self) -> str:
        """Other labels than the paper's, and stand-ins."""
        return (f", {self.label_set}" if self.label_set else "") + (
            ", synthetic stand-ins" if self.standin else ""
        )

    @property
    def remarks(self) -> str:
        """What every table and figure says: other labels, stand-ins, what is missing."""
        return self.kind + (f", incomplete: {self.incomplete}" * bool(self.incomplete))

    @property
    def incomplete(self) -> str:
        """What copies of the corpora lack, or nothing."""
        return incomplete(self.runs)

    @property
    def paper(self) -> str | None:
        """The paper's name of the setting, as ``EN-DE``, if the labels are its too."""
        if self.label_set:
            return None
        return next(
            (name for name, item in PAPER_SETTINGS.items() if item == self.setting),
            None,
        )

    @property
    def name(self) -> str:
        """The paper's name, or that of the folder."""
        return self.paper or self.setting.name

    def outcome(
        self, system: str, subset: str, seeds: Collection[int] | None = None
    ) -> "Outcome | None":
        """Read what a system predicted; None if it was trained on that subset."""
        runs = [
            run for run in self.systems[system] if seeds is None or run["seed"] in seeds
        ]
        if not runs or not runs[0].get(subset):
            return None
        return Outcome.read(runs, subset)

    def pair(
        self, one: str, other: str, subset: str
    ) -> "tuple[Outcome, Outcome] | None":
        """What two systems predicted of the same utterances, in the seeds that both have.

        Arguments
        ---------
        one, other : str
            Systems.
        subset : str
            ``target_test`` or ``target_all``.

        Returns
        -------
        tuple of two Outcome, or None
            None if one of them was not run, or trained on that subset.

        Raises
        ------
        UserError
            If they tested other utterances.
        """
        if not {one, other} <= set(self.systems):
            return None
        seeds = self.seeds(one, other)
        first, second = (self.outcome(name, subset, seeds) for name in (one, other))
        if first is None or second is None:
            return None
        if first.ids != second.ids or (first.true != second.true).any():
            raise UserError(
                f"systems of {self.title} tested other utterances: put them in folders of "
                "their own"
            )
        return first, second

    def seeds(self, *systems: str) -> set[int]:
        """The seeds that all of some systems have."""
        return set.intersection(
            *({run["seed"] for run in self.systems[name]} for name in systems)
        )


@dataclass(frozen=True)
class Outcome:
    """What a system predicted, in all its seeds, of the same utterances.

    Arguments
    ---------
    ids, speakers : (utterances,) tuple of str
        Sorted by ID.
    true : (utterances,) numpy.ndarray
        Classes, as positions in the labels.
    predicted : (seeds, utterances) numpy.ndarray
        The same, as predicted.
    n_classes : int
        Number of labels.
    """

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    true: np.ndarray
    predicted: np.ndarray
    n_classes: int

    @classmethod
    def read(cls, runs: Sequence[Mapping], subset: str) -> "Outcome":
        """Read the predictions of all seeds of a system."""
        columns = []
        labels = runs[0]["labels"]
        for run in runs:
            rows = read_predictions(run)
            if subset == "target_test":
                rows = [row for row in rows if row["subset"] == "test"]
            rows.sort(key=lambda row: row["ID"])
            tested = [(row["ID"], row["speaker"], row["emotion"]) for row in rows]
            columns.append((tested, [labels.index(row["predicted"]) for row in rows]))
            if tested != columns[0][0]:
                raise UserError(
                    f"{run['folder']} and {runs[0]['folder']} tested other utterances: "
                    "put them in folders of their own"
                )
        ids, speakers, emotions = zip(*columns[0][0], strict=True)
        return cls(
            ids,
            speakers,
            np.array([labels.index(emotion) for emotion in emotions]),
            np.array([predicted for _, predicted in columns]),
            len(labels),
        )

    @cached_property
    def clusters(self) -> np.ndarray | None:
        """Speakers, as positions; None if they are too few for an interval."""
        names, index = np.unique(self.speakers, return_inverse=True)
        return index if len(names) >= FEWEST_UNITS else None

    @property
    def units(self) -> Sequence[str]:
        """What an interval is over, of each utterance: its speaker, or it itself."""
        return self.ids if self.clusters is None else self.speakers

    @property
    def absent(self) -> list[int]:
        """Classes of which no utterance was tested: a UAR over fewer than all."""
        return sorted({*range(self.n_classes)} - {*self.true.tolist()})

    def confusions(self) -> np.ndarray:
        """Counts of each seed: (seeds, classes, classes)."""
        return confusion_matrix(self.true, self.predicted, self.n_classes)


def incomplete(runs: Iterable[Mapping]) -> str:
    """What copies of corpora lack that runs used all the same.

    Arguments
    ---------
    runs : iterable of mapping
        From ``find_runs``.

    Returns
    -------
    str
        Empty if nothing is missing.

    Example
    -------
    >>> incomplete([{"incomplete": {"emovo": "neutral (84 declared)"}}, {}])
    'EMOVO lacks neutral (84 declared)'
    """
    found = {}
    for run in runs:
        found |= run.get("incomplete") or {}
    return "; ".join(
        f"{corpus_name(name)} lacks {what}" for name, what in sorted(found.items())
    )


def label_set(run: Mapping) -> str:
    """The name of a run's label set, with its labels.

    Arguments
    ---------
    run : mapping
        From ``find_runs``.

    Returns
    -------
    str

    Example
    -------
    >>> label_set({"label_set": "valence", "labels": ["negative", "positive"]})
    'label set valence (negative, positive)'
    """
    return f"label set {run['label_set']} ({', '.join(run['labels'])})"


def group_runs(runs: Iterable[Mapping], purpose: str = "result") -> list[Group]:
    """Put runs together that may stand in one table, and refuse others.

    Arguments
    ---------
    runs : iterable of mapping
        From ``find_runs``.
    purpose : str
        ``result``, or ``tuning`` for the runs that hyperparameters were chosen by.

    Returns
    -------
    list of Group
        In the paper's order, then by name.

    Raises
    ------
    UserError
        If runs differ in labels, data, protocol, budget or options, or runs of one
        system in its definition (it names in what), if a seed is there twice, or if
        hyperparameters were tuned on a target.
    """
    runs = list(runs)
    by_purpose = defaultdict(list)
    for run in runs:
        by_purpose[run.get("purpose", "result")].append(run)
    _refuse_tuned_targets(by_purpose)
    chosen = by_purpose[purpose]
    if not chosen:
        raise UserError(f"no finished run whose purpose is {purpose} among these")
    _require_one_label_set(chosen)
    _require_one_meaning(chosen)
    cells = defaultdict(lambda: defaultdict(list))
    for run in chosen:
        setting = Setting(
            *(tuple(run["setting"][key]) for key in ("source", "non_target")),
            run["setting"]["target"],
        )
        key = setting, run["encoder"]["name"], bool(run.get("standin"))
        cells[key][run["system"]].append(run)
    groups = []
    for (setting, encoder, standin), systems in cells.items():
        ordered = {
            name: sorted(systems[name], key=lambda run: run["seed"])
            for name in in_order(systems)
        }
        groups.append(Group(setting, encoder, standin, ordered))
    order = {setting: place for place, setting in enumerate(PAPER_SETTINGS.values())}
    groups.sort(
        key=lambda g: (g.encoder, g.standin, order.get(g.setting, 99), g.setting.name)
    )
    for group in groups:
        _require_one_protocol(group)
    for encoder in {group.encoder for group in groups}:
        own = [group for group in groups if group.encoder == encoder]
        _require_one_budget([run for group in own for run in group.runs])
    return groups


def _require_one_label_set(runs: Sequence[Mapping]) -> None:
    first = runs[0]
    for run in runs:
        if run["labels"] != first["labels"]:
            raise UserError(
                f"{run['folder']} has {label_set(run)}, {first['folder']} "
                f"{label_set(first)}: put them in folders of their own"
            )


def _require_one_meaning(runs: Sequence[Mapping]) -> None:
    """A metric of one's own is one function in all runs."""
    known: dict[str, Mapping] = {}
    for run in runs:
        for name, function in run["metrics"].items():
            first = known.setdefault(name, run)
            if function != first["metrics"][name]:
                raise UserError(
                    f"the metric {name} is {function} in {run['folder']}, "
                    f"{first['metrics'][name]} in {first['folder']}: name one otherwise"
                )


def _refuse_tuned_targets(by_purpose: Mapping[str, Sequence[Mapping]]) -> None:
    targets = {
        purpose: {run["setting"]["target"]: run["folder"] for run in runs}
        for purpose, runs in by_purpose.items()
    }
    both = sorted({*targets.get("result", {})} & {*targets.get("tuning", {})})
    if both:
        raise UserError(
            f"hyperparameters were tuned on {both[0]} ({targets['tuning'][both[0]]}), "
            "which is a target of these results: tune on a language that is never one"
        )


def _require_one_protocol(group: Group) -> None:
    """All seeds of a system had one plan; all systems, the same corpora and test set."""
    manifests: dict[tuple[str, bool], tuple[str, Path]] = {}
    tested = None
    for system, runs in group.systems.items():
        first = runs[0]
        seeds = [run["seed"] for run in runs]
        if len(set(seeds)) < len(seeds):
            twice = next(seed for seed in seeds if seeds.count(seed) > 1)
            folders = [str(r["folder"]) for r in runs if r["seed"] == twice]
            raise UserError(
                f"seed {twice} of {system} is there twice ({' and '.join(folders)}): "
                "give the folder of one of them"
            )
        for run in runs:
            if run["protocol_sha256"] != first["protocol_sha256"]:
                raise UserError(
                    f"{run['folder']} and {first['folder']} had different plans (other "
                    "splits or utterances): put them in folders of their own"
                )
            told, others = run.get("audio_sha256"), first.get("audio_sha256")
            if told and others and told != others:
                raise UserError(
                    f"{run['folder']} and {first['folder']} heard different recordings of "
                    "one plan: put them in folders of their own"
                )
            # Manifests of earlier versions said less; the plans are compared above.
            version = "audio_sha256" in run, run.get("manifest_schema")
            for name, digest in run.get("manifest_sha256", {}).items():
                key = name, version
                known, where = manifests.setdefault(key, (digest, run["folder"]))
                if known != digest:
                    raise UserError(
                        f"{run['folder']} and {where} had different manifests of {name}"
                        ": put them in folders of their own"
                    )
            counted = run["target_test"]["n"]
            tested = tested or (counted, run["folder"])
            if counted != tested[0]:
                raise UserError(
                    f"{run['folder']} tested {counted} utterances, {tested[1]} "
                    f"{tested[0]}: put them in folders of their own"
                )


def _require_one_budget(runs: Sequence[Mapping]) -> None:
    """All runs had the same hyperparameters and options, but for their systems' own."""
    first: dict[str | None, tuple[dict, Path]] = {}
    for run in runs:
        values = _decisive(run)
        if values is None:
            continue
        own = {key: values.pop(key) for key in [*values] if key.startswith(SYSTEM)}
        for name, found, advice in (
            (None, values, "put them in folders of their own"),
            (run["system"], own, f"call one of them other than {run['system']}"),
        ):
            others, folder = first.setdefault(name, (found, run["folder"]))
            changed = [
                f"{key} {found.get(key)} and {others.get(key)}"
                for key in {**others, **found}
                if found.get(key) != others.get(key)
            ]
            if changed:
                raise UserError(
                    f"{run['folder']} and {folder} differ in {', '.join(changed[:3])}: "
                    f"{advice}"
                )


def _decisive(run: Mapping) -> dict | None:
    """What decided on a run's result, but for what a table is about."""
    identity = artefacts.read_identity(run["folder"])
    if identity is None:
        return None
    values = {**identity["hparams"], **identity["options"]}
    if run["encoder"].get("adapted_on"):
        # To each run's own corpora, and so in a folder of its own.
        values["model.encoder_source"] = "adapted before"
    return {
        key: value
        for key, value in values.items()
        if key not in FREE and not key.startswith(METRICS)
    }
