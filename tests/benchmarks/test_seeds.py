"""The benchmark of several seeds' heads: what it compares is the same training."""

import sys
from pathlib import Path

FOLDER = str(Path(__file__).resolve().parents[2] / "benchmarks")


def test_heads_trained_in_one_batch_are_those_trained_in_turn(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    try:
        import seeds

        assert seeds.difference(3, "cpu") < 1e-4
    finally:
        for name in ("seeds", "timing"):
            sys.modules.pop(name, None)
