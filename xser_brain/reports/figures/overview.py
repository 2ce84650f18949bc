"""Many settings in one picture: systems by target and over the mean."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from xser_brain.reports.figures.style import PAGE, new_figure, panels, styled
from xser_brain.reports.names import system_name
from xser_brain.reports.palette import DARK, PALE, REFERENCE, Style, system_styles
from xser_brain.reports.points import MEAN, Point

LINE = 0.15  # inches of a system in a row
GAP = 0.14  # inches between rows


@styled
def draw_overview(
    points: Sequence[Point], rows: Mapping[str, str], chance: float, title: str
) -> Figure | None:
    """Draw UAR of all systems: a row per target and, below, the mean over them.

    None without points.

    Arguments
    ---------
    points : sequence of Point
        From ``xser_brain.reports.points.uars``.
    rows : mapping of str to str
        What settings and the mean are called.
    chance : float
        Percent.
    title : str
        Above it.
    """
    if not points:
        return None
    styles = system_styles(point.system for point in points)
    row = len(styles) * LINE + GAP
    figure = new_figure(title, PAGE, len(rows) * row + 0.75)
    axes = figure.add_subplot()
    unit = row / LINE  # of the y axis, in lines
    middles = {name: index * unit for index, name in enumerate(rows)}
    if MEAN in middles:
        axes.axhspan(
            middles[MEAN] - unit / 2, middles[MEAN] + unit / 2, color=PALE, linewidth=0
        )
    axes.axvline(chance, color=REFERENCE, linestyle="--", linewidth=0.8)
    for point in points:
        place = [*styles].index(point.system) - (len(styles) - 1) / 2
        _draw(axes, point, middles[point.setting] + place, styles[point.system])
    axes.set_yticks([*middles.values()], [*rows.values()])
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.5)
    axes.set_axisbelow(True)
    lowest = min(p.value if p.low is None else p.low for p in points)
    axes.set(xlim=(min(0.8 * chance, lowest - 2), 104))
    axes.set(ylim=((len(rows) - 0.5) * unit, -0.5 * unit))
    axes.set_xlabel(f"UAR [%] with 95 % interval; dashed: chance ({chance:.4g} %)")
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4.5, label=name)
        for name, (colour, marker) in (
            (system_name(system), style) for system, style in styles.items()
        )
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(4, len(styles))
    )
    return figure


def _draw(axes: Axes, point: Point, height: float, style: Style) -> None:
    colour, marker = style
    if point.low is not None:
        axes.plot(
            [point.low, point.high], [height] * 2, color=colour, linewidth=1.3,
            label="interval",
        )  # fmt: skip
    axes.plot(
        point.value, height, color=colour, marker=marker, markersize=4.8,
        markeredgecolor="black", markeredgewidth=0.3, label=point.system,
    )  # fmt: skip
    end = point.value if point.high is None else max(point.high, point.value)
    axes.annotate(
        f"{point.value:.1f}", (end, height), xytext=(4, 0),
        textcoords="offset points", va="center", fontsize=6.5,
    )  # fmt: skip


@styled
def draw_differences(
    points: Sequence[Point], rows: Mapping[str, str], reference: str, title: str
) -> Figure | None:
    """Draw how far systems are from another one: a panel per target and one of the mean.

    A filled dot stands where the paired interval excludes 0. None without points.

    Arguments
    ---------
    points : sequence of Point
        From ``xser_brain.reports.points.differences``.
    rows : mapping of str to str
        What settings and the mean are called.
    reference : str
        The system that they are compared with.
    title : str
        Above it.
    """
    if not points:
        return None
    systems = [*system_styles(point.system for point in points)]
    text = (
        f"UAR less that of {system_name(reference)} on the same utterances, in points, "
        "with paired 95 % interval; filled: it excludes 0"
    )
    most = 2 if len(rows) < 5 else 3
    height = 0.17 * len(systems) + 0.32
    figure, axes = panels(title, len(rows), most, height, (text, ""))
    for panel, (setting, name) in zip(axes, rows.items(), strict=True):
        panel.set_title(name, loc="left")
        panel.axvline(0, color=REFERENCE, linestyle="--", linewidth=0.8)
        for point in points:
            if point.setting != setting:
                continue
            height = systems.index(point.system)
            if point.low is not None:
                panel.plot(
                    [point.low, point.high], [height] * 2, color=DARK, linewidth=1.1,
                    marker="|", markersize=4, label="interval",
                )  # fmt: skip
            panel.plot(
                point.value, height, color=DARK, marker="o", markersize=4, zorder=3,
                markerfacecolor=DARK if point.differs else "white", label="difference",
            )  # fmt: skip
        panel.set_yticks(range(len(systems)), map(system_name, systems))
        panel.grid(axis="x", color="#DDDDDD", linewidth=0.5)
        panel.set_axisbelow(True)
    axes[0].set_ylim(len(systems) - 0.4, -0.6)
    return figure
