"""Answers as HTML: bars, a long recording's time line, and the list of its segments."""

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np

from xser_brain.inference import Result
from xser_brain.inference.results import UNSURE
from xser_brain.reports.palette import BAR, label_colours
from xser_brain.serve import texts
from xser_brain.serve.segments import Segment

SIZE = 900, 100  # of the picture, which is stretched


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """The colour of each label, and of what is unsure."""
    return dict(zip(labels, label_colours(labels), strict=True)) | {UNSURE: BAR}


def draw_bars(
    shares: Mapping[str, float], labels: Sequence[str], title: str, language: str
) -> str:
    """Shares of labels as bars.

    Arguments
    ---------
    shares : mapping of str to float
        From 0 to 1, by label; the highest comes first.
    labels : sequence of str
        Of the model, which decide on the colours.
    title : str
        Above them.
    language : str
        See ``xser_brain.serve.texts``.

    Returns
    -------
    str
        HTML.

    Example
    -------
    >>> "sad</th><td>75%" in draw_bars({"sad": 0.75}, ["sad"], "Probabilities", "en")
    True
    """
    colours = colours_of(labels)
    rows = "".join(
        f"<tr><th scope=row>{_escaped(texts.emotion(language, label))}</th>"
        f"<td>{100 * share:.0f}%</td><td class=bar><i style='width: {100 * share:.1f}%; "
        f"background: {colours[label]}'></i></td></tr>"
        for label, share in sorted(shares.items(), key=lambda item: -item[1])
    )
    return f"<table class=bars><caption>{_escaped(title)}</caption>{rows}</table>"


def draw_timeline(result: Result, parts: Sequence[Segment], language: str) -> str:
    """The probabilities of a recording's windows, one over the other, and its segments.

    Arguments
    ---------
    result : Result
        With a time line.
    parts : sequence of Segment
        From ``xser_brain.serve.segments.segments``.
    language : str
        See ``xser_brain.serve.texts``.

    Returns
    -------
    str
        HTML: one picture, with its data inside, on which the page's script moves a line,
        and a list.
    """
    windows = result.timeline
    labels = list(result.probabilities)
    data = base64.b64encode(_stacked(result, labels).encode()).decode()
    said = ", ".join(
        f"{w.start:.0f}–{w.end:.0f} s {texts.emotion(language, w.emotion)}"
        for w in windows
    )
    colours = colours_of(labels)
    listed = "".join(
        f"<li data-start='{part.start:.2f}' data-end='{part.end:.2f}'><button "
        f"type=button><i style='background: {colours[part.emotion]}'></i>"
        f"{_clock(part.start)}–{_clock(part.end)} "
        f"<b>{_escaped(texts.emotion(language, part.emotion))}</b> "
        f"{100 * part.probability:.0f}%</button></li>"
        for part in parts
    )
    key = "".join(
        f"<span><i style='background: {colours[label]}'></i>"
        f"{_escaped(texts.emotion(language, label))}</span>"
        for label in labels
    )
    return (
        f"<p class=notice>{_escaped(texts.text(language, 'line'))}</p>"
        f"<p class=key>{key}</p>"
        f"<div class=track data-end='{result.end:.2f}'>"
        f"<img class=timeline alt='{_escaped(said)}' "
        f"src='data:image/svg+xml;base64,{data}'><i class=playhead hidden></i></div>"
        f"<p class=ends><span>0:00</span><span>{_clock(result.end)}</span></p>"
        f"<ol class=segments>{listed}</ol>"
    )


def _stacked(result: Result, labels: Sequence[str]) -> str:
    """An SVG without letters, so that it can be drawn at any width and height."""
    width, height = SIZE
    middles = [(window.start + window.end) / 2 for window in result.timeline]
    rows = np.array(
        [[w.probabilities[name] for name in labels] for w in result.timeline]
    )
    rows = rows[[0, *range(len(rows)), -1]]
    x = width * np.array([0.0, *middles, result.end]) / result.end
    tops = height * (1 - np.cumsum(rows, axis=1).clip(0, 1))
    below = np.full(len(x), float(height))
    areas = []
    for colour, top in zip(label_colours(labels), tops.T, strict=True):
        points = [*zip(x, top, strict=True), *zip(x[::-1], below[::-1], strict=True)]
        places = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
        areas.append(f'<polygon points="{places}" fill="{colour}"/>')
        below = top
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" preserveAspectRatio="none">{"".join(areas)}</svg>'
    )


def _clock(seconds: float) -> str:
    """Minutes and seconds.

    Example
    -------
    >>> _clock(83.5)
    '1:23'
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def _escaped(value: str) -> str:
    return html.escape(value, quote=True)
