"""Several runs as one model: one encoder, all their heads, the mean of what they say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax

from data_prep.errors import UserError
from xser_brain.adaptation.linear import Linear
from xser_brain.evaluation import embeddings as kept
from xser_brain.evaluation.finished import Finished
from xser_brain.evaluation.summary import summarise
from xser_brain.head import JoinedHead
from xser_brain.inference.loading import load
from xser_brain.inference.model import EmotionModel
from xser_brain.models.export import calibrate, export

LEAST = 5e-7  # of a probability: predictions.csv has six digits


def join(
    runs: Sequence[Path],
    folder: Path,
    encoder_source: str | None = None,
    whole: bool = False,
) -> dict:
    """Write one model of several runs: the mean of their calibrated log-probabilities.

    They may pool frames in different ways.

    As all classifiers are linear, that is one classifier of all embeddings side by side:
    it costs what one of them costs, as the encoder is one.

    Arguments
    ---------
    runs : sequence of Path
        Folders of finished zero-shot runs of one target and one frozen encoder.
    folder : Path
        Where to; a model that is there is replaced.
    encoder_source : str, optional
        Where the pretrained encoder is, if it has moved since training.
    whole : bool
        Whether it is written, too.

    Returns
    -------
    dict
        What run.json would say of it: ``target_test``, ``target_all``, ``calibration``.

    Raises
    ------
    UserError
        If the runs do not belong together.
    """
    if len(runs) < 2:
        raise UserError("one run is no ensemble: name at least two")
    finished = [Finished.read(run) for run in runs]
    loaded = [load(Path(run) / "model", encoder_source) for run in runs]
    models = [model for model, _ in loaded]
    _require_together(finished, loaded)
    target = _mean([_shares(run) for run in finished])
    calibration = calibrate(
        _validation(finished, models),
        {"probabilities": target, "emotions": finished[0].classes()},
    )
    heard = [run.record["audit"]["training"] for run in finished]
    record = {
        **finished[0].record,
        "system": "ensemble",
        "audit": {
            "training": {
                name: sorted({value for one in heard for value in one[name]})
                for name in ("corpora", "languages")
            }
        },
        "calibration": calibration,
        **_figures(finished[0], target.argmax(-1)),
    }
    export(folder, _joined(models, calibration["temperature"]), whole, record)
    return record


def _require_together(
    finished: Sequence[Finished], loaded: Sequence[tuple[EmotionModel, dict]]
) -> None:
    """Refuse runs whose mean would be of different things."""
    first = finished[0]
    ids = [row["ID"] for row in first.rows]
    encoder = _named(loaded[0][1])
    widest = max((model.encoder for model, _ in loaded), key=lambda one: one.vectors)
    for run, (model, config) in zip(finished, loaded, strict=True):
        for what, wrong in (
            ("is scored on other utterances", [row["ID"] for row in run.rows] != ids),
            ("has other labels", run.labels != first.labels),
            ("has another encoder, or reads it otherwise", _named(config) != encoder),
            ("has an encoder that was trained", model.encoder.trained_state()),
            ("pools otherwise", not _within(model.encoder.poolings, widest.poolings)),
        ):
            if wrong:
                raise UserError(
                    f"{run.folder} {what} (the first is {first.folder}): an ensemble is "
                    "of runs of one target and one frozen encoder"
                )


def _named(config: dict) -> dict:
    """What an encoder is, wherever it lies and however its frames are pooled."""
    encoder = {
        name: value
        for name, value in config["encoder"].items()
        if name not in ("source", "included")
    }
    options = {k: v for k, v in encoder["options"].items() if k != "pooling"}
    return {**encoder, "options": options}


def _within(some: Sequence[str], all_of_them: Sequence[str]) -> bool:
    """Whether ways of pooling stand one after the other among others."""
    count = len(some)
    starts = range(len(all_of_them) - count + 1)
    return any(tuple(all_of_them[at : at + count]) == tuple(some) for at in starts)


def _mean(log_shares: Sequence[np.ndarray]) -> np.ndarray:
    """The probabilities whose logarithms are, up to a constant, the mean of these."""
    return np.exp(log_softmax(np.mean(log_shares, axis=0), axis=-1))


def _shares(run: Finished) -> np.ndarray:
    """(utterances, classes) log-probabilities of what a run has predicted."""
    columns = [f"p_{label}" for label in run.labels]
    shares = [[float(row[column]) for column in columns] for row in run.rows]
    return np.log(np.maximum(shares, LEAST))


def _validation(finished: Sequence[Finished], models: Sequence[EmotionModel]) -> dict:
    """What all together say of the validation part, and what is true."""
    parts = [
        kept.of_part(run.folder, "valid", model.classifier.in_features)
        for run, model in zip(finished, models, strict=True)
    ]
    ids = sorted(parts[0])
    for run, part in zip(finished, parts, strict=True):
        if sorted(part) != ids:
            raise UserError(
                f"{run.folder} was validated on other utterances than "
                f"{finished[0].folder}: an ensemble is of runs of one protocol"
            )
    said = [
        Linear.of(model).log_posteriors(np.array([part[name][1] for name in ids]))
        for part, model in zip(parts, models, strict=True)
    ]
    labels = finished[0].labels
    true = [labels.index(parts[0][name][0]) for name in ids]
    return {"probabilities": _mean(said), "emotions": np.array(true)}


def _figures(run: Finished, predicted: np.ndarray) -> dict:
    """Scores of the test part and, if there is more, of the whole corpus."""
    true, speakers = run.classes(), run.speakers
    parts = {"target_test": [row["subset"] == "test" for row in run.rows]}
    parts["target_all"] = [True] * len(run.rows)
    figures = {
        name: summarise(
            true[own], predicted[own], list(np.array(speakers)[own]), run.labels
        )
        for name, own in ((name, np.array(own)) for name, own in parts.items())
    }
    if all(parts["target_test"]):
        figures["target_all"] = None
    return figures


def _joined(models: Sequence[EmotionModel], temperature: float) -> EmotionModel:
    """One encoder and all heads, under the mean of the classifiers."""
    linear = [Linear.of(model) for model in models]
    weight = np.concatenate([one.weight for one in linear], axis=1) / len(models)
    bias = np.mean([one.bias for one in linear], axis=0)
    encoder = max((model.encoder for model in models), key=lambda one: one.vectors)
    takes = [
        (encoder.poolings.index(own.poolings[0]) * own.layers, own.vectors)
        for own in (model.encoder for model in models)
    ]
    head = JoinedHead([model.head for model in models], takes)
    classifier = torch.nn.Linear(head.width, len(bias)).requires_grad_(False)
    classifier.weight.copy_(torch.from_numpy(weight))
    classifier.bias.copy_(torch.from_numpy(bias))
    statistics = [model.statistics for model in models]
    known = all(values is not None for values in statistics)
    return EmotionModel(
        encoder,
        head,
        classifier,
        temperature,
        torch.cat(statistics, dim=1) if known else None,
    )
