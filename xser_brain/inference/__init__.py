"""From a trained model to emotions of a user's own speech."""

from xser_brain.inference.classifier import Classifier
from xser_brain.inference.results import Embedding, Result

__all__ = ["Classifier", "Embedding", "Result"]
