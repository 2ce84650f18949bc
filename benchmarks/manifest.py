"""Time manifests of up to a million utterances: validated, written, read, planned.

    OMP_NUM_THREADS=1 python benchmarks/manifest.py --sizes 10000 100000 1000000

The utterances are made up: 5000 speakers, texts of some words, no audio on disk. Half of
them are a training corpus and half the target, so that the zero-shot guard compares all
with all. Each step runs in a process of its own; memory is what the process holds at most
beyond what it held before the step. The growth exponent is that of seconds or bytes as a
power of utterances, from the least to the greatest size; 1 is linear.
"""

import argparse
import gc
import math
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

from timing import markdown

from data_prep import manifest
from data_prep.manifest import EMOTIONS, Row

STEPS = ("validate", "write", "read", "plan")
CORPORA = {"source": "en", "target": "de"}


def made_up(corpus: str, n: int) -> list[Row]:
    """Utterances of one corpus, a tenth of the speakers in valid and in test each."""
    rows = []
    for i in range(n):
        speaker, emotion = i % 2500, EMOTIONS[i // 3 % 4]
        split = {8: "valid", 9: "test"}.get(speaker % 10, "train")
        rows.append(
            Row(
                ID=f"{corpus}-{i:07}",
                duration=1 + i % 90 / 10,
                wav=f"$data_root/{corpus}/{speaker:04}/{i:07}.wav",
                sample_rate=16000,
                corpus=corpus,
                language=CORPORA[corpus],
                speaker=f"{corpus}-{speaker:04}",
                emotion=emotion,
                native_emotion=emotion,
                split=split,
                text=f"the words of utterance {i}, read aloud",
                category=emotion,
            )
        )
    return rows


def measure(step: str, n: int, folder: Path, results) -> None:
    """Run one step on n utterances; put seconds and bytes into a queue."""
    from xser_brain.protocol import Setting, System, make_plan

    paths = {name: folder / f"{name}.csv" for name in CORPORA}
    half = n // 2
    rows = {}
    if step in ("validate", "write"):
        rows = {name: made_up(name, half) for name in CORPORA}
    setting = Setting(("source",), (), "target")
    system = System("proposed", "all", {"emotion": None})
    cases = {
        "validate": lambda: [manifest.validate(rows[c], paths[c]) for c in CORPORA],
        "write": lambda: [manifest.write(paths[c], rows[c], {}) for c in CORPORA],
        "read": lambda: [manifest.read(paths[c]) for c in CORPORA],
        "plan": lambda: make_plan(setting, system, paths, folder).sha256(),
    }
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    kept = cases[step]()
    seconds = time.process_time() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    del kept
    results.put((seconds, 1024 * (after - before)))


def main() -> None:
    """Print one row a size and step, and the growth exponents."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--repeats", type=int, default=1, help="the fastest counts")
    args = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    found, rows = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for n in args.sizes:
            for step in STEPS:
                runs = []
                for _ in range(args.repeats):
                    results = processes.SimpleQueue()
                    given = (step, n, Path(folder), results)
                    process = processes.Process(target=measure, args=given)
                    process.start()
                    runs.append(results.get())
                    process.join()
                found[step, n] = seconds, held = min(runs)
                rows.append(
                    {
                        "utterances": f"{n:,}",
                        "step": step,
                        "CPU s": seconds,
                        "rows/s": n / seconds,
                        "MB": held / 1e6,
                        "MB per million": held / n,
                    }
                )
            size = sum(path.stat().st_size for path in Path(folder).glob("*.csv"))
            print(f"{n:,} utterances: {size / 1e6:.1f} MB of CSV", flush=True)
    print(markdown(rows))
    least, most = min(args.sizes), max(args.sizes)
    if least == most:
        return

    def exponent(step: str, which: int) -> float | str:
        first, last = (found[step, n][which] for n in (least, most))
        return math.log(last / first, most / least) if first and last else ""

    growth = [
        {"step": s, "exponent of s": exponent(s, 0), "exponent of MB": exponent(s, 1)}
        for s in STEPS
    ]
    print(markdown(growth))


if __name__ == "__main__":
    main()
