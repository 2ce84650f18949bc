"""Warnings that hold for many runs, said once."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def said_once(name: str) -> Iterator[None]:
    """Within this, a logger says nothing again that it has said before.

    Arguments
    ---------
    name : str
        The logger's.

    Example
    -------
    >>> import sys
    >>> logger = logging.getLogger("doctest.once")
    >>> logger.addHandler(logging.StreamHandler(sys.stdout))
    >>> with said_once("doctest.once"):
    ...     for number in (1, 1, 2):
    ...         logger.warning("copy %d", number)
    copy 1
    copy 2
    """
    said = set()

    def new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not (text in said or said.add(text))

    logger = logging.getLogger(name)
    logger.addFilter(new)
    try:
        yield
    finally:
        logger.removeFilter(new)
