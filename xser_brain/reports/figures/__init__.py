"""All figures of finished runs, for a paper of two columns."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from data_prep.errors import UserError
from data_prep.progress import bar
from xser_brain.artefacts import part_of_path
from xser_brain.evaluation import embeddings
from xser_brain.reports.figures.curves import draw_curves
from xser_brain.reports.figures.inside import draw_layer_weights, draw_probes
from xser_brain.reports.figures.overview import draw_differences, draw_overview
from xser_brain.reports.figures.projection import check_method, draw_projection
from xser_brain.reports.figures.scores import draw_confusions, draw_uar, uar_rows
from xser_brain.reports.figures.style import save
from xser_brain.reports.headline import Comparison, comparisons
from xser_brain.reports.probes import probe_rows
from xser_brain.reports.runs import SUBSETS, Group, group_runs, incomplete
from xser_brain.reports.tables import Report, Score, scores

logger = logging.getLogger(__name__)

STANDINS = "-standins"  # at the end of an encoder's name


def draw_all(
    runs: Sequence[dict],
    out: Path,
    method: str = "tsne",
    reference: str | None = None,
) -> list[Path]:
    """Draw all figures that the runs have data for, as PNG and as PDF.

    ``<setting>/<encoder>/{projection,confusion,curves,probes,layers}`` and, over
    settings, ``uar-<encoder>-{target_test,target_all}``, ``overview-<encoder>`` and
    ``differences-<encoder>``.

    Arguments
    ---------
    runs : sequence of dict
        From ``xser_brain.reports.runs.find_runs``.
    out : Path
        Folder for the figures.
    method : str
        Of the projection: ``tsne`` or ``umap``.
    reference : str, optional
        The system that others are compared with, see
        ``xser_brain.reports.headline.comparisons``.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    UserError
        If the method is unknown or not installed, a file cannot be written, or runs
        may not be compared (see ``group_runs``).
    """
    check_method(method)
    jobs: dict[Path, Callable[[], Figure | None]] = {}
    of_encoder: dict[str, list[Group]] = {}
    groups = group_runs(runs)
    for group in groups:
        encoder = group.encoder + (STANDINS if group.standin else "")
        of_encoder.setdefault(encoder, []).append(group)
        folder = Path(out) / part_of_path(group.setting.name) / part_of_path(encoder)
        if folder / "confusion" in jobs:
            raise UserError(
                f"two settings are called {group.setting.name}, with other non-target "
                "corpora: give the folder of one of them"
            )
        systems, title = group.systems, group.title
        jobs |= {
            folder / "projection": partial(draw_projection, systems, title, method),
            folder / "confusion": partial(draw_confusions, systems, title),
            folder / "curves": partial(draw_curves, systems, title),
            folder / "probes": partial(_draw_probes, group),
            folder / "layers": partial(draw_layer_weights, systems, title),
        }
    found: list[Score] = []
    for encoder, own in of_encoder.items():
        for subset in SUBSETS:
            scored = scores(own, subset)
            found += scored
            stem = Path(out) / f"uar-{encoder}-{subset}"
            jobs[stem] = partial(_draw_uar, own, subset, scored)
    for item in comparisons(Report(groups, found, [], []), reference):
        encoder = item.groups[0].encoder + STANDINS * item.groups[0].standin
        jobs[Path(out) / f"overview-{encoder}"] = partial(draw_compared, item)
        jobs[Path(out) / f"differences-{encoder}"] = partial(draw_against, item)
    without = sum(not (run["folder"] / embeddings.NAME).is_file() for run in runs)
    if without:
        logger.warning("%d of %d runs kept no embeddings", without, len(runs))
    paths = []
    with bar(jobs.items(), desc="figures", unit="figure") as shown:
        for stem, draw in shown:
            shown.set_postfix_str(stem.name)
            figure = draw()
            if figure is not None:
                paths += save(figure, stem)
    return paths


def _draw_probes(group: Group) -> Figure | None:
    return draw_probes(probe_rows(group.runs), group.title)


def draw_compared(item: Comparison) -> Figure | None:
    """Draw the UAR of all systems of a comparison, by target and over the mean."""
    chance = 100 / len(item.groups[0].labels)
    return draw_overview(item.uars, item.rows, chance, item.what)


def draw_against(item: Comparison) -> Figure | None:
    """Draw how far the systems of a comparison are from its reference."""
    return draw_differences(item.differences, item.rows, item.reference, item.what)


def _draw_uar(
    groups: Sequence[Group], subset: str, found: Sequence[Score]
) -> Figure | None:
    lacking = incomplete(run for group in groups for run in group.runs)
    title = f"{groups[0].encoder}, {SUBSETS[subset]}{groups[0].kind}"
    title += f", incomplete: {lacking}" if lacking else ""
    return draw_uar(uar_rows(found), title)
