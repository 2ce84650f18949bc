"""How all figures look, and how they are saved.

Colours differ in lightness as well as in hue, so that they can be told apart in grey and
by the colour-blind, as far as there are few; markers, dashes or labels repeat them.
"""

import io
import logging
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_prep.manifest import write_atomic

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

# Colour and marker.
EMOTION_STYLES = {
    "neutral": ("#7FA6D6", "o"),
    "happy": ("#FFCC1A", "^"),
    "angry": ("#D3234D", "s"),
    "sad": ("#0B2A5B", "D"),
    "fear": ("#5B2A86", "v"),
    "disgust": ("#4F9A4A", "P"),
    "surprise": ("#F29A7A", "X"),
    "boredom": ("#A9A9A9", "p"),
    "calm": ("#9ADBC5", "h"),
}
# Of labels that are not among these.
LABEL_STYLES = [
    ("#C4A000", "<"),
    ("#17807E", ">"),
    ("#E3A6D8", "*"),
    ("#7A4B21", "d"),
    ("#4D4D4D", "H"),
    ("#B5D34C", "8"),
]
# Of training languages, from light to dark; of more than these the first come again.
LANGUAGE_STYLES = [
    ("#F7C948", "o"),
    ("#4FA3D9", "^"),
    ("#B8407F", "s"),
    ("#14532F", "D"),
    ("#9C755F", "v"),
]
TARGET_STYLE = ("#000000", ".")
BAR, DARK, REFERENCE = "#8DB3D9", "#16324F", "#B3431E"


def label_styles(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each label; of many unknown ones the first come again.

    Example
    -------
    >>> label_styles(["positive", "sad"])
    {'positive': ('#C4A000', '<'), 'sad': ('#0B2A5B', 'D')}
    """
    unknown = [name for name in labels if name not in EMOTION_STYLES]
    styles = {
        name: LABEL_STYLES[index % len(LABEL_STYLES)]
        for index, name in enumerate(unknown)
    }
    return {name: EMOTION_STYLES.get(name) or styles[name] for name in labels}


def label_colours(labels: Sequence[str]) -> list[str]:
    """The colours of ``label_styles``."""
    return [colour for colour, _ in label_styles(labels).values()]


def language_styles(
    systems: Mapping[str, Sequence[dict]],
) -> dict[str, tuple[str, str]]:
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
    target = settings[0]["target"]
    training = {name for item in settings for name in item["train"]} - {target}
    styles = {
        name: LANGUAGE_STYLES[index % len(LANGUAGE_STYLES)]
        for index, name in enumerate(sorted(training))
    }
    return {**styles, target: TARGET_STYLE}


def label(system: str) -> str:
    """A system's name as figures show it: ``without supcon``."""
    return system.replace("_", " ")


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
