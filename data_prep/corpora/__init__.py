"""The corpora, one module each; see ``data_prep.corpus`` for what a module holds.

Modules in a folder of one's own (``own_folder``) are part of this package as well.
"""

import os
from pathlib import Path

VARIABLE = "XSER_CORPORA"


def own_folder() -> Path | None:
    """The folder of one's own corpora: ``$XSER_CORPORA``, or ``~/.xser/corpora``.

    Never the current folder, whose code must not run unasked. None without a home.
    """
    folder = os.environ.get(VARIABLE) or os.path.expanduser("~/.xser/corpora")
    return None if folder.startswith("~") else Path(folder).absolute()


__path__ += [str(folder) for folder in [own_folder()] if folder]
