"""Exact counts of what the samplers draw."""

import itertools
import json
import logging
from collections import Counter

import numpy as np
import pytest
from speechbrain.utils.checkpoints import Checkpointer

from data_prep.errors import UserError
from xser_brain.data.sampling import HierarchicalBatches, RandomBatches

LANGUAGES = ("cs", "de", "en", "fr", "ur")
EMOTIONS = ("neutral", "happy", "angry", "sad")


def corpus(sizes, speakers, seed=0):
    """Shuffled columns; sizes and speakers (of a cell) by (language, emotion)."""
    rows = [
        (language, emotion, f"{language}-{i % speakers}" if speakers else "")
        for (language, emotion), size in sizes.items()
        for i in range(size)
    ]
    np.random.default_rng(seed).shuffle(rows)
    return [list(column) for column in zip(*rows, strict=True)]


def even(languages, size):
    return dict.fromkeys(itertools.product(languages, EMOTIONS), size)


def uneven(languages, least):
    cells = itertools.product(languages, EMOTIONS)
    return {cell: least + i * i for i, cell in enumerate(cells)}


def seconds(n, seed=0):
    """Durations like those of speech, some of them equal."""
    return np.random.default_rng(seed).gamma(4, 0.8, n).round(1).tolist()


def by_cell(data, batch):
    """What a batch, or any list of indices, holds of each cell, in order."""
    languages, emotions, *_ = data
    cells = {}
    for i in batch:
        cells.setdefault((languages[i], emotions[i]), []).append(i)
    return cells


@pytest.mark.parametrize("length_pool", [1, 2, 16])
@pytest.mark.parametrize("speakers", [0, 1, 3, 7])
@pytest.mark.parametrize("n_utterances", [1, 2, 3, 5])
@pytest.mark.parametrize("n_emotions", [1, 3, 4])
@pytest.mark.parametrize("n_languages", [1, 3, 5])
def test_counts_of_every_batch(
    n_languages, n_emotions, n_utterances, speakers, length_pool
):
    data = corpus(uneven(LANGUAGES, least=5), speakers)
    sampler = HierarchicalBatches(
        *data,
        seconds(len(data[0])),
        length_pool=length_pool,
        n_languages=n_languages,
        n_emotions=n_emotions,
        n_utterances=n_utterances,
        batches=30,
    )
    batches = list(sampler)
    assert len(batches) == len(sampler) == 30
    for batch in batches:
        assert all(type(i) is int for i in batch)
        cells = by_cell(data, batch)
        languages, emotions = (set(names) for names in zip(*cells, strict=True))
        assert len(languages) == n_languages and len(emotions) == n_emotions
        assert set(cells) == set(itertools.product(languages, emotions))
        assert all(len(cell) == n_utterances for cell in cells.values())
        assert len(set(batch)) == len(batch)


@pytest.mark.parametrize("length_pool", [1, 2, 4, 100])
@pytest.mark.parametrize("speakers", [0, 2, 5])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 10, 11, 150])
def test_a_cell_gives_all_before_it_repeats(size, speakers, length_pool):
    data = corpus(even(LANGUAGES[:2], size), speakers)
    batches = HierarchicalBatches(
        *data,
        seconds(len(data[0])),
        n_languages=2,
        length_pool=length_pool,
        batches=200,
    )
    for drawn in by_cell(data, itertools.chain(*batches)).values():
        assert len(drawn) == 600
        for start in range(0, 600 - size + 1, size):
            assert len(set(drawn[start : start + size])) == size


def test_coverage_of_very_uneven_speakers():
    speakers = ["a"] * 900 + ["b"] * 60 + [f"c{i}" for i in range(40)]
    data = ["en"] * 1000, ["sad"] * 1000, speakers
    sampler = HierarchicalBatches(
        *data, n_languages=1, n_emotions=1, n_utterances=4, batches=500
    )
    drawn = list(itertools.chain(*sampler))
    assert Counter(drawn) == dict.fromkeys(range(1000), 2)
    # Spread evenly: every tenth of a pass has a tenth of each speaker, or nearly.
    for start in range(0, 1000, 100):
        share = Counter(speakers[i] for i in drawn[start : start + 100])
        assert abs(share["a"] - 90) <= 8 and abs(share["b"] - 6) <= 5


@pytest.mark.parametrize("n_utterances", [2, 3, 5])
@pytest.mark.parametrize("speakers", [5, 6, 8])
@pytest.mark.parametrize("each", [1, 2, 7])
def test_balanced_speakers_differ(n_utterances, speakers, each):
    data = corpus(even(LANGUAGES[:2], speakers * each), speakers)
    sampler = HierarchicalBatches(
        *data, n_languages=2, n_utterances=n_utterances, batches=100
    )
    for batch in sampler:
        for cell in by_cell(data, batch).values():
            assert len({data[2][i] for i in cell}) == n_utterances


