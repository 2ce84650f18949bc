"""Who may see what: settings, systems, label sets, the plan of a run, and its guard."""

from xser_brain.protocol.guard import guard
from xser_brain.protocol.labels import PAPER_LABELS, Labels, LabelSet
from xser_brain.protocol.plan import Plan, make_plan
from xser_brain.protocol.setting import (
    PAPER_CORPORA,
    PAPER_SETTINGS,
    Setting,
)
from xser_brain.protocol.system import System

__all__ = [
    "PAPER_CORPORA",
    "PAPER_LABELS",
    "PAPER_SETTINGS",
    "LabelSet",
    "Labels",
    "Plan",
    "Setting",
    "System",
    "guard",
    "make_plan",
]
