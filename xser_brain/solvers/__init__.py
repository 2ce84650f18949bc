"""Heads computed at once from what a frozen encoder gives, instead of by steps."""

from xser_brain.solvers.base import Solution, Solver, Vectors
from xser_brain.solvers.ensemble import Ensemble
from xser_brain.solvers.logistic import Logistic
from xser_brain.solvers.ridge import Ridge

__all__ = ["Ensemble", "Logistic", "Ridge", "Solution", "Solver", "Vectors"]
