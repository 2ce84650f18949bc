"""How all figures look, and how they are saved; colours are those of the palette."""

import io
import logging
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_prep.manifest import write_atomic
from xser_brain.reports import palette

# They would list every font of the machine, and every glyph of it, in a log.
for name in ("matplotlib", "fontTools"):
    logging.getLogger(name).setLevel(logging.WARNING)

PAGE, COLUMN = 6.7, 3.15  # inches: Interspeech's page and one of its two columns
LETTERS, LINE = 13, 0.16  # of a title: characters an inch, inches a line
# A decorator: what is drawn within has these settings.
styled = matplotlib.rc_context(
    {
        "axes.labelsize": 7.5,
        "axes.linewidth": 0.6,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 7.5,
        "figure.labelsize": 7.5,
        "figure.titlesize": 8.5,
        "font.size": 7.5,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "legend.title_fontsize": 7,
        "lines.linewidth": 1.4,
        "pdf.fonttype": 42,
        "savefig.dpi": 300,
        "xtick.labelsize": 7,
        "xtick.major.width": 0.6,
        "ytick.labelsize": 7,
        "ytick.major.width": 0.6,
    }
)


def language_styles(systems: Mapping[str, Sequence[dict]]) -> dict[str, palette.Style]:
    """Colour and marker of each language of a setting, the target last.

    Example
    -------
    >>> run = {"setting": {"languages": {"train": ["zh", "en"], "target": "de"}}}
    >>> list(language_styles({"proposed": [run]}))
    ['en', 'zh', 'de']
    """
    settings = [
        run["setting"]["languages"] for runs in systems.values() for run in runs
    ]
    training = [name for item in settings for name in item["train"]]
    return palette.language_styles(training, settings[0]["target"])


def new_figure(title: str, width: float, height: float, below: str = "") -> Figure:
    """A figure with its title, and a text below its panels.

    Sizes are in inches; long texts are broken into lines, which make the figure higher.
    """
    above, below = (textwrap.fill(t, round(width * LETTERS)) for t in (title, below))
    lines = len(above.splitlines()) + len(below.splitlines())
    figure = Figure(figsize=(width, height + LINE * lines), layout="constrained")
    figure.suptitle(above)
    figure.supxlabel(below)
    return figure


def panels(
    title: str, n: int, most: int, height: float, labels: tuple[str, str]
) -> tuple[Figure, list[Axes]]:
    """A figure of n panels with shared axes, row by row, a column or a page wide.

    ``most`` panels stand side by side, ``height`` is the inches of a row, and
    ``labels`` are those of the x axes together and of each row's y axis.
    """
    columns = min(n, most)
    rows = -(-n // columns)
    width = COLUMN if columns == 1 else PAGE
    figure = new_figure(title, width, rows * height + 0.3, labels[0])
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.ravel()[n:]:
        axis.remove()
    for axis in axes.ravel()[max(0, n - columns) : n]:
        axis.tick_params(labelbottom=True)
    for axis in axes[:, 0]:
        axis.set_ylabel(labels[1])
    return figure, [*axes.ravel()[:n]]


@styled
def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and PDF; the same figure gives the same bytes.

    ``stem`` is the path without suffix; UserError if a file cannot be written.
    """
    paths = []
    for suffix, metadata in (("png", None), ("pdf", {"CreationDate": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, metadata=metadata)
        paths.append(stem.with_name(f"{stem.name}.{suffix}"))
        write_atomic(paths[-1], buffer.getvalue())
    return paths
