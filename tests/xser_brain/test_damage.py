"""Checkpoints that rot, clocks that jump and disks that are full: noticed, and mended."""

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import faulty
import pytest
import yaml
from damage import flip, flips, is_noticed
from test_checkpoints import Value
from test_experiment import assert_equal, checkpoints

from xser_brain.brain import XSERBrain
from xser_brain.cli.train import main
from xser_brain.training import disk
from xser_brain.training.checkpoints import DAMAGED, SUMS, AtomicCheckpointer, is_whole

RUN = Path("ravdess_to_emodb/proposed/ecapa/1")


def by_step(folder: Path) -> dict[int, Path]:
    """Checkpoints of a run, the earlier first."""
    found = {
        yaml.safe_load(path.read_text())["step"]: path.parent
        for path in folder.glob("save/CKPT*/CKPT.yaml")
    }
    return dict(sorted(found.items()))


@pytest.fixture
def copied(finished, argv, tmp_path):
    shutil.copytree(finished.parents[3], tmp_path / "results")
    (tmp_path / "results" / RUN / "run.json").unlink()
    return tmp_path / "results" / RUN, lambda **kw: argv(tmp_path / "results", **kw)


def test_each_bit_that_flips_is_noticed(finished):
    folder = [*by_step(finished).values()][-1]
    assert (folder / SUMS).is_file()
    tried = flips(folder, 200)
    for path, bit in tried:
        assert is_noticed(folder, path, bit), (path.name, bit)
    assert {path.name for path, _ in tried} >= {SUMS, "CKPT.yaml", "classifier.ckpt"}