@pytest.mark.parametrize(("length_pool", "allowed"), [(1, 3), (4, 25), (16, 25)])
def test_uneven_speakers_mostly_differ(length_pool, allowed):
    speakers = ["a"] * 30 + ["b"] * 20 + [f"c{i}" for i in range(50)]
    sampler = HierarchicalBatches(
        ["en"] * 100,
        ["sad"] * 100,
        speakers,
        seconds(100),
        n_languages=1,
        n_emotions=1,
        length_pool=length_pool,
        batches=300,
    )
    alike = sum(len({speakers[i] for i in batch}) < 3 for batch in sampler)
    assert alike <= allowed  # of 300; a random draw has about 95


def test_unknown_speakers_are_not_taken_for_one():
    """Else each draw would look for the known one, and use it up early."""
    speakers = ["a"] * 10 + [""] * 90
    sampler = HierarchicalBatches(
        ["en"] * 100,
        ["sad"] * 100,
        speakers,
        n_languages=1,
        n_emotions=1,
        n_utterances=2,
        batches=50,
    )
    known = [sum(speakers[i] == "a" for i in batch) for batch in sampler]
    assert sum(known) == 10 and 3 <= sum(known[:25]) <= 7


def test_every_utterance_is_equally_likely_in_an_epoch():
    """Whether its speaker has many or few: epochs of a tenth of a pass."""
    speakers = ["a"] * 300 + ["b"] * 60 + [f"c{i}" for i in range(20)] + [""] * 20
    sampler = HierarchicalBatches(
        ["en"] * 400,
        ["sad"] * 400,
        speakers,
        n_languages=1,
        n_emotions=1,
        n_utterances=1,
        batches=40,
    )
    counts = np.zeros(400)
    for epoch in range(1000):
        sampler.set_epoch(epoch)
        counts[np.concatenate(list(sampler))] += 1
    assert abs(counts - 100).max() < 50  # 5 sigma
    for part in (counts[:300], counts[300:360], counts[360:]):
        assert abs(part.mean() - 100) < 8  # 5 sigma of the smallest


@pytest.mark.parametrize("length_pool", [2, 4, 100])
def test_every_length_is_equally_likely_in_an_epoch(length_pool):
    """The shortest and the longest, too: epochs of three tenths of a pass."""
    durations = np.sort(seconds(120))
    sampler = HierarchicalBatches(
        ["en"] * 120,
        ["sad"] * 120,
        [""] * 120,
        durations,
        n_languages=1,
        n_emotions=1,
        length_pool=length_pool,
        batches=12,
    )
    counts = np.zeros(120)
    for epoch in range(1000):
        sampler.set_epoch(epoch)
        counts[np.concatenate(list(sampler))] += 1
    assert abs(counts - 300).max() < 72  # 5 sigma
    for part in (counts[:12], counts[54:66], counts[-12:]):
        assert abs(part.mean() - 300) < 21  # 5 sigma


@pytest.mark.parametrize("n_utterances", [1, 2, 4])
def test_cells_give_the_same_ranks_of_length(n_utterances):
    """All of a cell in its pool: a batch is one slice of every cell's order."""
    sizes = even(LANGUAGES[:3], 24)
    data = corpus(sizes, speakers=0)
    durations = np.random.default_rng(1).permutation(len(data[0])) / 10
    everything = by_cell(data, range(len(durations)))
    sampler = HierarchicalBatches(
        *data,
        durations,
        n_utterances=n_utterances,
        length_pool=24 // n_utterances,
        batches=24 // n_utterances,
    )
    slices = []
    for batch in sampler:
        ranks = {
            tuple(sorted(sum(durations[everything[name]] < durations[i]) for i in cell))
            for name, cell in by_cell(data, batch).items()
        }
        assert len(ranks) == 1
        slices += ranks
    whole = [tuple(range(i, i + n_utterances)) for i in range(0, 24, n_utterances)]
    assert sorted(slices) == whole and slices != whole


def test_batches_are_padded_less():
    data = corpus(uneven(LANGUAGES[:3], least=50), speakers=7)
    durations = np.array(seconds(len(data[0])))

    def padded(length_pool):
        sampler = HierarchicalBatches(
            *data, durations, length_pool=length_pool, batches=300
        )
        batches = durations[np.array(list(sampler))]
        return batches.max(axis=1).sum() * batches.shape[1] / batches.sum()

    assert padded(1) > 2.2 and padded(4) < 1.9 and padded(16) < 1.75


def test_lengths_do_not_matter_with_a_pool_of_one():
    data = corpus(uneven(LANGUAGES, least=5), speakers=3)
    plain = HierarchicalBatches(*data, batches=20)
    with_durations = HierarchicalBatches(*data, seconds(len(data[0])), batches=20)
    assert list(plain) == list(with_durations)


