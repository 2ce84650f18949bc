"""The objectives: what a system may optimise, one class each."""

from xser_brain.objectives.adversary import (
    Adversary,
    ConstantSchedule,
    DANNSchedule,
    Guess,
    reverse_gradient,
)
from xser_brain.objectives.alignment import Coral
from xser_brain.objectives.base import Heard, Objective, Objectives
from xser_brain.objectives.emotion import CrossEntropy
from xser_brain.objectives.memory import Memory
from xser_brain.objectives.supcon import LanguageAwareSupCon
from xser_brain.objectives.transcript import CTC, ContentAdversary

__all__ = [
    "CTC",
    "Adversary",
    "ConstantSchedule",
    "ContentAdversary",
    "Coral",
    "CrossEntropy",
    "DANNSchedule",
    "Guess",
    "Heard",
    "LanguageAwareSupCon",
    "Memory",
    "Objective",
    "Objectives",
    "reverse_gradient",
]
