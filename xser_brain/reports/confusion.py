"""A confusion matrix as a picture."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from data_prep.manifest import write_atomic

# It would list every font of the machine in a run's log.
logging.getLogger("matplotlib").setLevel(logging.WARNING)


def draw_confusion(
    path: Path, confusion: Sequence[Sequence[int]], labels: Sequence[str], title: str
) -> None:
    """Draw (true, predicted) counts, shaded by the share of each true class, as PNG."""
    counts = np.asarray(confusion)
    totals = counts.sum(1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=0 if len(labels) < 6 else 30)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    for (i, j), count in np.ndenumerate(counts):
        colour = "black" if share[i, j] > 0.5 else "white"
        text = f"{count}\n{100 * share[i, j]:.0f} %"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, label="share of the true emotion", shrink=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_atomic(path, buffer.getvalue())