def test_small_cells_repeat_and_are_logged_once(caplog):
    sizes = even(LANGUAGES[:3], 9) | {("de", "sad"): 2}
    data = corpus(sizes, speakers=3)
    with caplog.at_level(logging.WARNING, logger="xser_brain"):
        sampler = HierarchicalBatches(*data, batches=20)
        for batch in sampler:
            cells = by_cell(data, batch)
            small = cells.pop(("de", "sad"))
            assert len(small) == 3 and len(set(small)) == 2
            assert all(len(set(cell)) == 3 for cell in cells.values())
    [record] = caplog.records
    assert "de/sad (2)" in record.getMessage()


def test_languages_and_emotions_come_equally_often():
    data = corpus(uneven(LANGUAGES, least=3), speakers=3)
    sampler = HierarchicalBatches(*data, n_emotions=2, n_utterances=1, batches=2000)
    drawn = Counter()
    for batch in sampler:
        drawn.update({data[0][i] for i in batch})
        drawn.update({data[1][i] for i in batch})
    assert all(abs(drawn[name] - 1200) < 110 for name in LANGUAGES)  # 5 sigma
    assert all(abs(drawn[name] - 1000) < 112 for name in EMOTIONS)


def hierarchical(seed=0):
    return HierarchicalBatches(
        *corpus(uneven(LANGUAGES, least=3), 4), batches=8, seed=seed
    )


def near_lengths(seed=0):
    data = corpus(uneven(LANGUAGES, least=3), 4)
    return HierarchicalBatches(
        *data, seconds(len(data[0])), length_pool=4, batches=8, seed=seed
    )


def at_random(seed=0):
    return RandomBatches(101, batch_size=12, batches=8, seed=seed)


def batches_of(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("make", [hierarchical, near_lengths, at_random])
def test_pure_in_seed_and_epoch(make):
    sampler = make()
    epochs = [batches_of(sampler, epoch) for epoch in range(4)]
    assert epochs[2] == batches_of(make(), 2) == batches_of(sampler, 2)
    assert all(a != b for a, b in itertools.combinations(epochs, 2))
    assert epochs[2] != batches_of(make(seed=1), 2)


@pytest.mark.parametrize("make", [hierarchical, near_lengths, at_random])
def test_iterators_do_not_disturb_each_other(make):
    sampler = make()
    half_way = iter(sampler)
    first = next(half_way)
    batches_of(sampler, 1)
    assert [first, *half_way] == list(make())


@pytest.mark.parametrize("make", [hierarchical, near_lengths, at_random])
def test_checkpoint(make, tmp_path):
    sampler = make()
    sampler.set_epoch(3)
    checkpoint = Checkpointer(tmp_path, {"sampler": sampler}).save_checkpoint()
    state = json.loads(checkpoint.paramfiles["sampler"].read_text())
    assert state == {"seed": 0, "epoch": 3}

    resumed = make()
    Checkpointer(tmp_path, {"sampler": resumed}).recover_if_possible()
    assert resumed.epoch == 3 and list(resumed) == list(sampler)

    with pytest.raises(UserError, match="seed 0, this run has 5"):
        Checkpointer(tmp_path, {"sampler": make(5)}).recover_if_possible()


@pytest.mark.parametrize("batch_size", [1, 7, 36])
@pytest.mark.parametrize("n", [1, 5, 36, 100, 1000])
def test_random_stream_of_passes(n, batch_size):
    sampler = RandomBatches(n, batch_size, batches=11)
    stream = []
    for epoch in range(5):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) == 11
        assert all(len(batch) == batch_size for batch in batches)
        stream += itertools.chain(*batches)
    passes = [stream[i : i + n] for i in range(0, len(stream), n)]
    assert all(sorted(p) == list(range(n)) for p in passes[:-1])
    assert len(set(passes[-1])) == len(passes[-1])
    if n > 5 and len(passes) > 2:
        assert passes[0] != passes[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_languages": 4}, "has 3 languages.*languages_per_batch"),
        ({"n_emotions": 5}, "has 4 emotions.*emotions_per_batch"),
        ({"n_languages": 0}, "languages_per_batch is 0"),
        ({"n_utterances": 0}, "0 utterances of each"),
        ({"length_pool": 0}, "length_pool is 0"),
        ({"length_pool": 4}, "no durations.*set length_pool to 1"),
        ({"batches": 0}, "0 batches"),
    ],
)
def test_hierarchical_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        HierarchicalBatches(*corpus(even(LANGUAGES[:3], 3), 2), **arguments)


def test_empty_cell():
    sizes = even(LANGUAGES[:3], 3)
    del sizes["de", "sad"]
    columns = corpus(sizes, 2)
    for batch in HierarchicalBatches(*columns, n_emotions=len(EMOTIONS), batches=20):
        cells = Counter((columns[0][i], columns[1][i]) for i in batch)
        assert ("de", "sad") not in cells
        assert set(cells.values()) == {3}
        assert len(cells) == 3 * len(EMOTIONS) - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "no training utterance"),
        ({"n": 3, "batch_size": 0}, "batch_size is 0"),
        ({"n": 3, "batches": -1}, "-1 batches"),
    ],
)
def test_random_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        RandomBatches(**arguments)
