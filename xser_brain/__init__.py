"""Zero-shot cross-lingual speech emotion recognition on SpeechBrain.

Models, objectives, protocol, training and reports; knows no corpus by name. The
method is that of Mi, Ma & Toda, Interspeech 2026, arXiv:2606.06200.

What a notebook needs is here, and loaded when it is first used::

    from xser_brain import Classifier, CrossEntropy, Setting, System, train
    system = System("mine", "all", {"emotion": CrossEntropy(), "mine": MyLoss(weight=0.1)})
    setting = Setting(("ravdess",), ("urdu", "nemo"), "emodb")
    folder = train(setting, system, data_root="/corpora", encoder="whisper")
    Classifier.from_pretrained(folder)("clip.wav").emotion
"""

import importlib
import logging

import data_prep  # noqa: F401  (ends here if what is installed does not fit)

_HOMES = {
    "xser_brain.api": ("train",),
    "xser_brain.data.augmentation": (
        "EmbeddingTransform",
        "Mixup",
        "Noise",
        "WaveformTransform",
    ),
    "xser_brain.data.sampling": ("Batches", "HierarchicalBatches", "RandomBatches"),
    "xser_brain.encoders": ("Encoder",),
    "xser_brain.inference": ("Classifier", "Embedding", "Result"),
    "xser_brain.objectives": (
        "Adversary",
        "Coral",
        "CrossEntropy",
        "Heard",
        "LanguageAwareSupCon",
        "Memory",
        "Objective",
    ),
    "xser_brain.protocol": ("LabelSet", "Plan", "Setting", "System", "make_plan"),
    "xser_brain.training.selection": ("Selection", "Validation"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    """Import a name when it is used: torch takes seconds, and a help text needs none."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__


def _needs_no_torchvision(record: logging.LogRecord) -> bool:
    """Drop what SpeechBrain says at every start of figures that nobody asked for."""
    return record.getMessage() != "torchvision is not available - cannot save figures"


logging.getLogger("speechbrain.utils.train_logger").addFilter(_needs_no_torchvision)
