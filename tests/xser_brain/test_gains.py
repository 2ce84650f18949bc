"""What systems gain on a reference, in settings and over them."""

import numpy as np
import pytest
from test_tables import SETTING, write_run

from xser_brain.cli import main
from xser_brain.evaluation.metrics import uar
from xser_brain.evaluation.significance import compare
from xser_brain.reports.gains import gains, over_settings
from xser_brain.reports.runs import find_runs, group_runs
from xser_brain.reports.tables import gather


@pytest.fixture
def results(tmp_path):
    """Three systems in two settings, three seeds each, other seeds of one besides."""
    accuracy = {"baseline2": 0.5, "proposed": 0.5, "robust": 0.9}
    for number, target in enumerate("de"):
        setting = {**SETTING, "target": target}
        for system, right in accuracy.items():
            for seed in (1, 2, 3, *([4] if system == "robust" else [])):
                write_run(
                    tmp_path / target / system / str(seed), system, seed, right,
                    salt=number, setting=setting, zero_shot=True,
                )  # fmt: skip
    return tmp_path


def test_gains_are_paired_over_settings(results):
    groups = group_runs(find_runs(results), "result")
    found = {gain.system: gain for gain in gains(groups, "target_all", "baseline2")}
    assert set(found) == {"proposed", "robust"}
    gain, parts = found["robust"], []
    for group in groups:
        first, second = (
            group.outcome(name, "target_all", [1, 2, 3])
            for name in ("robust", "baseline2")
        )
        parts.append(
            compare(first.true, first.predicted, second.predicted, uar, first.clusters)
        )
    differences = [part.difference for part in parts]
    errors = [(part.high - part.difference) ** 2 for part in parts]
    assert gain.difference == pytest.approx(np.mean(differences))
    assert gain.uar - gain.reference_uar == pytest.approx(gain.difference)
    assert gain.high - gain.difference == pytest.approx(np.sqrt(sum(errors)) / 2)
    assert gain.better == 2
    assert gain.low > 0


def test_the_interval_holds_the_truth():
    """Of what is alike, 0 in about 95 % of cases; never a half-width too small."""
    rng = np.random.default_rng(0)
    held, trials = 0, 300
    for _ in range(trials):
        parts = []
        for _ in range(4):
            true = rng.integers(0, 4, 120)
            given = np.where(rng.random((2, 120)) < 0.6, true, rng.integers(0, 4, 120))
            parts.append(compare(true, given[:1], given[1:], uar, samples=0))
        _, low, high = over_settings(parts)
        held += low <= 0 <= high
    assert 0.92 <= held / trials <= 0.99


def test_the_command(results, capsys):
    assert main(["tables", str(results), "--reference=baseline2"]) == 0
    told = capsys.readouterr().out
    assert "**Gains on baseline2. ecapa, the whole target**" in told
    assert main(["tables", str(results), "--reference=robusd"]) == 2
    assert "no run of robusd" in capsys.readouterr().err


def test_only_if_asked(results):
    assert not any("Gains" in table.title for table in gather(results).tables)
