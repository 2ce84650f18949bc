"""Shards give back what files of one array each would, whoever wrote them."""

import multiprocessing
import os
import signal

import numpy as np
import pytest

from data_prep.errors import UserError
from xser_brain import cli
from xser_brain.features import shards, store
from xser_brain.features.shards import Shard
from xser_brain.features.store import Store, groups


def arrays(many: int, shape=(3, 5), kind=np.float32, seed=0) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).standard_normal((many, *shape)).astype(kind)
    return {f"{seed}-{number}": value for number, value in enumerate(values)}


def written(root, named) -> Store:
    own = Store(root, "key", {"source": "x"})
    for name, array in named.items():
        own.write(name, array)
    own.seal()
    return own


def opened(root) -> Store:
    own = Store(root, "key", {})
    own.refresh()
    return own


@pytest.fixture
def small_shards(monkeypatch):
    """Some arrays a shard."""
    monkeypatch.setattr(store, "LARGEST", 1000)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7,), (2, 5), (3, 4, 2), (0, 4)], ids=str)
def test_arrays_are_those_of_single_files(shape, kind, tmp_path, small_shards):
    named = arrays(100, shape, kind)
    (tmp_path / "files").mkdir()
    for name, array in named.items():
        np.save(tmp_path / f"files/{name}.npy", array)
    written(tmp_path / "s", named)
    own = opened(tmp_path / "s")
    assert bool(np.prod(shape)) is (len(list(tmp_path.rglob("*.shard"))) > 1)
    order = np.random.default_rng(1).permutation([*named]).tolist() * 2
    gathered = own.gather(own.places(order))
    for name, found in zip(order, gathered, strict=True):
        expected = np.load(tmp_path / f"files/{name}.npy")
        for array in (own.read(name), found):
            assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
            assert array.tobytes() == expected.tobytes()


def test_arrays_that_are_not_alike(tmp_path):
    named = arrays(4) | arrays(3, (2, 9), np.float16, 1) | arrays(2, (6,), seed=2)
    written(tmp_path, named)
    own = opened(tmp_path)
    assert len(list(tmp_path.rglob("*.shard"))) == 1
    assert own.gather(own.places([*named])) is None
    for name, array in named.items():
        np.testing.assert_array_equal(own.read(name), array)


def test_what_is_not_there(tmp_path):
    written(tmp_path, arrays(3))
    own = opened(tmp_path)
    assert own.read("other") is None
    assert own.places(["0-0", "other"]).tolist() == [0, -1]
    assert own.gather(own.places(["0-0", "other"])) is None


def test_arrays_cannot_be_changed_by_who_reads_them(tmp_path):
    written(tmp_path, arrays(3))
    with pytest.raises(ValueError, match="read-only"):
        opened(tmp_path).read("0-1")[:] = 0


def test_shards_are_few(tmp_path, monkeypatch):
    """The longer a process works, the longer it collects."""
    now = [0.0]
    monkeypatch.setattr(store.time, "monotonic", lambda: now[0])
    own = Store(tmp_path, "key", {})
    for number in range(3600):  # one a second
        now[0] += 1
        own.write(str(number), np.ones(3))
    assert len(list(tmp_path.rglob("*.shard"))) < 70
    seen = opened(tmp_path)
    assert min(seen.places([str(number) for number in range(3540)])) >= 0