@pytest.mark.parametrize(
    ("which", "what"),
    [
        ("latest", "flipped"),
        ("best", "gone"),
        *(
            pytest.param(which, what, marks=pytest.mark.slow)
            for which, what in (
                ("latest", "cut"),
                ("latest", "gone"),
                ("latest", "empty"),
                ("best", "flipped"),
                ("best", "cut"),
                ("best", "empty"),
            )
        ),
    ],  # fmt: skip
)
def test_damaged_checkpoint_is_set_aside(which, what, copied, finished, record):
    folder, options = copied
    saved = by_step(folder)
    best = record(finished)["valid"]["step"]
    step = best if which == "best" else max(saved)
    path = saved[step] / "classifier.ckpt"
    if what == "flipped":
        flip(path, 4001)
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    elif what == "gone":
        path.unlink()
    else:
        path.write_bytes(b"")
    assert main(options()) == 0
    log = (folder / "log.txt").read_text().splitlines()
    said = [line for line in log if "is not as it was written" in line]
    assert len(said) == 1
    assert str(saved[step]) in said[0]
    assert (folder / "save" / (DAMAGED + saved[step].name)).is_dir()
    for aside in (folder / "save").glob(f"{DAMAGED}*"):
        shutil.rmtree(aside)
    # The same run, not another choice among what was left.
    assert_equal(checkpoints(folder), checkpoints(finished))
    for name in ("predictions.csv", "train_log.txt"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


def test_description_that_rots(copied, finished):
    """The file that says which checkpoint this is."""
    folder, options = copied
    for path in by_step(folder).values():
        flip(path / "CKPT.yaml", 77)
    assert main(options()) == 0
    predictions = (folder / "predictions.csv").read_bytes()
    assert predictions == (finished / "predictions.csv").read_bytes()


def test_damage_between_training_and_scoring(copied, complaint, monkeypatch):
    folder, options = copied
    fit = XSERBrain.fit

    def rot(self, *args, **kwargs):
        fit(self, *args, **kwargs)
        self.checkpointer._compared.clear()  # as in a process of its own
        for path in by_step(folder).values():
            flip(path / "classifier.ckpt", 4001)

    with monkeypatch.context() as patch:
        patch.setattr(XSERBrain, "fit", rot)
        line = complaint(options())
    assert "was damaged meanwhile" in line
    assert not (folder / "run.json").exists()
    assert main(options()) == 0


def test_checkpoints_of_an_earlier_version(copied, finished):
    """Without hashes: torch's own checksums tell."""
    folder, options = copied
    saved = by_step(folder)
    for path in saved.values():
        (path / SUMS).unlink()
    assert all(map(is_whole, saved.values()))
    path = saved[max(saved)] / "classifier.ckpt"
    with zipfile.ZipFile(path) as archive:
        item = max(archive.infolist(), key=lambda item: item.file_size)
        start = item.header_offset + 200
    flip(path, 8 * start)
    assert not is_whole(path.parent)
    assert main(options()) == 0
    predictions = (folder / "predictions.csv").read_bytes()
    assert predictions == (finished / "predictions.csv").read_bytes()


# --- The clock


def test_order_goes_by_steps(tmp_path, monkeypatch):
    """The clock is set back by a day after each."""
    value = Value(0)
    checkpointer = AtomicCheckpointer(tmp_path, {"value": value})
    day = 86400
    for step, score in enumerate([50.0, 60.0, 60.0, 40.0], 1):
        monkeypatch.setattr("time.time", lambda step=step: 1.8e9 - step * day)
        value.value = step
        meta = {"step": step, "score": score}
        checkpointer.save_and_keep_only(meta=meta, max_keys=["score"])
    left = sorted(c.meta["step"] for c in checkpointer.list_checkpoints())
    assert left == [3, 4]  # the later of the two best, and the latest
    assert checkpointer.recover_if_possible().meta["step"] == 4
    assert checkpointer.recover_if_possible(max_key="score").meta["step"] == 3


@pytest.mark.parametrize("jump", [-86400, 86400], ids=["back", "forward"])
def test_a_clock_that_jumps(jump, argv, finished, record, tmp_path, monkeypatch):
    import time

    real, start, calls = time.time, XSERBrain.on_fit_batch_start, []

    def jumping(self, *args):
        calls.append(1)
        monkeypatch.setattr("time.time", lambda: real() + jump * len(calls))
        return start(self, *args)

    monkeypatch.setattr(XSERBrain, "on_fit_batch_start", jumping)
    assert main(argv(tmp_path)) == 0
    assert_equal(checkpoints(tmp_path / RUN), checkpoints(finished))
    assert record(tmp_path / RUN)["target_all"] == record(finished)["target_all"]
    assert 0 < record(tmp_path / RUN)["seconds"] < 3600


# --- The disk


def test_torchs_words_for_a_full_disk(small_disk):
    """Whatever it says, at whichever of its writes."""
    import torch

    folder = small_disk("1m")
    state = {"a": torch.zeros(30_000), "b": torch.zeros(30_000)}
    for room in range(0, 300_000, 4096):
        faulty.fill(folder, room // 1024)
        target = folder / "state.ckpt"
        try:
            torch.save(state, target)
        except (RuntimeError, OSError) as error:
            assert "No space left" in str(disk.reason(error, folder)), (room, error)
            assert "No space left" in str(disk.reason(error)), (room, error)
            with (
                pytest.raises(RuntimeError)
                if isinstance(error, RuntimeError)
                else (pytest.raises(OSError))
            ):
                raise error
        target.unlink(missing_ok=True)
        (folder / "ballast").unlink()


@pytest.mark.parametrize(
    "room",
    [
        0,
        104,
        *(
            pytest.param(room, marks=pytest.mark.slow)
            for room in (8, 40, 72, 160, 240, 400)
        ),
    ],
)
def test_full_at_each_kind_of_write(
    room, complaint, argv, small_disk, tmp_path, record
):
    """So many KiB are left at the seventh step: one write or another is too much."""
    folder, fit_batch = small_disk("4m"), XSERBrain.fit_batch
    ballast = folder / "ballast"
    args = argv(folder, manifests=tmp_path / "manifests", steps=9)
    with pytest.MonkeyPatch.context() as patch:

        def fill(self, batch):
            if self.optimizer_step == 7 and not ballast.exists():
                faulty.fill(folder, room)
            return fit_batch(self, batch)

        patch.setattr(XSERBrain, "fit_batch", fill)
        line = complaint(args)
    assert "cannot write" in line
    assert "No space left" in line
    assert "the run goes on where it stopped" in line
    assert not (folder / RUN / "run.json").exists()
    ballast.unlink()
    assert main(args) == 0
    assert json.loads((folder / RUN / "run.json").read_text())["steps"] == 9


def test_a_disk_that_may_not_be_written_to(tmp_path, small_disk, complaint, argv):
    folder, fit_batch = small_disk("4m"), XSERBrain.fit_batch
    with pytest.MonkeyPatch.context() as patch:

        def freeze(self, batch):
            save = self.checkpointer.checkpoints_dir
            if self.optimizer_step == 7:
                for how in (["--bind", save, save], ["-o", "remount,bind,ro", save]):
                    subprocess.run(["mount", *how], check=True)
            return fit_batch(self, batch)

        patch.setattr(XSERBrain, "fit_batch", freeze)
        line = complaint(argv(folder))
    subprocess.run(["umount", folder / RUN / "save"], check=True)
    assert "Read-only file system" in line
    assert main(argv(folder)) == 0
