"""Parts of Markdown documents that a command writes anew in place."""

from pathlib import Path

from data_prep.errors import UserError
from data_prep.manifest import write_atomic


def update(path: Path, begin: str, end: str, text: str) -> None:
    """Put a text between two lines of a document, in place of what stands there.

    Arguments
    ---------
    path : Path
        The document, in UTF-8.
    begin, end : str
        The lines; each must be there once.
    text : str
        Without a last line break.

    Raises
    ------
    UserError
        If the file cannot be read or written, or lacks these lines.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.md"
    >>> _ = path.write_text("<!-- a -->old<!-- b -->")
    >>> update(path, "<!-- a -->", "<!-- b -->", "new")
    >>> print(path.read_text())
    <!-- a -->
    new
    <!-- b -->
    """
    try:
        before, rest = Path(path).read_text(encoding="utf-8").split(begin)
        _, after = rest.split(end)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} has no lines {begin} and {end}: add them") from error
    write_atomic(path, f"{before}{begin}\n{text}\n{end}{after}".encode())
