"""Text of others in Markdown: it stays text."""

import re


def inert(text: str) -> str:
    r"""Escape what Markdown would take for HTML, a link or a picture.

    Arguments
    ---------
    text : str
        Plain text, with ``**bold**``.

    Returns
    -------
    str

    Example
    -------
    >>> print(inert("p < 0.001, <img src=x>, ![a](b) [1, 2]"))
    p < 0.001, \<img src=x>, ![a]\(b) [1, 2]
    """
    return re.sub(r"<(?=[A-Za-z/!?])|(?<=\])[(:\[]", r"\\\g<0>", text)


def piped(cell: str) -> str:
    """A cell of a Markdown table: ``inert``, and not cut at its bars."""
    return inert(cell).replace("|", "\\|")
