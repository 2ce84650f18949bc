"""The notebook runs from top to bottom, and is committed without what it printed."""

import shutil
from pathlib import Path

import pytest

from data_prep.manifest import EMOTIONS

ROOT = Path(__file__).resolve().parents[1]
TOUR = ROOT / "recipes/tour.ipynb"


def read(path: Path):
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    return nbformat.read(path, as_version=4)


def test_no_output_is_committed():
    cells = [cell for cell in read(TOUR).cells if cell.cell_type == "code"]
    assert cells
    for cell in cells:
        assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    pytest.importorskip("espeakng_loader", reason="stand-ins need the extra demo")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = read(shutil.copy(TOUR, tmp_path))
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=1200, resources=where).execute()
    printed = [
        "\n".join(
            output.get("text") or output.data.get("text/markdown") or str(output.data)
            for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    _, trained, figures, picture, wrong, table, predicted = printed
    assert "emodb never heard in training" in trained
    assert "trained on ['en', 'ur', 'zh']" in figures
    assert "95 % interval" in figures
    assert "image/png" in picture
    assert "'predicted'" in wrong
    assert "| Baseline 2 |" in table and "| Proposed |" in table
    assert predicted.split()[1] in EMOTIONS
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"tour.ipynb", "results"}
