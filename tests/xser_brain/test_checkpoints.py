"""A checkpoint is seen whole or not at all, and holds every generator."""

import random

import numpy as np
import pytest
import torch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.epoch_loop import EpochCounterWithStopper

from xser_brain.training.checkpoints import UNFINISHED, AtomicCheckpointer, RunState


@register_checkpoint_hooks
class Value:
    """A number that can be saved, unless it is told to fail half-way."""

    def __init__(self, value):
        self.value = value
        self.fails = False

    @mark_as_saver
    def _save(self, path):
        path.write_text(str(self.value))
        if self.fails:
            raise OSError("no space left")

    @mark_as_loader
    def _load(self, path, end_of_epoch):
        self.value = int(path.read_text())


@pytest.fixture
def saved(tmp_path):
    value = Value(1)
    checkpointer = AtomicCheckpointer(tmp_path, {"a": Value(0), "value": value})
    return checkpointer, value


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_finished_checkpoint_has_its_own_name(saved, tmp_path):
    checkpointer, _ = saved
    checkpoint = checkpointer.save_checkpoint(meta={"uar": 50.0})
    assert names(tmp_path) == [checkpoint.path.name]
    assert not checkpoint.path.name.startswith(UNFINISHED)
    for path in checkpoint.paramfiles.values():
        assert path.is_file()
    assert checkpointer.list_checkpoints() == [checkpoint]


def test_nothing_shows_while_it_is_written(saved, tmp_path):
    checkpointer, _ = saved
    seen = []
    checkpointer.custom_save_hooks["value"] = lambda obj, path: seen.append(
        checkpointer.list_checkpoints()
    )
    checkpointer.save_checkpoint()
    assert seen == [[]]
    assert len(checkpointer.list_checkpoints()) == 1


def test_half_written_checkpoint_is_not_resumed_from(saved, tmp_path):
    checkpointer, value = saved
    first = checkpointer.save_checkpoint()
    value.value, value.fails = 2, True
    with pytest.raises(OSError, match="no space"):
        checkpointer.save_checkpoint()
    assert len(names(tmp_path)) == 2
    assert checkpointer.recover_if_possible().path == first.path
    assert value.value == 1
    checkpointer.clean()
    assert names(tmp_path) == [first.path.name]
    value.fails = False
    second = checkpointer.save_checkpoint()
    assert second.path != first.path
    assert len(checkpointer.list_checkpoints()) == 2


def test_first_checkpoint_half_written(saved):
    checkpointer, value = saved
    value.fails = True
    with pytest.raises(OSError, match="no space"):
        checkpointer.save_checkpoint()
    assert checkpointer.recover_if_possible() is None


def test_keep_only_best_and_last(saved, tmp_path):
    checkpointer, value = saved
    for value.value, score in enumerate([30.0, 60.0, 40.0, 50.0]):
        checkpointer.save_and_keep_only(meta={"uar": score}, max_keys=["uar"])
    assert len(names(tmp_path)) == 2
    checkpointer.recover_if_possible(max_key="uar")
    assert value.value == 1
    checkpointer.recover_if_possible()
    assert value.value == 3


def test_a_name_that_is_taken_again_is_read_again(saved, tmp_path):
    """Only the last is kept: in one second, every other has the same name."""
    checkpointer, value = saved
    for value.value in range(6):
        meta = {"step": value.value}
        checkpointer.save_and_keep_only(meta=meta, max_keys=["step"])
    (kept,) = checkpointer.list_checkpoints()
    assert kept.meta["step"] == 5


def test_checkpoints_of_one_second_have_different_names(saved, tmp_path):
    checkpointer, _ = saved
    for _ in range(4):
        checkpointer.save_checkpoint()
    assert len(names(tmp_path)) == 4


def test_clean_leaves_the_finished(saved, tmp_path):
    checkpointer, _ = saved
    checkpoint = checkpointer.save_checkpoint()
    half = tmp_path / f"{UNFINISHED}CKPT+x"
    half.mkdir()
    (half / "CKPT.yaml").write_text("unixtime: 1")
    checkpointer.clean()
    checkpointer.clean()
    assert names(tmp_path) == [checkpoint.path.name]


def test_early_stopping_survives(tmp_path):
    """SpeechBrain on its own saves nothing of it but the epoch."""
    counter = EpochCounterWithStopper(9, 2, 0, "max")
    for epoch, score in zip(counter, [50.0, 40.0, 30.0], strict=False):
        assert epoch == counter.current
        counter.update_metric(score)
    assert counter.should_stop
    other = EpochCounterWithStopper(9, 2, 0, "max")
    AtomicCheckpointer(tmp_path, {"counter": counter}).save_checkpoint()
    AtomicCheckpointer(tmp_path, {"counter": other}).recover_if_possible()
    assert vars(other) == vars(counter)
    assert list(other) == []


def draw():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()


def test_run_state_restores_all_generators(tmp_path):
    torch.randn(3), np.random.randn(3), random.gauss(0, 1)  # odd places in the streams
    state = RunState()
    state.seconds = 12.5
    state.save(tmp_path / "state")
    expected = draw()
    assert draw() != expected
    other = RunState()
    other.load(tmp_path / "state", end_of_epoch=False)
    assert other.seconds == 12.5
    assert draw() == expected
    # A cached normal deviate is state, too.
    np.random.seed(1)
    np.random.randn(1)
    state.save(tmp_path / "odd")
    expected = np.random.randn(1)
    state.load(tmp_path / "odd", end_of_epoch=True)
    assert np.random.randn(1) == expected
