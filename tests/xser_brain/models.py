"""Small models with random weights, exported as a run exports its own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from data_prep.manifest import EMOTIONS
from xser_brain.encoders import Encoder
from xser_brain.encoders.ecapa import ECAPAEncoder
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.evaluation.summary import summarise
from xser_brain.head import EmbeddingHead
from xser_brain.inference.model import EmotionModel
from xser_brain.models.export import export

ECAPA = {"width": 16, "n_mels": 16, "channels": 16, "attention_channels": 8}


def record(temperature: float = 1.5, labels: Sequence[str] = EMOTIONS) -> dict:
    """As much of a run.json as an export reads."""
    figures = summarise([0, 1] * 4, [0, 1, 0, 0] * 2, ["a", "b"] * 4, labels)
    errors = {
        f"ece_{p}_{w}": 5.0 for p in ("valid", "target") for w in ("before", "after")
    }
    return {
        "labels": list(labels),
        "system": "proposed",
        "seed": 1,
        "standin": True,
        "zero_shot": True,
        "audit": {
            "training": {"corpora": ["esd", "ravdess"], "languages": ["en", "zh"]}
        },
        "counts": {"train": 48, "speakers": 6},
        "setting": {"target": "emodb", "languages": {"target": "de"}},
        "target_test": figures,
        "target_all": None,
        "calibration": {"temperature": temperature, "threshold": 0.5, **errors},
    }


def build(
    source: Path | Encoder | None = None,
    projection: int = 8,
    labels: Sequence[str] = EMOTIONS,
    norm: bool = True,
    hidden: int = 0,
    **options,
) -> EmotionModel:
    """A model whose every trained weight is random."""
    torch.manual_seed(3)
    if source is None:
        encoder = ECAPAEncoder(**ECAPA)
    elif isinstance(source, Encoder):
        encoder = source
    else:
        encoder = PretrainedEncoder(str(source), **options)
    head = EmbeddingHead(
        encoder.layers, encoder.width, projection, norm=norm, hidden=hidden
    )
    classifier = nn.Linear(head.width, len(labels))
    statistics = torch.stack([torch.randn(head.width), 1 + torch.rand(head.width)])
    model = EmotionModel(encoder, head, classifier, 1.5, statistics)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
        classifier.weight.mul_(4)  # or all labels would be equally likely
    return model.eval()


def exported(
    folder: Path,
    source: Path | Encoder | None = None,
    whole: bool = False,
    labels: Sequence[str] = EMOTIONS,
    **options,
) -> tuple[Path, EmotionModel]:
    """Export such a model; the folder, and the model that was put into it."""
    model = build(source, labels=labels, **options)
    export(folder, model, whole, record(labels=labels))
    return folder, model


def probabilities(model: EmotionModel, waveforms: list[np.ndarray]) -> np.ndarray:
    """What a model says of utterances, one at a time: (utterances, labels)."""
    with torch.no_grad():
        rows = [
            model(torch.from_numpy(w)[None], torch.tensor([len(w)]))[0].exp()
            for w in waveforms
        ]
    return torch.stack(rows).double().numpy()


def noise(seconds: float, seed: int = 0, rate: int = 16000) -> np.ndarray:
    """Something that differs from other seeds in more than its samples."""
    rng = np.random.default_rng(seed)
    size = round(seconds * rate)
    tone = np.sin(2 * np.pi * rng.uniform(100, 3000) * np.arange(size) / rate)
    return (0.2 * tone + rng.uniform(0.01, 0.2) * rng.standard_normal(size)).astype(
        np.float32
    )