FATES = {
    "cut": lambda data: data[:-20],
    "cut in the index": lambda data: data[:100],
    "a bit of the head": lambda data: data[:9] + bytes([data[9] ^ 1]) + data[10:],
    "a bit of the index": lambda data: data[:70] + bytes([data[70] ^ 1]) + data[71:],
    "a bit of an array": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("fate", FATES)
def test_a_damaged_shard_loses_only_what_is_in_it(fate, tmp_path, small_shards):
    named = arrays(100)
    written(tmp_path, named)
    path = sorted(tmp_path.rglob("*.shard"))[1]
    path.write_bytes(FATES[fate](path.read_bytes()))
    own = opened(tmp_path)
    lost = {name for name in named if own.read(name) is None}
    assert own.damaged == 1
    assert 0 < len(lost) <= shards.count(path)
    assert not path.exists()
    assert not {name for name in named if opened(tmp_path).read(name) is None} - {
        name for name in named if own.path(name) in (None, path)
    }
    for name in named:
        own.write(name, named[name])
    own.seal()
    again = opened(tmp_path)
    for name, array in named.items():
        np.testing.assert_array_equal(again.read(name), array)


def test_a_kill_loses_what_was_not_written_yet(tmp_path, small_shards):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work():
        own = Store(tmp_path, "key", {})
        for number, (name, array) in enumerate(arrays(10_000).items()):
            own.write(name, array)
            if number == 500:
                theirs.send("some")

    process = context.Process(target=work)
    process.start()
    ours.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    own, named = opened(tmp_path), arrays(10_000)
    kept = [name for name in named if own.read(name) is not None]
    assert own.damaged == 0
    assert len(kept) > 450
    for name in kept:
        np.testing.assert_array_equal(own.read(name), named[name])


def test_two_processes_write_at_once(tmp_path, small_shards):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)

    def work(seed):
        start.wait()
        written(tmp_path, arrays(500, seed=seed) | arrays(100, seed=9))

    processes = [context.Process(target=work, args=(seed,)) for seed in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    own = opened(tmp_path)
    for name, array in [item for s in (1, 2) for item in arrays(500, seed=s).items()]:
        np.testing.assert_array_equal(own.read(name), array)
    for name, array in arrays(100, seed=9).items():
        np.testing.assert_array_equal(own.read(name), array)


def test_what_another_process_writes_is_seen(tmp_path):
    own = opened(tmp_path)
    written(tmp_path, arrays(3))
    assert own.read("0-1") is None
    own.refresh()
    assert own.read("0-1") is not None


def test_more_shards_than_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LARGEST", 1)
    monkeypatch.setattr(store, "MOST_OPEN", 3)
    named = arrays(20)
    written(tmp_path, named)
    own = opened(tmp_path)
    gathered = own.gather(own.places([*named]))
    assert gathered.tobytes() == np.array([*named.values()]).tobytes()
    assert len(own._open) == 3


def test_a_shard_is_evicted_as_a_whole(tmp_path, small_shards):
    written(tmp_path, arrays(100))
    paths = sorted(tmp_path.rglob("*.shard"))
    for path in paths[1:]:
        os.utime(path, (2000, 2000))
    os.utime(paths[0], (1000, 1000))
    size = sum(path.stat().st_size for path in paths)
    Store(tmp_path, "other", {}, limit=size / 1e9).make_room(10)
    assert sorted(tmp_path.rglob("*.shard")) == paths[1:]


def test_looking_into_a_shard_is_no_use(tmp_path, small_shards):
    written(tmp_path, arrays(100))
    paths = sorted(tmp_path.rglob("*.shard"))
    for path in paths:
        os.utime(path, (1000, 1000))
    own = opened(tmp_path)
    assert {path.stat().st_atime for path in paths} == {1000}
    own.read("0-0")
    assert [path for path in paths if path.stat().st_atime > 1000] == [own.path("0-0")]


def test_a_full_disk(small_disk):
    disk = small_disk("100k")
    own = Store(disk, "key", {})
    with pytest.raises(UserError, match="cannot keep features in .*--features=DIR"):
        for name, array in arrays(40, (1000,)).items():
            own.write(name, array)
            own.seal()
    assert not list(disk.rglob("*.tmp"))
    left = opened(disk)
    for path in disk.rglob("*.shard"):
        assert Shard(path).read(0).any()
    assert left.damaged == 0


def test_files_of_earlier_versions(tmp_path, capsys):
    """They are not read, but go when there is need of room, or when it is asked for."""
    written(tmp_path, arrays(3))
    old = tmp_path / "key/ab/abcd.npy"
    old.parent.mkdir()
    np.save(old, np.zeros(1000))
    os.utime(old, (1000, 1000))
    assert groups(tmp_path)[0].arrays == 4
    Store(tmp_path, "other", {}, limit=9e-6).make_room(8000)
    assert not old.exists()
    np.save(old, np.zeros(1000))
    assert cli.main(["cache", "clear", str(tmp_path), "--yes"]) == 0
    assert not (tmp_path / "key").exists()
