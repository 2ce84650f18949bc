"""Score a finished run again under another protocol, beside its zero-shot figures.

What is written, ``transductive.json``, never touches run.json.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep import manifest
from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.outside import inside
from xser_brain import artefacts
from xser_brain.adaptation import PROTOCOLS
from xser_brain.evaluation.metrics import uar
from xser_brain.evaluation.significance import Comparison, compare
from xser_brain.evaluation.summary import summarise
from xser_brain.inference.classifier import Classifier
from xser_brain.yaml_text import read_yaml

NAME = "transductive.json"
SCHEMA = 1


def score_run(
    folder: str | Path,
    normalise: Sequence[str] = tuple(PROTOCOLS),
    data_root: str | Path | None = None,
    progress: bool = False,
    **options,
) -> dict:
    """Normalise by a run's target corpus, score, and write ``transductive.json``.

    The statistics are those of all recordings of the target, also of those whose label
    is not among the model's: leaving them out would need their labels.

    Arguments
    ---------
    folder : path
        A finished zero-shot run with its ``model/``.
    normalise : sequence of str
        ``corpus``, ``speaker`` or both.
    data_root : path, optional
        Folder of the corpora, if they have moved since training.
    progress : bool
        Whether to show a progress bar.
    **options
        For ``Classifier.from_pretrained``.

    Returns
    -------
    dict
        What was written: by protocol the figures of the target's test part and of the
        whole target as in run.json, and ``gain``, the difference in UAR to zero-shot
        with paired intervals.

    Raises
    ------
    UserError
        If the run is not finished, was trained on the target, or its target's audio or
        manifest is not there or has changed.
    """
    folder = Path(folder)
    if not (folder / artefacts.RUN).is_file():
        raise UserError(f"{folder} holds no finished run: pass the folder of one")
    record = artefacts.read_run(folder)
    if not record["zero_shot"]:
        raise UserError(
            f"{folder} was trained on its target: there is nothing to adapt"
        )
    target = artefacts.part_of_path(record["setting"]["target"])
    labels = record["target_test"]["labels"]
    scored = artefacts.read_predictions(folder, labels)
    settings = _settings(folder)
    above = folder.resolve().parents[3]
    manifests = Path(settings.get("manifests") or above / "manifests")
    root = data_root or settings.get("data_root") or above / "standins"
    sidecar = manifest.read_sidecar(manifests / f"{target}.csv")
    if sidecar["sha256"] != record["manifest_sha256"][target]:
        raise UserError(
            f"{manifests / target}.csv is not the manifest that {folder} was scored with"
        )
    rows = [r for r in manifest.read(manifests / f"{target}.csv") if r.has_audio]
    paths = {str(inside(Path(root), row.path(root))): row for row in rows}
    classifier = Classifier.from_pretrained(folder / "model", **options)
    embedded = list(classifier.embed([*paths], progress=progress))
    written = {
        "schema": SCHEMA,
        "target": target,
        "statistics": {
            "utterances": len(rows),
            "speakers": len({row.speaker for row in rows}),
        },
        "protocols": {},
    }
    for by in normalise:
        results = classifier.classify_embedded(
            embedded, by, lambda path: paths[path].speaker
        )
        predicted = {}
        for result in results:
            if result.error:
                raise UserError(
                    f"{result.path} {result.error}: restore it from the corpus"
                )
            predicted[paths[result.path].ID] = result.predicted
        written["protocols"][PROTOCOLS[by]] = _figures(scored, predicted, labels)
    text = json.dumps(written, indent=1) + "\n"
    write_atomic(folder / NAME, text.encode())
    return written


def _settings(folder: Path) -> dict[str, str]:
    """Where a run's manifests and corpora lay."""
    path = artefacts.find_file(folder, "hyperparams.yaml")
    found = read_yaml(path, "the recipe of a run", artefacts.MEND).get("run")
    found = found if isinstance(found, dict) else {}
    return {
        name: found[name]
        for name in ("manifests", "data_root")
        if isinstance(found.get(name), str) and "\0" not in found[name]
    }


def _figures(
    scored: Sequence[Mapping], predicted: Mapping[str, str], labels: Sequence[str]
) -> dict:
    """Figures as in run.json, and the gain, for the same utterances."""
    parts = {"target_test": [row for row in scored if row["subset"] == "test"]}
    parts["target_all"] = scored if len(parts["target_test"]) < len(scored) else []
    figures = {}
    for part, rows in parts.items():
        if not rows:
            figures[part] = None
            continue
        true, before = (
            np.array([labels.index(row[key]) for row in rows])
            for key in ("emotion", "predicted")
        )
        after = np.array([labels.index(predicted[row["ID"]]) for row in rows])
        speakers = [row["speaker"] for row in rows]
        figures[part] = summarise(true, after, speakers, labels)
        figures[part]["gain"] = gain(true, before, after, speakers)
    return figures


def gain(
    true: np.ndarray, before: np.ndarray, after: np.ndarray, speakers: Sequence[str]
) -> dict:
    """By how much UAR rises, in points: ``uar``, ``ci95`` and ``ci95_speaker``.

    The paired intervals are over utterances and over speakers; None with too few of
    them.

    Example
    -------
    >>> true = np.array([0, 0, 1, 1])
    >>> gain(true, np.array([0, 1, 1, 0]), true, list("abab"))["uar"]
    50.0
    """
    utterances, voices = (
        compare(true, after, before, uar, clusters) for clusters in (None, speakers)
    )
    return {
        "uar": utterances.difference,
        "ci95": _bounds(utterances),
        "ci95_speaker": _bounds(voices),
    }


def _bounds(comparison: Comparison) -> list[float] | None:
    return None if comparison.low is None else [comparison.low, comparison.high]
