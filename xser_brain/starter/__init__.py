"""``starter``, the model that comes with the package, in ``model/``.

``make starter CORPORA=DIR`` makes it again: of all corpora of
``recipes/leave_one_out/robust.yaml``, with figures of the same system on each language that
is left out.
"""

from pathlib import Path

NAME = "starter"
FOLDER = Path(__file__).parent / "model"
