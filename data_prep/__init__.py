"""Emotional speech corpora to manifests: one file per corpus, one format for all.

Knows no model and imports no torch; ``python -m data_prep --help`` lists what it does.
"""

from data_prep import fit

__version__ = "0.1.0"

fit.require()
