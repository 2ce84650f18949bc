"""The corpora, one module each; see ``data_prep.corpus`` for what a module holds.

Modules in a folder of one's own (``own_folder``) are part of this package as well.
"""

import os
from pathlib import Path

VARIABLE = "XSER_CORPORA"


def own_folder() -> Path | None:
    """The folder of corpora of one's own: ``$XSER_CORPORA``, or ``~/.xser/corpora``.

    Never the current folder: no code must run because somebody stands beside it.

    Returns
    -------
    Path or None
        None for an account without a home.

    Example
    -------
    >>> own_folder().is_absolute()
    True
    """
    folder = os.environ.get(VARIABLE) or os.path.expanduser("~/.xser/corpora")
    return None if folder.startswith("~") else Path(folder).absolute()


__path__ += [str(folder) for folder in [own_folder()] if folder]
