"""A metric of one's own: the recall of the class that is recognised worst."""

import numpy as np


def weakest(confusion):
    """Percent; (..., classes, classes) counts to (...)."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return 100 * (hits / np.maximum(confusion.sum(-1), 1)).min(-1)
