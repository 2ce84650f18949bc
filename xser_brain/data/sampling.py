"""Which utterances make up a batch: hierarchical (paper section 2.5), or at random.

An epoch is a number of batches, one validation interval, and not a pass over the data:
budgets are optimiser steps. The batches of an epoch are a function of the seed, the
epoch and the data alone, so that a resumed run sees the very same ones.
"""

import bisect
import itertools
import json
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from torch.utils.data import Sampler

from data_prep.errors import UserError
from data_prep.manifest import Row
from data_prep.outside import read_json

logger = logging.getLogger(__name__)

LOOK_AHEAD = 32  # utterances beyond a draw that are searched for another speaker


@register_checkpoint_hooks
class Batches(Sampler[list[int]]):
    """A batch sampler to subclass: length, epoch and checkpoint are here.

    What a system names as its ``sampler`` is called with the training utterances (rows
    of manifests) and, by name, ``batches`` and ``seed``. A subclass writes ``__iter__``,
    which yields a list of positions in them for each batch of ``self.epoch``, the same
    ones whenever it is asked.

    Arguments
    ---------
    batches : int
        Batches in an epoch.
    seed : int
        Seed of every epoch's batches.
    """

    def __init__(self, batches: int, seed: int) -> None:
        if batches < 1:
            raise UserError(f"sampling: {batches} batches an epoch: set at least 1")
        self.batches = batches
        self.seed = int(seed)
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches the next iteration gives."""
        self.epoch = int(epoch)

    @mark_as_saver
    def save(self, path: str | Path) -> None:
        """Writes seed and epoch to a JSON file."""
        state = {"seed": self.seed, "epoch": self.epoch}
        Path(path).write_text(json.dumps(state), encoding="utf-8")

    @mark_as_loader
    def load(self, path: str | Path, end_of_epoch: bool) -> None:
        """Takes the epoch from a JSON file; its seed must be this sampler's."""
        what, mend = "the state of a sampler", "remove that checkpoint"
        state = read_json(Path(path), what, {"seed": int, "epoch": int}, mend=mend)
        if state["seed"] != self.seed:
            raise UserError(
                f"the checkpoint {path} was sampled with seed {state['seed']}, this "
                f"run has {self.seed}: set --seed={state['seed']} or another folder"
            )
        self.epoch = state["epoch"]


