"""Score a finished run when unlabelled recordings of its target may be heard.

What is written, ``transductive.json``, never touches run.json, whose figures are strict
zero-shot.
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep import manifest
from data_prep.errors import UserError
from data_prep.manifest import Row, write_atomic
from data_prep.outside import inside
from xser_brain import artefacts
from xser_brain.adaptation import ADAPTED, PROTOCOLS
from xser_brain.adaptation.linear import Linear
from xser_brain.adaptation.running import SHRINKAGE
from xser_brain.adaptation.self_training import ROUNDS, SHARE, STRENGTH
from xser_brain.evaluation import unlabelled
from xser_brain.evaluation.curve import Curve, gain
from xser_brain.evaluation.finished import Finished
from xser_brain.evaluation.summary import summarise
from xser_brain.inference.classifier import Classifier, Embedded
from xser_brain.yaml_text import read_yaml

NAME = "transductive.json"
SCHEMA = 2
ORDER = 0  # seed of the order in which running statistics hear the target
WHOLE, HEARD, MIXED = "protocols", "heard_before", "mixture"
DOMINANT = "neutral"


def score_run(
    folder: str | Path,
    adapt: Sequence[str] = tuple(PROTOCOLS),
    data_root: str | Path | None = None,
    progress: bool = False,
    **options,
) -> tuple[dict, dict[str, Curve]]:
    """Adapt to a run's target, score, and write ``transductive.json``.

    What is heard are all recordings of the target, also those whose label is not among
    the model's: leaving them out would need their labels.

    Arguments
    ---------
    folder : path
        A finished zero-shot run with its ``model/``.
    adapt : sequence of str
        Some of ``xser_brain.adaptation.PROTOCOLS``.
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
        with paired intervals; and by number of utterances heard before, and by the share
        of one emotion among these, the figures of the whole target.
    dict of str to Curve
        ``protocols``, ``heard_before`` and ``mixture``, of the whole target.

    Raises
    ------
    UserError
        If the run is not finished, was trained on the target, or its target's audio or
        manifest is not there or has changed.
    """
    run = Finished.read(folder)
    root, rows = _recordings(run, data_root)
    paths = {str(inside(root, row.path(root))): row for row in rows}
    classifier = Classifier.from_pretrained(run.folder / "model", **options)
    embedded = list(classifier.embed_pieces([*paths], progress=progress))
    predicted = {by: predict(classifier, embedded, by, paths) for by in adapt}
    curves = _curves(run, classifier, embedded, paths, predicted)
    written = {
        "schema": SCHEMA,
        "protocol": ADAPTED,
        **run.about(),
        "target": run.target,
        "statistics": {
            "utterances": len(rows),
            "speakers": len({row.speaker for row in rows}),
        },
        "options": {
            "shrinkage": SHRINKAGE,
            "self_training": {
                "rounds": ROUNDS, "share": SHARE, "strength": STRENGTH
            },
            "draws": unlabelled.DRAWS,
            "draw_seed": unlabelled.SEED,
            "order_seed": ORDER,
            "mixture": {"utterances": unlabelled.MIXTURE, "emotion": dominant(run)},
        },
        "strict": curves[WHOLE].without(),
        "protocols": {
            PROTOCOLS[by]: _figures(run, found) for by, found in predicted.items()
        },
        HEARD: [
            {"utterances": int(x), "protocol": PROTOCOLS["running"], **point}
            for x, point in curves[HEARD].points().items()
        ],
        MIXED: [
            {"percent": int(x), "protocol": PROTOCOLS["running"], **point}
            for x, point in curves[MIXED].points().items()
        ],
    }  # fmt: skip
    text = json.dumps(written, indent=1) + "\n"
    write_atomic(run.folder / NAME, text.encode())
    return written, curves


def dominant(run: Finished) -> str:
    """The emotion that most of a one-sided mixture is of: neutral, if it is a label."""
    return DOMINANT if DOMINANT in run.labels else run.labels[0]


def predict(
    classifier: Classifier,
    embedded: Sequence[Embedded],
    by: str,
    rows: Mapping[str, Row],
) -> dict[str, str]:
    """What each utterance is called after adaptation to all; no label is read.

    Arguments
    ---------
    classifier : Classifier
        The run's.
    embedded : sequence of Embedded
        From ``Classifier.embed``, of all recordings.
    by : str
        One of ``PROTOCOLS``. Running statistics hear them in a random order.
    rows : mapping of str to Row
        By path.

    Returns
    -------
    dict of str to str
        Labels by utterance ID.
    """
    if by == "running":
        _, groups = zip(*_recorded(embedded), strict=True)
        order = np.random.default_rng(ORDER).permutation(len(groups))
        embedded = list(itertools.chain.from_iterable(groups[i] for i in order))
    found = {}
    for result in classifier.classify_embedded(
        embedded, by, lambda path: rows[path].speaker
    ):
        if result.error:
            raise UserError(f"{result.path} {result.error}: restore it from the corpus")
        found[rows[result.path].ID] = result.predicted
    return found


def _recorded(embedded: Iterable[Embedded]) -> Iterable[tuple[str, list[Embedded]]]:
    """The name of each recording, and its items."""
    for _, own in itertools.groupby(embedded, key=lambda item: item.number):
        items = list(own)
        yield items[0].recording.name, items


def _recordings(run: Finished, data_root: str | Path | None) -> tuple[Path, list[Row]]:
    """Where the corpora lie, and all utterances of the target that have audio."""
    settings = _settings(run.folder)
    above = run.folder.resolve().parents[3]
    manifests = Path(settings.get("manifests") or above / "manifests")
    root = Path(data_root or settings.get("data_root") or above / "standins").absolute()
    path = manifests / f"{run.target}.csv"
    sidecar = manifest.read_sidecar(path)
    if sidecar["sha256"] != run.record["manifest_sha256"][run.target]:
        raise UserError(f"{path} is not the manifest that {run.folder} was scored with")
    return root, [row for row in manifest.read(path) if row.has_audio]


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


def _curves(
    run: Finished,
    classifier: Classifier,
    embedded: Sequence[Embedded],
    paths: Mapping[str, Row],
    predicted: Mapping[str, Mapping[str, str]],
) -> dict[str, Curve]:
    """Of the whole target: each protocol, and what more or other utterances bring."""
    ids, embeddings = [], []
    for name, items in _recorded(embedded):
        ids.append(paths[name].ID)
        # Of what is cut into windows, the mean.
        pieces = [item.embedding for item in items if item.embedding is not None]
        embeddings.append(np.mean(pieces, axis=0))
    place = {name: position for position, name in enumerate(ids)}
    tested = np.array([place[row["ID"]] for row in run.rows])
    true, labels = run.classes(), run.labels
    given = (
        Linear.of(classifier.model),
        classifier.model.statistics.cpu().numpy(),
    )
    found = {
        WHOLE: {
            PROTOCOLS[by]: [[labels.index(named[row["ID"]]) for row in run.rows]]
            for by, named in predicted.items()
        },
        HEARD: unlabelled.heard_before(np.array(embeddings), tested, *given),
        MIXED: unlabelled.mixtures(
            np.array(embeddings), tested, true, labels.index(dominant(run)), *given
        ),
    }
    return {
        name: Curve(
            ADAPTED if name == WHOLE else PROTOCOLS["running"],
            [row["ID"] for row in run.rows],
            run.speakers,
            true,
            run.classes("predicted")[None],
            {x: np.array([rows]) for x, rows in points.items()},
            len(labels),
        )
        for name, points in found.items()
    }


def _figures(run: Finished, predicted: Mapping[str, str]) -> dict:
    """Figures as in run.json, and the gain, for the same utterances."""
    test = np.array([row["subset"] == "test" for row in run.rows])
    true, before = run.classes(), run.classes("predicted")
    after = np.array([run.labels.index(predicted[row["ID"]]) for row in run.rows])
    speakers = np.array(run.speakers)
    figures = {}
    for part, own in (("target_test", test), ("target_all", np.ones_like(test))):
        if not own.any() or (part == "target_all" and test.all()):
            figures[part] = None
            continue
        figures[part] = {
            **summarise(true[own], after[own], speakers[own], run.labels),
            "gain": gain(true[own], before[own], after[own], speakers[own]),
        }
    return figures
