"""The colours of figures, of the report and of the page: each means one thing.

Emotions have colours of their own, languages others, and systems others again; whatever
is none of these is grey. Colours of a set differ in lightness too, and the common ones
can be told apart, and from those of other sets, with protanopia and deuteranopia;
markers, dashes or labels repeat what they say.
"""

import itertools
from collections.abc import Iterable, Sequence

from xser_brain.reports.paper import in_order

Style = tuple[str, str]  # colour and marker

EMOTIONS = {
    "neutral": ("#7FA6D6", "o"),
    "happy": ("#FFCC1A", "^"),
    "angry": ("#D3234D", "s"),
    "sad": ("#0B2A5B", "D"),
    "fear": ("#6A1FA8", "v"),
    "disgust": ("#2E9C8F", "P"),
    "surprise": ("#F29A7A", "X"),
    "boredom": ("#C3BFB4", "p"),
    "calm": ("#BFE8D5", "h"),
}
# Of labels that are not among these.
LABELS = [
    ("#9C8A00", "<"),
    ("#5F7F2E", ">"),
    ("#E3A6D8", "*"),
    ("#7A4B21", "d"),
    ("#55606B", "H"),
    ("#B5D34C", "8"),
]
# Of training languages: those of the paper keep theirs in all settings, others take what
# is left; of more than these the first come again.
PAPERS = ("en", "zh", "de", "ur", "fr")
LANGUAGES = [
    ("#5FD6C4", "o"),
    ("#E8820C", "^"),
    ("#A24BD8", "s"),
    ("#00505E", "D"),
    ("#D9C2F0", "v"),
]
TARGET = ("#000000", ".")
# Of systems, in the order of the tables; of more than these the first come again, with
# other markers.
SYSTEMS = ["#262626", "#B4541E", "#0E7C86", "#8C8C8C", "#D8A7D0"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
DARK, BAR, PALE, REFERENCE = "#2B2F36", "#B9BEC6", "#E9EBEE", "#6A717B"


def label_styles(labels: Sequence[str]) -> dict[str, Style]:
    """Colour and marker of each label; of many unknown ones the first come again.

    Example
    -------
    >>> label_styles(["positive", "sad"])
    {'positive': ('#9C8A00', '<'), 'sad': ('#0B2A5B', 'D')}
    """
    unknown = [name for name in labels if name not in EMOTIONS]
    styles = {name: LABELS[index % len(LABELS)] for index, name in enumerate(unknown)}
    return {name: EMOTIONS.get(name) or styles[name] for name in labels}


def label_colours(labels: Sequence[str]) -> list[str]:
    """The colours of ``label_styles``."""
    return [colour for colour, _ in label_styles(labels).values()]


def language_styles(training: Iterable[str], target: str) -> dict[str, Style]:
    """Colour and marker of each language of a setting, the target last.

    Example
    -------
    >>> list(language_styles(["zh", "en"], "de"))
    ['en', 'zh', 'de']
    """
    names = sorted({*training} - {target})
    own = {name: PAPERS.index(name) for name in names if name in PAPERS}
    left = [place for place in range(len(LANGUAGES)) if place not in own.values()]
    others = itertools.cycle(left or range(len(LANGUAGES)))
    styles = {
        name: LANGUAGES[own[name] if name in own else next(others)] for name in names
    }
    return {**styles, target: TARGET}


def system_styles(systems: Iterable[str]) -> dict[str, Style]:
    """Colour and marker of each system, in the order of the tables.

    Example
    -------
    >>> system_styles(["proposed", "baseline2"])
    {'baseline2': ('#262626', 'o'), 'proposed': ('#B4541E', 's')}
    """
    return {
        name: (SYSTEMS[index % len(SYSTEMS)], MARKERS[index % len(MARKERS)])
        for index, name in enumerate(in_order(systems))
    }
