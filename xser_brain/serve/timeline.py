"""The labels of a long recording over time, as a picture."""

import base64
import io

from xser_brain.inference import Result
from xser_brain.reports.figures.style import PAGE, new_figure, styled
from xser_brain.reports.palette import label_colours

HEIGHT = 1.6  # inches


@styled
def draw_timeline(result: Result) -> str:
    """Stack the probabilities of a recording's windows.

    Arguments
    ---------
    result : Result
        With a time line.

    Returns
    -------
    str
        HTML: one picture, with its data inside.
    """
    windows = result.timeline
    middles = [(window.start + window.end) / 2 for window in windows]
    labels = list(result.probabilities)
    rows = [[window.probabilities[label] for window in windows] for label in labels]
    figure = new_figure("", PAGE, HEIGHT)
    axes = figure.add_subplot()
    colours = label_colours(labels)
    axes.stackplot(middles, rows, labels=labels, colors=colours, linewidth=0)
    axes.set(xlim=(middles[0], middles[-1]), ylim=(0, 1))
    axes.set(xlabel="seconds (the middle of a window)", ylabel="probability")
    figure.legend(loc="outside right center", reverse=True)
    picture = io.BytesIO()
    figure.savefig(picture, format="svg")
    data = base64.b64encode(picture.getvalue()).decode()
    said = ", ".join(f"{w.start:.0f} to {w.end:.0f} s {w.emotion}" for w in windows)
    return (
        f'<img class="timeline" alt="over time: {said}" '
        f'src="data:image/svg+xml;base64,{data}">'
    )
