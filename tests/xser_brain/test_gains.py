"""What systems gain on a reference, in settings and over them."""

import csv
import re

import numpy as np
import pytest
from test_tables import SETTING, write_run

from xser_brain.cli import main
from xser_brain.evaluation.metrics import uar
from xser_brain.evaluation.significance import compare
from xser_brain.reports.gains import gains_table
from xser_brain.reports.runs import find_runs, group_runs
from xser_brain.reports.tables import gather

ACCURACY = {"baseline2": 0.5, "proposed": 0.5, "robust": 0.9}


def rename(path, target: str) -> None:
    """Make all speakers and utterances of a run those of its target."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        for column in ("ID", "speaker"):
            row[column] = f"{target}-{row[column]}"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def written(tmp_path):
    """Write three systems, three seeds each, in settings; other seeds of one besides."""

    def write(settings):
        for source, target in settings:
            setting = {**SETTING, "source": [source], "target": target}
            for system, right in ACCURACY.items():
                for seed in (1, 2, 3, *([4] if system == "robust" else [])):
                    folder = tmp_path / f"{source}{target}" / system / str(seed)
                    write_run(
                        folder, system, seed, right,
                        salt=ord(target), setting=setting, zero_shot=True,
                    )  # fmt: skip
                    rename(folder / "predictions.csv", target)
        return tmp_path

    return write


@pytest.fixture
def results(written):
    """Two settings with targets of their own."""
    return written([("a", "d"), ("a", "e")])


def rows_of(results) -> dict[str, list[str]]:
    groups = group_runs(find_runs(results), "result")
    table = gains_table(groups, "target_all", "baseline2", "ecapa")
    return {row[0]: row for row in table.rows}


def margin(cell: str) -> float:
    _, low, high = map(float, re.findall(r"[+-][\d.]+", cell.replace("−", "-")))
    return (high - low) / 2


def test_gains_are_paired_over_settings(results):
    rows = rows_of(results)
    assert set(rows) == {"Proposed", "Robust"}
    found, means = [], []
    for group in group_runs(find_runs(results), "result"):
        first, second = (
            group.outcome(name, "target_all", [1, 2, 3])
            for name in ("robust", "baseline2")
        )
        means.append([uar(one.confusions()).mean() for one in (first, second)])
        found.append(
            compare(first.true, first.predicted, second.predicted, uar, first.clusters)
        )
    _, level, mean, better, *own = rows["Robust"]
    assert level == "{:.1f} ({:.1f})".format(*np.mean(means, axis=0))
    assert mean.startswith(f"**{np.mean([one.difference for one in found]):+.1f} [+")
    assert better == "2 of 2"
    assert own == [
        f"{one.difference:+.1f} [{one.low:+.1f}, {one.high:+.1f}]" for one in found
    ]


def test_the_same_speakers_make_no_surer(written):
    """Of one target from two sources, the mean is as sure as each."""
    mean, _, one, again = rows_of(written([("a", "d"), ("z", "d")]))["Robust"][2:]
    assert one == again
    assert margin(mean) == pytest.approx(margin(one), abs=0.1)


def test_other_speakers_make_it_surer(results):
    mean, _, *own = rows_of(results)["Robust"][2:]
    assert margin(mean) < 0.8 * max(map(margin, own))


def test_the_command(results, capsys):
    assert main(["tables", str(results), "--reference=baseline2"]) == 0
    told = capsys.readouterr().out
    assert "**Gains on Baseline 2. ecapa, the whole target**" in told
    assert main(["tables", str(results), "--reference=robusd"]) == 2
    assert "no run of robusd" in capsys.readouterr().err


def test_only_if_asked(results):
    assert not any("Gains" in table.title for table in gather(results).tables)