class HierarchicalBatches(Batches):
    """Batches of some languages, times some emotions, times some utterances of each.

    A batch draws its languages, then its emotions, once for the whole batch: with the
    same emotions in each of its languages, every utterance has positives in the others
    (emotions drawn for each language on its own would be the paper's other reading).
    Then it draws the utterances of each (language, emotion) cell. Inside an epoch, a
    cell gives all its utterances before it repeats one, in a random order over which
    every speaker is spread evenly; a draw prefers speakers it does not have yet, and
    a batch holds no utterance twice unless a cell is smaller than a draw. An emotion that
    a language lacks is not drawn for it.

    With a ``length_pool`` above 1, batches are padded less: each cell holds its next
    ``length_pool * n_utterances`` utterances sorted by duration, a batch chooses one
    place from the shortest to the longest, and each of its cells gives utterances next
    to each other at that place of its own pool, again of different speakers as far as
    it can. All of the above still holds, and every utterance is as likely as before;
    what changes is the company: an utterance meets others of like rank in length.

    Arguments
    ---------
    languages, emotions, speakers : (utterances,) Sequence[str]
        Of each utterance; an unknown speaker is "", and taken for a new one each time.
    durations : (utterances,) Sequence[float], optional
        Seconds used of each utterance; a length_pool above 1 needs them.
    n_languages, n_emotions, n_utterances : int
        Languages in a batch, emotions of each, utterances of each of both.
    length_pool : int
        Draws of a cell that are sorted by duration together; 1 leaves lengths alone.
    batches : int
        Batches in an epoch.
    seed : int
        Seed of every epoch's batches.

    Raises
    ------
    UserError
        If there are too few languages or emotions, or if lengths are asked for without
        durations.

    Example
    -------
    >>> languages, emotions = ["de", "de", "ur", "ur"] * 2, ["happy", "sad"] * 4
    >>> sampler = HierarchicalBatches(
    ...     languages, emotions, [""] * 8, n_languages=2, n_emotions=1, n_utterances=2
    ... )
    >>> batch = next(iter(sampler))
    >>> sorted(languages[i] for i in batch), len({emotions[i] for i in batch})
    (['de', 'de', 'ur', 'ur'], 1)
    """

    def __init__(
        self,
        languages: Sequence[str],
        emotions: Sequence[str],
        speakers: Sequence[str],
        durations: Sequence[float] | None = None,
        *,
        n_languages: int = 3,
        n_emotions: int = 4,
        n_utterances: int = 3,
        length_pool: int = 1,
        batches: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__(batches, seed)
        if length_pool < 1:
            raise UserError(
                f"sampling: length_pool is {length_pool}: set 1 to leave lengths alone, "
                "more to bring near ones together"
            )
        if durations is None:
            if length_pool > 1:
                raise UserError(
                    f"sampling: length_pool is {length_pool}, but no durations are "
                    "known: set length_pool to 1"
                )
            durations = np.zeros(len(languages))
        self.language_names, language = _codes(languages)
        self.emotion_names, emotion = _codes(emotions)
        speaker_names, speaker = _codes(speakers)
        if "" in speaker_names:
            unknown = speaker == speaker_names.index("")
            speaker[unknown] = len(speaker_names) + np.arange(unknown.sum())
        for what, wanted, names in (
            ("languages", n_languages, self.language_names),
            ("emotions", n_emotions, self.emotion_names),
        ):
            if not 1 <= wanted <= len(names):
                raise UserError(
                    f"sampling: {what}_per_batch is {wanted}, the training data has "
                    f"{len(names)} {what} ({', '.join(names)}): set {what}_per_batch "
                    f"to a number from 1 to {len(names)}, or add a corpus"
                )
        if n_utterances < 1:
            raise UserError(
                f"sampling: {n_utterances} utterances of each language and emotion: "
                "set at least 1"
            )
        self.n_languages = n_languages
        self.n_emotions = n_emotions
        self.n_utterances = n_utterances
        self.length_pool = length_pool
        self.cells = self._cells(language, emotion, speaker, np.asarray(durations))

    @classmethod
    def of(
        cls, rows: Sequence[Row], crop: float = 0.0, **options
    ) -> "HierarchicalBatches":
        """The sampler of planned utterances; other ``options`` as of the class.

        ``crop`` is how many seconds of a longer utterance are used; 0 for all of it.
        """
        return cls(
            [row.language for row in rows],
            [row.emotion for row in rows],
            [row.speaker for row in rows],
            [min(row.duration, crop or math.inf) for row in rows],
            **options,
        )

    def _cells(self, language, emotion, speaker, duration) -> list[list["_Cell"]]:
        """The cells by language, then emotion; refuses empty ones."""
        shape = len(self.language_names), len(self.emotion_names)
        cell = language * shape[1] + emotion
        order = np.lexsort((speaker, cell))
        sizes = np.bincount(cell, minlength=shape[0] * shape[1])
        names = list(itertools.product(self.language_names, self.emotion_names))
        empty = [
            "/".join(name) for name, size in zip(names, sizes, strict=True) if not size
        ]
        if empty:
            logger.warning(
                "No utterance to draw, and batches are smaller for it: %s",
                ", ".join(empty),
            )
        small = [
            f"{'/'.join(name)} ({size})"
            for name, size in zip(names, sizes, strict=True)
            if 0 < size < self.n_utterances
        ]
        if small:
            logger.warning(
                "Fewer than %d utterances, which repeat inside a batch: %s",
                self.n_utterances,
                ", ".join(small),
            )
        cells = [
            _Cell(utterances, speaker[utterances], duration[utterances])
            for utterances in np.split(order, sizes.cumsum()[:-1])
        ]
        return [cells[i : i + shape[1]] for i in range(0, len(cells), shape[1])]

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        draws = [
            [_Draws(cell, self.n_utterances, self.length_pool, rng) for cell in row]
            for row in self.cells
        ]
        spoken = np.array(
            [[bool(len(c.utterances)) for c in row] for row in self.cells]
        )
        for _ in range(self.batches):
            languages = rng.choice(len(spoken), self.n_languages, replace=False)
            there = np.flatnonzero(spoken[languages].any(0))
            number = min(self.n_emotions, len(there))
            emotions = rng.choice(there, number, replace=False)
            place = rng.random() if self.length_pool > 1 else 0.0
            cells = itertools.product(languages, emotions)
            yield [
                i
                for row, column in cells
                if spoken[row, column]
                for i in draws[row][column].next(place)
            ]


class RandomBatches(Batches):
    """An endless stream of shuffled passes over the data, cut into batches.

    The stream goes on from epoch to epoch. A batch across two passes, as any batch
    larger than the data, may hold an utterance twice.

    Arguments
    ---------
    n : int
        Number of utterances.
    batch_size : int
        Utterances in a batch.
    batches : int
        Batches in an epoch.
    seed : int
        Seed of the stream.

    Raises
    ------
    UserError
        If there is nothing to draw.

    Example
    -------
    >>> sampler = RandomBatches(n=6, batch_size=2, batches=3)
    >>> sorted(i for batch in sampler for i in batch)
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self, n: int, batch_size: int = 36, batches: int = 100, seed: int = 0
    ) -> None:
        super().__init__(batches, seed)
        if n < 1:
            raise UserError("sampling: no training utterance: check the manifests")
        if batch_size < 1:
            raise UserError(f"sampling: batch_size is {batch_size}: set at least 1")
        self.n = n
        self.batch_size = batch_size

    @classmethod
    def of(cls, rows: Sequence[Row], **options) -> "RandomBatches":
        """The sampler of planned utterances; ``options`` as of the class."""
        return cls(len(rows), **options)

    def __iter__(self) -> Iterator[list[int]]:
        size = self.batches * self.batch_size
        first, offset = divmod(self.epoch * size, self.n)
        passes = range(first, first + -(-(offset + size) // self.n))
        stream = np.concatenate(
            [np.random.default_rng([self.seed, p]).permutation(self.n) for p in passes]
        )[offset : offset + size]
        yield from stream.reshape(self.batches, self.batch_size).tolist()


class Joined(Sampler[list[int]]):
    """The batches of a sampler, so many of them at a time as one large batch.

    Each was drawn on its own: at the end of a pass over the data, two of them may hold
    the same utterance. What a checkpoint keeps is the sampler's.

    Arguments
    ---------
    sampler : Batches
        Whose batches these are.
    count : int
        Batches in a large one.

    Example
    -------
    >>> sampler = RandomBatches(n=6, batch_size=2, batches=3)
    >>> [sorted(batch) for batch in Joined(sampler, 3)]
    [[0, 1, 2, 3, 4, 5]]
    """

    def __init__(self, sampler: Batches, count: int) -> None:
        self.sampler = sampler
        self.count = count

    def __len__(self) -> int:
        return len(self.sampler) // self.count

    def __iter__(self) -> Iterator[list[int]]:
        one_after_another = [iter(self.sampler)] * self.count
        for batches in zip(*one_after_another, strict=False):
            yield [*itertools.chain.from_iterable(batches)]


class _Cell:
    """The utterances of one language and emotion.

    Arguments
    ---------
    utterances : (utterances,) np.ndarray
        Their indices, sorted by speaker.
    speakers : (utterances,) np.ndarray
        Their speakers' codes.
    durations : (utterances,) np.ndarray
        In seconds.
    """

    def __init__(
        self, utterances: np.ndarray, speakers: np.ndarray, durations: np.ndarray
    ) -> None:
        self.utterances = utterances
        self.speakers = speakers
        self.durations = durations
        _, first, self.group, sizes = np.unique(
            speakers, return_index=True, return_inverse=True, return_counts=True
        )
        self.rank = np.arange(len(speakers)) - first[self.group]  # inside the speaker
        self.size = sizes[self.group]  # utterances of the speaker

    def shuffled(self, rng: np.random.Generator) -> Iterator[tuple[float, int, int]]:
        """All (duration, utterance, speaker) in random order, each speaker spread evenly.

        The k shuffled utterances of a speaker fall one into each k-th of the order: any
        part of a pass holds the speakers in the proportions of the cell.
        """
        inside = np.argsort(self.group + rng.random(len(self.group)))
        place = (self.rank + rng.random(len(self.rank))) / self.size
        for block in _ascending(place):
            order = inside[block]
            columns = self.durations, self.utterances, self.speakers
            yield from zip(*(column[order].tolist() for column in columns), strict=True)


class _Draws:
    """Endless draws of n utterances from a cell; see HierarchicalBatches.

    Arguments
    ---------
    cell : _Cell
        Where they come from.
    n : int
        Utterances of a draw.
    length_pool : int
        Draws that are sorted by duration together.
    rng : np.random.Generator
        Shuffles the passes.
    """

    def __init__(
        self, cell: _Cell, n: int, length_pool: int, rng: np.random.Generator
    ) -> None:
        self.cell = cell
        self.n = n
        self.length_pool = length_pool
        self.rng = rng
        self.window: list[tuple[float, int, int]] = []  # the next ones of the pass
        self.remaining: Iterator[tuple[float, int, int]] = iter(())

    def next(self, place: float) -> list[int]:
        """The next draw, at a place in [0, 1) from the shortest to the longest."""
        draw: list[int] = []
        heard: set[int] = set()
        start = None
        for _ in range(self.n):
            if not self.window:
                self.remaining = self.cell.shuffled(self.rng)
                start = None
            if self.length_pool == 1:
                start = self._look_ahead()
            elif start is None:
                start = self._sort(place)
            choice = self._choose(min(start, len(self.window) - 1), draw, heard)
            _, utterance, speaker = self.window.pop(choice)
            draw.append(utterance)
            heard.add(speaker)
        return draw

    def _look_ahead(self) -> int:
        """Fill the window in the order of the pass; a draw starts at its front."""
        reach = self.n + LOOK_AHEAD
        if len(self.window) < reach:
            self.window += itertools.islice(self.remaining, reach)
        return 0

    def _sort(self, place: float) -> int:
        """Fill the window, sorted by duration; where in it the draw starts.

        The window is cut into draws, of which each is as likely; what is left over at
        the end of a pass falls below or above.
        """
        missing = self.n * self.length_pool - len(self.window)
        for utterance in itertools.islice(self.remaining, missing):
            bisect.insort(self.window, utterance)
        draws, left_over = divmod(len(self.window), self.n)
        number, fraction = divmod(place * draws, 1)
        return int(number) * self.n + int(fraction * (left_over + 1))

    def _choose(self, start: int, draw: list[int], heard: set[int]) -> int:
        """The first position from start on, then below it, of another speaker."""
        for taken, column in ((heard, 2), (draw, 1)):  # else another utterance
            above, below = range(start, len(self.window)), range(start - 1, -1, -1)
            for i in itertools.chain(above, below):
                if self.window[i][column] not in taken:
                    return i
        return start


def _ascending(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of ever larger keys, in blocks sorted only when they are asked for."""
    rest, size = np.arange(len(keys)), 2048
    while len(rest):
        if size < len(rest):
            rest = rest[np.argpartition(keys[rest], size)]
        block, rest = rest[:size], rest[size:]
        yield block[np.argsort(keys[block])]
        size *= 2


def _codes(names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The different names, sorted, and each one's position among them."""
    vocabulary = sorted(set(names))
    position = {name: i for i, name in enumerate(vocabulary)}
    return vocabulary, np.fromiter(map(position.__getitem__, names), int, len(names))
