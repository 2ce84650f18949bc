"""The confusion matrix as a picture."""

import os

import matplotlib.image
import pytest

from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain.reports.confusion import draw_confusion

COUNTS = [[9, 1, 0, 0], [0, 5, 5, 0], [0, 0, 10, 0], [0, 0, 0, 0]]


def test_picture(tmp_path):
    path = tmp_path / "new/confusion.png"
    draw_confusion(path, COUNTS, EMOTIONS, "a title")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 400
    assert len({tuple(pixel) for row in pixels[::7, ::7] for pixel in row}) > 20
    assert os.listdir(path.parent) == ["confusion.png"]


def test_picture_shows_the_counts(tmp_path):
    draw_confusion(tmp_path / "a.png", COUNTS, EMOTIONS, "title")
    draw_confusion(tmp_path / "b.png", COUNTS, EMOTIONS, "title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    draw_confusion(tmp_path / "c.png", COUNTS[::-1], EMOTIONS, "title")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()


def test_picture_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        draw_confusion(tmp_path / "file/a.png", COUNTS, EMOTIONS, "title")
