"""What other protocols than strict zero-shot bring, point by point."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from xser_brain.reports.figures.style import panels, styled
from xser_brain.reports.names import setting_name, system_name
from xser_brain.reports.palette import REFERENCE, system_styles


@styled
def draw_points(rows: Sequence[dict], protocol: str, points: str) -> Figure:
    """Draw UAR over points: a panel per setting, a line per system.

    A band is the 95 % interval, a dashed line of the same colour the system's strict
    zero-shot result, a dotted one chance.

    Arguments
    ---------
    rows : sequence of dict
        ``setting``, ``encoder``, ``system``, ``standin``, ``point``, ``uar``, ``low``,
        ``high``, ``unit``, ``strict_uar``, ``chance``, as in the CSV file.
    protocol, points : str
        What is drawn, and what the points are.

    Returns
    -------
    Figure
    """
    settings = [*dict.fromkeys((row["setting"], row["encoder"]) for row in rows)]
    systems = system_styles(row["system"] for row in rows)
    ticks = sorted(dict.fromkeys(row["point"] for row in rows), key=float)
    units = [*dict.fromkeys(row["unit"] for row in rows if row["low"] is not None)]
    title = protocol + ", synthetic stand-ins" * any(row["standin"] for row in rows)
    over = f"; band: 95 % interval over {' or '.join(units)}" if units else ""
    text = f"{points}{over}; dashed: strict zero-shot; dotted: chance"
    figure, axes = panels(title, len(settings), 3, 1.7, (text, "UAR [%]"))
    several = len({encoder for _, encoder in settings}) > 1
    for panel, (setting, encoder) in zip(axes, settings, strict=True):
        title = setting_name(setting) + (f", {encoder}" if several else "")
        panel.set_title(title, loc="left")
        for system, (colour, marker) in systems.items():
            own = [
                row
                for row in rows
                if (row["setting"], row["encoder"], row["system"])
                == (setting, encoder, system)
            ]
            if not own:
                continue
            at = [ticks.index(row["point"]) for row in own]
            panel.plot(
                at, [row["uar"] for row in own], color=colour, marker=marker,
                markersize=3, label=system,
            )  # fmt: skip
            if all(row["low"] is not None for row in own):
                panel.fill_between(
                    at, [row["low"] for row in own], [row["high"] for row in own],
                    color=colour, alpha=0.18, linewidth=0,
                )  # fmt: skip
            panel.axhline(
                own[0]["strict_uar"], color=colour, linestyle="--", linewidth=0.9
            )
            panel.axhline(
                own[0]["chance"], color=REFERENCE, linestyle=":", linewidth=0.9
            )
        panel.set_xticks(range(len(ticks)), ticks)
    handles = [
        Line2D(
            [], [], color=colour, marker=marker, markersize=3, label=system_name(name)
        )
        for name, (colour, marker) in systems.items()
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure
