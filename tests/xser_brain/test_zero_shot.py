"""Not one file of the target is opened before training has ended.

The kernel reports every open and read below the watched folders (inotify), by whatever
library: libsndfile's do not go through Python.
"""

import os

import pytest

from data_prep import audio
from xser_brain.brain import XSERBrain
from xser_brain.cli.train import main
from xser_brain.protocol import make_plan
from xser_brain.training import spec

inotify_simple = pytest.importorskip("inotify_simple")
SEEN = inotify_simple.flags.OPEN | inotify_simple.flags.ACCESS


class Watch:
    """All opens and reads of files below a folder."""

    def __init__(self, folder):
        self._inotify = inotify_simple.INotify()
        self._folders = {
            self._inotify.add_watch(parent, SEEN): parent
            for parent, _, _ in os.walk(folder)
        }
        self._size = sum(len(names) for _, _, names in os.walk(folder))
        assert self._size

    def drain(self) -> set[str]:
        """Files touched since the last call."""
        touched = set()
        while events := self._inotify.read(timeout=0):
            for event in events:
                assert not event.mask & inotify_simple.flags.Q_OVERFLOW
                if not event.mask & inotify_simple.flags.ISDIR:
                    touched.add(os.path.join(self._folders[event.wd], event.name))
        return touched

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._inotify.close()


def test_the_watch_sees_reads(tone, tmp_path):
    path = tone(tmp_path / "a/b/c.wav")
    with Watch(tmp_path) as watch:
        assert watch.drain() == set()
        os.stat(path)
        assert watch.drain() == set()
        audio.load(str(path))
        assert watch.drain() == {str(path)}


CASES = {
    "waveforms": {},
    "waveforms, read ahead": {"num_workers": 1, "steps": 6},
    "cached features": {"encoder": "wav2vec2", "projection": 8},
    "cached prefix": {"encoder": "wav2vec2", "adaptation": "paper", "steps": 3},
    "a solver": {"encoder": "wav2vec2", "system": "robust"},
    "baseline1": {"system": "baseline1", "steps": 6},
    "a language judges": {
        "system": "baseline2",
        "steps": 6,
        "selection": "{language: ur}",
    },
}


@pytest.mark.parametrize("case", CASES)
def test_training_opens_no_file_of_the_target(
    case, argv, standins, small_encoder, monkeypatch, tmp_path
):
    options = dict(CASES[case])
    if "encoder" in options:
        options["encoder_source"] = small_encoder("wav2vec2")
    touched = {}
    with Watch(standins / "emodb") as target, Watch(standins / "ravdess") as source:

        def note(stage):
            touched[stage] = {"target": target.drain(), "source": source.drain()}

        def planned(*args):
            touched["plan"] = make_plan(*args)
            note("preparation")
            return touched["plan"]

        def noted(original):
            def train(self, *args, **kwargs):
                original(self, *args, **kwargs)
                note("training")

            return train

        monkeypatch.setattr(spec, "make_plan", planned)
        for name in ("fit", "validate"):
            monkeypatch.setattr(XSERBrain, name, noted(getattr(XSERBrain, name)))
        assert main(argv(tmp_path, **options)) == 0
        note("evaluation")

    plan = touched["plan"]

    def files(rows):
        return {row.path(standins) for row in rows}

    assert touched["training"]["target"] == set()
    trained = [row for row in plan.train + plan.valid if row.corpus == "ravdess"]
    assert touched["training"]["source"]
    assert touched["training"]["source"] <= files(trained)
    # The watch was awake: evaluation opens all of the target, and what was trained on.
    assert touched["evaluation"]["target"] == files(plan.test + plan.rest)
    assert touched["evaluation"]["source"] <= files(trained)
