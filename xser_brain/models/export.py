"""What a run leaves for others: ``model/``, which loads without the run.

``model.safetensors`` holds what was trained; the pretrained encoder is named, with its
revision and the hash of its weights, or is in ``encoder/``. ``config.json`` is all that
is needed to build the model, ``README.md`` its card, and with ``hyperparams.yaml``
SpeechBrain's ``EncoderClassifier.from_hparams`` loads the same model.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import safetensors.torch
import torch

from data_prep.audio import SAMPLE_RATE
from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.outside import printable
from xser_brain.adaptation.statistics import statistics
from xser_brain.encoders import Encoder
from xser_brain.encoders.weights import INSIDE, locate, write_encoder
from xser_brain.inference import config as schema
from xser_brain.inference.calibration import (
    THRESHOLD,
    expected_calibration_error,
    fit_temperature,
    temper,
)
from xser_brain.inference.loading import identify, load
from xser_brain.inference.model import EmotionModel
from xser_brain.models.card import card

logger = logging.getLogger(__name__)
UNFINISHED = ".unfinished"
HYPERPARAMS = """\
# For SpeechBrain, with xser-brain installed:
#   from speechbrain.inference.classifiers import EncoderClassifier
#   classifier = EncoderClassifier.from_hparams(source=<this folder>)
# What the model is made of stands in config.json; no weight is loaded by this file.
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
audio_normalizer: !new:xser_brain.inference.interface.Normaliser
compute_features: !new:torch.nn.Identity
mean_var_norm: !new:xser_brain.inference.interface.PassOn
embedding_model: !new:xser_brain.inference.interface.Embedding
classifier: !new:xser_brain.inference.interface.Posteriors

modules:
  compute_features: !ref <compute_features>
  mean_var_norm: !ref <mean_var_norm>
  embedding_model: !ref <embedding_model>
  classifier: !ref <classifier>

pretrainer: !new:xser_brain.inference.interface.FolderPretrainer
  embedding_model: !ref <embedding_model>
  classifier: !ref <classifier>
  label_encoder: !ref <label_encoder>
"""


def calibrate(valid: Mapping, target: Mapping) -> dict:
    """Fit a temperature on the validation parts, and say how far off confidence is.

    Both are ``probabilities`` and ``emotions`` of ``XSERBrain.predict``; the target is
    only reported on. For run.json; calibration errors in percent.
    """
    temperature = fit_temperature(valid["probabilities"], valid["emotions"])
    facts = {"temperature": temperature, "threshold": THRESHOLD}
    for part, outputs in (("valid", valid), ("target", target)):
        before, true = outputs["probabilities"], outputs["emotions"]
        after = temper(before, temperature)
        facts[f"ece_{part}_before"] = expected_calibration_error(before, true)
        facts[f"ece_{part}_after"] = expected_calibration_error(after, true)
    return facts


def collect(
    encoder: Encoder,
    modules: Mapping[str, torch.nn.Module],
    temperature: float,
    training: Mapping | None = None,
) -> EmotionModel:
    """Put the trained parts of a run, at its best checkpoint, together.

    ``encoder`` is the run's even if only cached features were read, and ``modules`` has
    ``head`` and ``classifier``. ``training`` holds the ``embeddings`` of training
    utterances, as ``XSERBrain.predict`` gives them.
    """
    head, classifier = (
        getattr(modules[name], "module", modules[name])
        for name in ("head", "classifier")
    )
    held = torch.from_numpy(statistics(training["embeddings"])) if training else None
    return EmotionModel(encoder, head, classifier, temperature, held)


def export(
    folder: Path,
    model: EmotionModel,
    whole: bool,
    record: dict,
) -> None:
    """Write a model's folder, with its pretrained encoder if ``whole``, or nothing.

    An older folder is replaced; ``record`` is what run.json holds. A model that cannot
    be exported is reported in the log; UserError if the folder cannot be written.
    """
    try:
        config = _config(model, record)
        schema.check(config, "this run")
    except UserError as error:  # a model that cannot be exported still has its run
        logger.warning("no %s is written: %s", folder, error)
        return
    pretrained = located(folder, config["encoder"]) if whole else None
    write(folder, config, model.trained(), pretrained)


def _config(model: EmotionModel, record: dict) -> dict:
    corpora = record["audit"]["training"]["corpora"]
    licences = record.get("licences", {})
    config = {
        "schema": schema.SCHEMA,
        "labels": record["labels"],
        "sample_rate": SAMPLE_RATE,
        "encoder": model.encoder.describe(),
        **model.head.describe(),
        "statistics": model.statistics is not None,
        "calibration": record["calibration"],
        "training": {
            "system": record["system"],
            "seed": record["seed"],
            "corpora": corpora,
            # As imported corpora say them: the registry does not know those.
            "licences": {
                name: printable(" ".join(licences[name].split()))[
                    : schema.LONGEST_LICENCE
                ]
                for name in corpora
                if licences.get(name)
            },
            "languages": record["audit"]["training"]["languages"],
            "utterances": record["counts"]["train"],
            "speakers": record["counts"]["speakers"],
            "standin": record["standin"],
        },
        "result": {
            "protocol": "zero-shot" if record["zero_shot"] else "trained on the target",
            "target": record["setting"]["target"],
            "language": record["setting"]["languages"]["target"],
            "test": record["target_test"],
            "all": record["target_all"],
        },
        "versions": {name: version(name) for name in ("xser-brain", "torch")},
    }
    return json.loads(json.dumps(config, allow_nan=False))


def bundle(source: Path, folder: Path, encoder_source: str | None = None) -> None:
    """Copy an exported model together with its pretrained encoder.

    Replaces the folder if it exists; ``encoder_source`` is where the encoder is now, if
    it has moved since training.
    """
    _, config = load(source, encoder_source)
    tensors = safetensors.torch.load_file(source / schema.WEIGHTS)
    pretrained = located(source, config["encoder"], encoder_source)
    write(folder, config, tensors, pretrained)


def located(
    folder: Path, description: dict, encoder_source: str | None = None
) -> Path | None:
    """The pretrained encoder of an exported model; None if all of it is in the model.

    ``encoder_source`` is where it is now, if it has moved since training.
    """
    if "source" not in description:
        return None
    return locate(description, folder, encoder_source)


def write(
    folder: Path,
    config: dict,
    tensors: Mapping[str, torch.Tensor],
    pretrained: Path | None = None,
    **published: str,
) -> None:
    """Write a model's files; those of an old model in the folder go.

    Arguments
    ---------
    folder : Path
        Where to; UserError if it cannot be written to.
    config : dict
        For ``config.json``; hashes, and whether the encoder is in it, are set here.
    tensors : mapping of str to torch.Tensor
        What was trained.
    pretrained : Path, optional
        Of the encoder to put in.
    **published
        For the card: see ``xser_brain.models.card.card``.
    """
    temporary = folder.with_name(folder.name + UNFINISHED)
    shutil.rmtree(temporary, ignore_errors=True)
    data = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    )
    write_atomic(temporary / schema.WEIGHTS, data)
    if "source" in config["encoder"]:
        config["encoder"]["included"] = pretrained is not None
    if pretrained:
        write_encoder(pretrained, temporary / INSIDE)
    config["files"] = {
        path.relative_to(temporary).as_posix(): identify(path)
        for path in sorted(temporary.rglob("*"))
        if path.is_file()
    }
    config["sha256"] = schema.digest(config)
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    write_atomic(temporary / "hyperparams.yaml", HYPERPARAMS.encode())
    write_atomic(temporary / "README.md", card(config, **published).encode())
    write_atomic(temporary / schema.NAME, text.encode())
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
