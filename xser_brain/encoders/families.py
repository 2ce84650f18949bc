"""Which class an encoder family is."""

import importlib
from typing import TYPE_CHECKING

from data_prep.errors import UserError

if TYPE_CHECKING:
    from xser_brain.encoders.base import Encoder

# Imported when they are needed; no other module ever is.
BUILT_IN = {
    "ecapa": "xser_brain.encoders.ecapa",
    "pretrained": "xser_brain.encoders.pretrained",
}
_known: dict[str, type["Encoder"]] = {}


def register(encoder: type["Encoder"]) -> None:
    """Make a class known by its ``family``; defined again, it replaces itself.

    UserError if another class has this name.
    """
    name, path = encoder.family, f"{encoder.__module__}.{encoder.__qualname__}"
    other = _known.get(name, encoder)
    # A class that goes by its own path only replaces itself: torch.export, too, derives
    # classes that it renames.
    if name != path and (
        BUILT_IN.get(name, encoder.__module__) != encoder.__module__
        or f"{other.__module__}.{other.__qualname__}" != path
    ):
        raise UserError(
            f"{path}: another encoder is called {name!r}: choose another family"
        )
    _known[name] = encoder


def find(name: str) -> type["Encoder"]:
    """Find a class by its family; nothing but this package's own is imported.

    Example
    -------
    >>> find("ecapa").__name__
    'ECAPAEncoder'
    >>> find("mylab.Own")
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: the encoder is the class mylab.Own, which is not known \
here: import its module before, in Python by `import mylab`, on the command line by \
--import=mylab
    """
    if name in BUILT_IN:
        importlib.import_module(BUILT_IN[name])
    if name not in _known:
        module = name.partition(".<")[0].rpartition(".")[0]
        where = (
            f"in Python by `import {module}`, on the command line by --import={module}"
            if module and module != "__main__"
            else "on the command line by --import=MODULE"
        )
        raise UserError(
            f"the encoder is the class {name}, which is not known here: import its "
            f"module before, {where}"
        )
    return _known[name]
