"""A table as Markdown or LaTeX (booktabs)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "†": r"$^{\dagger}$",
    "‡": r"$^{\ddagger}$",
    "–": "--",
    "<": r"$<$",
    ">": r"$>$",
}
PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage[a4paper,landscape,margin=1.5cm]{geometry}
\begin{document}
"""


@dataclass
class Table:
    """Cells of text; ``**bold**`` is the only mark-up.

    Arguments
    ---------
    title : str
        Above it.
    header : sequence of str
        Names of the columns.
    rows : list of sequence of str
        As many cells each.
    notes : list of str
        Below it.
    """

    title: str
    header: Sequence[str]
    rows: list[Sequence[str]]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table in GitHub's Markdown, between its bold title and its notes."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        table = "\n".join(f"| {' | '.join(map(piped, line))} |" for line in lines)
        return "\n\n".join([f"**{inert(self.title)}**", table, *map(inert, self.notes)])

    def latex(self) -> str:
        r"""As a table environment; the document needs booktabs.

        Example
        -------
        >>> print(Table("T", ["a", "b"], [["**1**", "2 %"]]).latex())
        \begin{table}[htbp]
        \centering\small
        \caption{T}
        \begin{tabular}{ll}
        \toprule
        a & b \\
        \midrule
        \textbf{1} & 2 \% \\
        \bottomrule
        \end{tabular}
        \end{table}
        """
        head, *body = (
            " & ".join(map(latex_text, line)) + r" \\"
            for line in [self.header, *self.rows]
        )
        return "\n".join(
            [
                r"\begin{table}[htbp]",
                r"\centering\small",
                rf"\caption{{{latex_text(self.title)}}}",
                rf"\begin{{tabular}}{{{'l' * len(self.header)}}}",
                r"\toprule",
                head,
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                *(rf"\par\smallskip {latex_text(note)}" for note in self.notes),
                r"\end{table}",
            ]
        )


def piped(cell: str) -> str:
    """A cell of a Markdown table: ``inert``, and not cut at its bars."""
    return inert(cell).replace("|", "\\|")


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


def latex_text(text: str) -> str:
    r"""Escape text for LaTeX, with ``**bold**`` made bold."""
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    return re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", escaped)


def latex_document(tables: Sequence[Table]) -> str:
    """A whole document that compiles on its own."""
    body = "\n\n".join(table.latex() for table in tables)
    return f"{PREAMBLE}{body}\n\\end{{document}}\n"
