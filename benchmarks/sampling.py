"""Time the hierarchical sampler, and measure what length-aware batches bring and cost.

    OMP_NUM_THREADS=1 python benchmarks/sampling.py --repeats 5
    python benchmarks/sampling.py --manifests ravdess.csv urdu.csv nemo.csv

The first table is of random corpora of 5 languages, 4 emotions and 1000 speakers: the
construction, an epoch of 560 batches of 36, and the memory that the sampler holds.
With manifests, a second table is of their training utterances, in 560 batches:

* padded: padded frames for each real one, whole batches; and with the batch run in
  two or three groups sorted by duration;
* partners: different utterances that one meets in an epoch, median;
* one speaker twice: draws of 3 utterances that hold a speaker twice, percent;
* uses: how often an utterance comes in the epoch, least and most.
"""

import argparse
import itertools
import logging
import statistics
import tracemalloc
from pathlib import Path

import numpy as np
from timing import interleaved, markdown

from data_prep import manifest
from data_prep.manifest import EMOTIONS
from xser_brain.data.sampling import HierarchicalBatches, RandomBatches

BATCHES = 560
CROP = 6.0  # seconds heard of a longer utterance, as in recipes/common/training.yaml


def random_corpus(n: int) -> list:
    """Languages, emotions, speakers and durations of n utterances."""
    rng = np.random.default_rng(0)
    languages = rng.choice(["cs", "de", "en", "fr", "ur"], n).tolist()
    speakers = map("{}-{}".format, languages, rng.integers(200, size=n).tolist())
    emotions = rng.choice(EMOTIONS, n).tolist()
    return [languages, emotions, list(speakers), rng.gamma(4, 0.8, n)]


def speed(sizes: list[int], pools: list[int], repeats: int) -> list[dict]:
    """Seconds and bytes, by size of the corpus and length_pool."""
    rows = []
    for n in sizes:
        data = random_corpus(n)

        def build(pool: int, data=data) -> HierarchicalBatches:
            return HierarchicalBatches(*data, length_pool=pool, batches=BATCHES)

        samplers = {pool: build(pool) for pool in pools}
        constructions = interleaved(
            {pool: lambda pool=pool, build=build: build(pool) for pool in pools},
            repeats,
        )
        epochs = interleaved(
            {pool: lambda s=s: sum(1 for _ in s) for pool, s in samplers.items()},
            repeats,
        )
        for pool in pools:
            tracemalloc.start()
            sampler = build(pool)
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            sum(1 for _ in sampler)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            rows.append(
                {
                    "utterances": f"{n:,}",
                    "length_pool": pool,
                    "construction s": statistics.median(constructions[pool]),
                    "epoch s": statistics.median(epochs[pool]),
                    "of length_pool 1": statistics.median(epochs[pool])
                    / statistics.median(epochs[pools[0]]),
                    "held MB": held / 1e6,
                    "peak in an epoch MB": peak / 1e6,
                }
            )
    return rows


def padding(batches: list[list[int]], durations: np.ndarray, groups: int) -> float:
    """Padded frames for each real one, batches run in groups of near lengths."""
    padded = real = 0.0
    for batch in batches:
        for group in np.array_split(np.sort(durations[batch]), groups):
            padded += len(group) * group[-1]
            real += group.sum()
    return padded / real


def partners(batches: list[list[int]], n: int) -> float:
    """Median number of different utterances that one of n met in a batch."""
    met = np.zeros((n, n), dtype=bool)
    for batch in batches:
        met[np.ix_(batch, batch)] = True
    return float(np.median(met.sum(axis=1) - 1))


def effect(paths: list[Path], pools: list[int]) -> list[dict]:
    """Padding and company, by length_pool and at random."""
    rows = [
        row
        for path in paths
        for row in manifest.read(path)
        if row.split == "train" and row.emotion
    ]
    speakers = np.array([row.speaker for row in rows])
    durations = np.array([min(row.duration, CROP) for row in rows])
    data = [row.language for row in rows], [row.emotion for row in rows], speakers
    samplers = {
        f"length_pool {pool}": HierarchicalBatches(
            *data, durations, length_pool=pool, batches=BATCHES
        )
        for pool in pools
    }
    samplers["at random"] = RandomBatches(len(rows), 36, BATCHES)
    table = []
    for name, sampler in samplers.items():
        batches = list(sampler)
        uses = np.bincount(list(itertools.chain(*batches)), minlength=len(rows))
        draws = speakers[np.array(batches)].reshape(-1, 3)
        twice = np.mean([len(set(draw)) < 3 for draw in draws])
        table.append(
            {
                "batches": name,
                "padded": padding(batches, durations, 1),
                "in 2 groups": padding(batches, durations, 2),
                "in 3 groups": padding(batches, durations, 3),
                "partners": int(partners(batches, len(rows))),
                "one speaker twice %": "-" if name == "at random" else 100 * twice,
                "uses": f"{uses.min()}-{uses.max()}",
            }
        )
    return table


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--pools", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--manifests", type=Path, nargs="+")
    args = parser.parse_args()
    logging.disable()
    print(markdown(speed(args.sizes, args.pools, args.repeats)))
    if args.manifests:
        print()
        print(markdown(effect(args.manifests, args.pools)))


if __name__ == "__main__":
    main()
