"""The commands whose figures stand in docs/reliability.md, with few of each."""

from pathlib import Path

import pytest

from tests import reliability, soak

ROOT = Path(__file__).resolve().parents[1]


def test_the_document_has_its_marks():
    text = (ROOT / "docs/reliability.md").read_text("utf-8")
    assert text.index(reliability.BEGIN) < text.index(reliability.END)


@pytest.mark.slow
def test_kills_and_bits(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reliability, "BITS", 20)
    document = tmp_path / "a.md"
    document.write_text(f"above {reliability.BEGIN} old {reliability.END} below")
    assert reliability.main(["--only=bits", f"--out={document}"]) == 0
    text = document.read_text()
    assert text.startswith("above ")
    assert text.endswith(" below")
    assert "old" not in text
    assert reliability.main(["--only=kills", "--kills=3"]) == 0
    assert "| ECAPA | 1 | 1 |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_short_soak(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "PAUSES", (20, 30))
    monkeypatch.setattr(soak, "GRID", soak.GRID.replace("[1, 2]", "[1]"))
    monkeypatch.setattr(soak, "KILLS", soak.KILLS[:3])
    assert soak.main(["--seconds=30", f"--out={tmp_path / 'soak.md'}"]) == 0
    assert "| processes left | 0 |" in (tmp_path / "soak.md").read_text()


def test_what_differs_is_told(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "predictions.csv").write_text(name)
    assert soak.differences(tmp_path / "a", tmp_path / "b") == ["predictions.csv"]
    (tmp_path / "a" / "left.tmp").touch()
    assert "left.tmp" in soak.differences(tmp_path / "a", tmp_path / "b")
