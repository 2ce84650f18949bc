"""Label files in JSON, read so that a damaged one is a clear error."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.errors import UserError


@contextlib.contextmanager
def read_json(path: Path, lines: bool = False) -> Iterator[Any]:
    """Read a label file; a key that its reader does not find counts as damage.

    Arguments
    ---------
    path : Path
        The file.
    lines : bool
        Whether each line is a record of its own; they are then read one by one.

    Returns
    -------
    context manager
        Of the content, or of an iterator of records.

    Raises
    ------
    UserError
        If the file is not JSON, or is not built as the body expects.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.json"
    >>> _ = path.write_text('{"a.wav": {"emotion": "joy"}}')
    >>> with read_json(path) as labels:
    ...     labels["a.wav"]["emotion"]
    'joy'
    >>> with read_json(path) as labels:
    ...     labels["b.wav"]["emotion"]
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: ... damaged, or another release (KeyError('b.wav')): ...
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            records = (json.loads(line) for line in stream if line.strip())
            yield records if lines else json.load(stream)
    except UserError:
        raise
    except (
        AttributeError,
        LookupError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise UserError(
            f"{path} is damaged, or another release ({error!r:.200}): get it anew, "
            "or compare it with the layout in the corpus' file"
        ) from error
