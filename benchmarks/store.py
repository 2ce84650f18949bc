"""Time the features' store by the number of utterances: what each of them costs.

    python benchmarks/store.py --counts 10000 100000 1000000

* ``write``: keep the vectors of each utterance, in shards;
* ``open``: find out what there is, in a new process' place;
* ``verify``: look all of them up in the order of the manifest, checksums and all;
* ``sampler``: read all of them, shuffled, in batches of 36, each as one tensor;
* ``files``: the same of one ``.npy`` an utterance, without checksums, of the smallest
  count.

Processor time of one process, the kernel's included, so that other work on the machine
counts little; what the disk takes is not in it. Values are compared with what was written.
"""

import argparse
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from timing import markdown

from xser_brain.features.cache import LOOKED_UP, Features
from xser_brain.features.store import Store

BATCH = 36


def vectors(number: int, base: np.ndarray) -> np.ndarray:
    """Those of an utterance, unlike any other's."""
    array = base.copy()
    array[0, 0] = number
    return array


def microseconds(case: Callable[[], object], utterances: int) -> float:
    """Processor time that each utterance takes of a call."""
    start = time.process_time()
    case()
    return 1e6 * (time.process_time() - start) / utterances


def read(features: Features, ids: Sequence[str]) -> None:
    """In batches; what tells an utterance is compared."""
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        batch = features.several(some)
        assert batch[:, 0, 0].tolist() == [float(row_id) for row_id in some]


def held() -> int:
    """MB of memory that is this process' own, without mapped files."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s*(\d+) kB", status)[1]) // 1000


def measure(count: int, base: np.ndarray, folder: Path) -> dict:
    """One row of the table."""
    names = {str(number): f"{number:064x}" for number in range(count)}
    writer = Store(folder, "key", {})

    def write() -> None:
        for number, name in enumerate(names.values()):
            writer.write(name, vectors(number, base))
        writer.seal()

    row = {"utterances": f"{count:,}", "write": microseconds(write, count)}
    store = Store(folder, "key", {})
    row["open"] = microseconds(store.refresh, count)
    listed = [*names.values()]

    def verify() -> None:
        for start in range(0, count, LOOKED_UP):
            places = store.places(listed[start : start + LOOKED_UP])
            assert store.gather(places) is not None

    row["verify"] = microseconds(verify, count)
    features = Features(store, names)
    ids = [str(number) for number in np.random.default_rng(0).permutation(count)]
    row["sampler"] = microseconds(lambda: read(features, ids), count)
    row["utterances/s of a core"] = f"{1e6 / row['sampler']:,.0f}"
    row["shards"] = len([*folder.rglob("*.shard")])
    row["MB held"] = held()
    return row


def of_files(count: int, base: np.ndarray, folder: Path) -> tuple[float, float]:
    """Microseconds of writing and reading one file an utterance."""
    folder.mkdir()

    def write() -> None:
        for number in range(count):
            np.save(folder / f"{number}.npy", vectors(number, base))

    def read_files() -> None:
        for number in np.random.default_rng(0).permutation(count).tolist():
            assert int(np.load(folder / f"{number}.npy")[0, 0]) == number

    return microseconds(write, count), microseconds(read_files, count)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    counts = [10_000, 100_000, 1_000_000]
    parser.add_argument("--counts", type=int, nargs="+", default=counts)
    parser.add_argument("--vectors", type=int, default=1, help="of an utterance")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--folder", help="on the disk in question; default: $TMPDIR")
    args = parser.parse_args()
    base = np.random.default_rng(0).standard_normal((args.vectors, args.width))
    base, rows = base.astype(np.float32), []
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        write, read_files = of_files(min(args.counts), base, folder / "files")
        for count in args.counts:
            rows.append(measure(count, base, folder / str(count)))
            shutil.rmtree(folder / str(count))
    finally:
        shutil.rmtree(folder)
    print(f"({args.vectors}, {args.width}) float32; CPU microseconds an utterance\n")
    print(markdown(rows))
    print(
        f"\nof {min(args.counts):,} files of one utterance each: write {write:.3g}, "
        f"read {read_files:.3g}"
    )


if __name__ == "__main__":
    main()
