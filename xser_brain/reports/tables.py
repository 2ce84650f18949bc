"""Tables of results, from the artefacts of runs and nothing else."""

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS, write_atomic
from xser_brain.metrics import confusion_matrix, macro_f1, uar
from xser_brain.protocol import SYSTEMS
from xser_brain.statistics import bootstrap_confusions_by_speaker, percentile_interval

BEGIN, END = "<!-- xser tables -->", "<!-- end of xser tables -->"
BOOTSTRAP_SAMPLES = 10_000
FEW_SPEAKERS = 5  # of fewer, resampling speakers gives no interval worth the name


def find_runs(results: Path) -> list[dict]:
    """Read the run.json of every finished run below a folder.

    Arguments
    ---------
    results : Path
        Searched all through.

    Returns
    -------
    list of dict
        With ``folder`` added, in the order of their paths.

    Raises
    ------
    UserError
        If there is none, or one cannot be read.
    """
    runs = []
    for path in sorted(Path(results).rglob("run.json")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            run["system"], run["seed"], run["setting"]["target"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is not a whole run.json: delete it and train that run again"
            ) from error
        runs.append({**run, "folder": path.parent})
    if not runs:
        raise UserError(f"no finished run below {results}: train one first")
    return runs


def clustered_confusions(run: dict, subset: str) -> np.ndarray:
    """Confusions of a run's predictions, one a speaker, or one an utterance.

    What is to be resampled: speakers, unless there are fewer than ``FEW_SPEAKERS``.

    Arguments
    ---------
    run : dict
        From ``find_runs``.
    subset : str
        ``target_test`` or ``target_all``.

    Returns
    -------
    (clusters, classes, classes) numpy.ndarray
    """
    path = run["folder"] / "predictions.csv"
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise UserError(f"{path} is missing: train that run again") from error
    if subset == "target_test":
        rows = [row for row in rows if row["subset"] == "test"]
    few = len({row["speaker"] for row in rows}) < FEW_SPEAKERS
    clusters = defaultdict(list)
    for row in rows:
        labels = (EMOTIONS.index(row["emotion"]), EMOTIONS.index(row["predicted"]))
        clusters[row["ID" if few else "speaker"]].append(labels)
    return np.stack(
        [
            confusion_matrix(*zip(*clusters[name], strict=True), len(EMOTIONS))
            for name in sorted(clusters)
        ]
    )


def cell(runs: list[dict], subset: str) -> str:
    """One system's UAR and macro-F1 over seeds, with the interval of the mean UAR.

    The interval resamples speakers (utterances, where there are fewer than five
    speakers), the same for all seeds, and takes the mean over seeds in each resample.

    Arguments
    ---------
    runs : list of dict
        One a seed.
    subset : str
        ``target_test`` or ``target_all``.

    Returns
    -------
    str
        ``UAR ± s [low, high] / macro-F1``, in percent.
    """
    confusions = [clustered_confusions(run, subset) for run in runs]
    uars = np.array([uar(item.sum(0)) for item in confusions])
    f1s = np.array([macro_f1(item.sum(0)) for item in confusions])
    resampled = np.mean(
        [
            uar(bootstrap_confusions_by_speaker(item, BOOTSTRAP_SAMPLES, seed=0))
            for item in confusions
        ],
        axis=0,
    )
    low, high = percentile_interval(resampled)
    spread = f" ± {uars.std(ddof=1):.1f}" if len(uars) > 1 else ""
    return f"{uars.mean():.1f}{spread} [{low:.1f}, {high:.1f}] / {f1s.mean():.1f}"


def results_table(results: Path) -> str:
    """A Markdown table for every setting and encoder below a folder.

    Arguments
    ---------
    results : Path
        Searched all through.

    Returns
    -------
    str

    Raises
    ------
    UserError
        If there is no run, or runs of one cell had different plans.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for run in find_runs(results):
        setting = run["setting"]
        title = (
            f"{', '.join(setting['source'])} (+ {', '.join(setting['non_target'])}) → "
            f"{setting['target']}, {run['encoder']['name']}"
            + (", synthetic stand-ins" if run["standin"] else "")
        )
        groups[title][run["system"]].append(run)
    parts = []
    for title, systems in sorted(groups.items()):
        lines = [
            f"**{title}**",
            "",
            "| system | seeds | target test part | n | whole target | n |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for name in SYSTEMS:
            if name not in systems:
                continue
            runs = systems[name]
            plans = {(r["protocol_sha256"], r["hparams_sha256"]) for r in runs}
            if len(plans) > 1:
                raise UserError(
                    f"runs of {name} in {title} had different plans "
                    f"({runs[0]['folder']}, ...): put them in folders of their own"
                )
            columns = [name, str(len(runs))]
            for subset in ("target_test", "target_all"):
                if runs[0][subset] is None:
                    columns += ["heard in training", ""]
                else:
                    columns += [cell(runs, subset), str(runs[0][subset]["n"])]
            lines.append(f"| {' | '.join(columns)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def update_document(path: Path, table: str) -> None:
    """Put a table between the marks of a document.

    Arguments
    ---------
    path : Path
        A Markdown file with the lines ``BEGIN`` and ``END``.
    table : str
        What to put between them.

    Raises
    ------
    UserError
        If the file is missing or has no such lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} has no lines {BEGIN} and {END}: add them") from error
    write_atomic(path, f"{before}{BEGIN}\n{table}\n{END}{after}".encode())
