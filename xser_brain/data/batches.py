"""From planned utterances to batches of waveforms or of cached features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from speechbrain.dataio.dataloader import SaveableDataLoader
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from data_prep import audio
from data_prep.errors import UserError
from data_prep.manifest import Row
from xser_brain.data.ahead import read_ahead
from xser_brain.protocol.labels import Labels

AHEAD = 2  # batches that a thread may have read before they are asked for
UNKNOWN = -1  # label of a speaker or language that is not among the training ones


@dataclass
class Batch:
    """A batch of utterances.

    Arguments
    ---------
    ids : list of str
        Utterance IDs.
    emotions, languages, speakers, corpora, genders : (batch,) torch.Tensor
        Indices; -1 where the label is not among the training ones.
    waveforms : (batch, samples) torch.Tensor, optional
        16 kHz mono, padded with zeros.
    lengths : (batch,) torch.Tensor, optional
        Samples of each waveform, or frames of each prefix; in the host's memory.
    features : (batch, layers, width) torch.Tensor, optional
        What a frozen encoder makes of the utterances, instead of waveforms.
    prefixes : (batch, frames, width) torch.Tensor, optional
        What the frozen part of an encoder makes of them, padded with zeros, instead
        of waveforms.
    units : (batch, units) torch.Tensor, optional
        What is said, padded with -1.
    """

    ids: list[str]
    emotions: torch.Tensor
    languages: torch.Tensor
    speakers: torch.Tensor
    corpora: torch.Tensor
    genders: torch.Tensor
    waveforms: torch.Tensor | None = None
    lengths: torch.Tensor | None = None
    features: torch.Tensor | None = None
    prefixes: torch.Tensor | None = None
    units: torch.Tensor | None = None

    def to(self, device: str | torch.device) -> "Batch":
        """The same batch on another device, its lengths apart, which Python reads."""
        moved = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor) and name != "lengths"
        }
        return replace(self, **moved)

    def pinned(self) -> "Batch":
        """The same batch where a GPU fetches it from while the processor goes on."""
        pinned = {
            name: value.pin_memory()
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor) and name != "lengths"
        }
        return replace(self, **pinned)


def read_waveform(row: Row, data_root: str) -> np.ndarray:
    """Decode an utterance: (samples,) float32, 16 kHz mono; UserError if it fails."""
    path = row.path(data_root)
    try:
        return audio.load(path)
    except audio.AudioError as error:
        raise UserError(
            f"{path}: {error}: get it anew, or leave such files out by `python -m "
            f"data_prep prepare {row.corpus} --decode ...`"
        ) from error


def middle(waveform: np.ndarray, crop: float) -> np.ndarray:
    """The middle ``crop`` seconds of a 16 kHz waveform; all of it if shorter, or for 0.

    Example
    -------
    >>> middle(np.arange(6), 2 / audio.SAMPLE_RATE)
    array([2, 3])
    """
    excess = len(waveform) - round(crop * audio.SAMPLE_RATE)
    if not crop or excess <= 0:
        return waveform
    start = excess // 2
    return waveform[start : len(waveform) - (excess - start)]


class Remembered:
    """Read each utterance once, as far as the memory allowed for it reaches.

    Decoding and resampling are a good part of a small model's step.

    Arguments
    ---------
    read : callable
        ``Row -> (samples,) array``.
    limit : float
        GB of samples to hold.

    Example
    -------
    >>> row = Row("x-1", 1.0, "x.wav", 16000, "x", "de", "", "sad", "", "train")
    >>> reads = []
    >>> read = Remembered(lambda row: reads.append(row) or np.zeros(9), limit=1)
    >>> read(row).shape, read(row).shape, len(reads)
    ((9,), (9,), 1)
    """

    def __init__(self, read: Callable[[Row], np.ndarray], limit: float):
        self.read = read
        self.left = limit * 1e9
        self.held: dict[str, np.ndarray] = {}

    def __call__(self, row: Row) -> np.ndarray:
        """Samples of an utterance, from memory if they are held."""
        if row.ID in self.held:
            return self.held[row.ID]
        samples = self.read(row)
        if samples.nbytes <= self.left:
            self.left -= samples.nbytes
            self.held[row.ID] = samples
        return samples


class Utterances(Dataset):
    """Planned utterances; indexed with a *list* of indices it gives a whole batch.

    Arguments
    ---------
    rows : sequence of Row
        The utterances.
    read : callable
        ``Row -> (samples,) array``, ``Row -> (layers, width) tensor`` of features, or
        ``Row -> (frames, width) tensor`` of a prefix.
    labels : Labels
        The names in the order of their indices.
    crop : float
        Seconds; of longer waveforms a piece of that length is drawn at random. 0 for
        whole utterances.
    prefixes : bool
        Whether ``read`` gives prefixes, for ``PretrainedEncoder.forward``.
    change : callable, optional
        ``(samples,) tensor -> (samples,) tensor``, applied to waveforms before the crop.
    units : callable, optional
        ``Row -> list of int``, what is said; none where that is not known.
    read_all : callable, optional
        ``list of Row`` to what ``read`` gives of each, where that is faster.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        read: Callable[[Row], np.ndarray | torch.Tensor],
        labels: Labels,
        crop: float = 0.0,
        prefixes: bool = False,
        change: Callable[[torch.Tensor], torch.Tensor] | None = None,
        units: Callable[[Row], list[int]] | None = None,
        read_all: Callable[[list[Row]], Sequence[torch.Tensor]] | None = None,
    ):
        self.read_all = read_all
        self.rows = list(rows)
        self.change = change
        self.read = read
        self.prefixes = prefixes
        self.crop = round(crop * audio.SAMPLE_RATE)
        self.units = units and [
            torch.tensor(units(row), dtype=torch.long) for row in self.rows
        ]
        self.indices = {
            name: _indices([getattr(row, attribute) for row in rows], classes)
            for name, attribute, classes in (
                ("emotions", "emotion", labels.emotions),
                ("languages", "language", labels.languages),
                ("speakers", "speaker", labels.speakers),
                ("corpora", "corpus", labels.corpora),
                ("genders", "gender", labels.genders),
            )
        }

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        return self.batch(indices, self.fetch(indices))

    def fetch(self, indices: Sequence[int]) -> Sequence[torch.Tensor]:
        """What is on disk of some utterances, whole: nothing here is left to chance."""
        if self.read_all:
            return self.read_all([self.rows[index] for index in indices])
        return [torch.as_tensor(self.read(self.rows[index])) for index in indices]

    def batch(self, indices: Sequence[int], items: Sequence[torch.Tensor]) -> Batch:
        """Make a batch of what was fetched; all chance is drawn here, in this order.

        Arguments
        ---------
        indices : sequence of int
            The utterances.
        items : sequence of torch.Tensor
            From ``fetch``: a list, or one tensor of all.

        Returns
        -------
        Batch
        """
        places = torch.tensor(indices, dtype=torch.long)
        batch = Batch(
            [self.rows[index].ID for index in indices],
            **{name: values[places] for name, values in self.indices.items()},
        )
        if self.units:
            said = [self.units[index] for index in indices]
            said = pad_sequence(said, batch_first=True, padding_value=UNKNOWN)
            batch = replace(batch, units=said)
        if items[0].ndim == 2 and not self.prefixes:
            whole = torch.is_tensor(items)
            return replace(batch, features=items if whole else torch.stack(items))
        if not self.prefixes:
            if self.change:
                items = [self.change(item) for item in items]
            items = [self._cropped(item) for item in items]
        padded = pad_sequence(items, batch_first=True)
        return replace(
            batch,
            lengths=torch.tensor([len(item) for item in items]),
            **{"prefixes" if self.prefixes else "waveforms": padded},
        )

    def _cropped(self, waveform: torch.Tensor) -> torch.Tensor:
        excess = len(waveform) - self.crop
        if not self.crop or excess <= 0:
            return waveform
        start = int(torch.randint(excess + 1, ()))
        return waveform[start : start + self.crop]


def _indices(values: Sequence[str], classes: Sequence[str]) -> torch.Tensor:
    index: Mapping[str, int] = {name: i for i, name in enumerate(classes)}
    return torch.tensor([index.get(value, UNKNOWN) for value in values])


class Loader(SaveableDataLoader):
    """Batches in order; the same ones however many threads read ahead.

    They only read. Whatever is drawn at random is drawn here, as a batch is handed
    over, from the generator that training draws from.

    Arguments
    ---------
    dataset : Utterances
        The utterances.
    batches : iterable of list of int
        A sampler of ``xser_brain.data.sampling``, or a list of index lists.
    threads : int
        How many read audio ahead, a batch each. Not processes: forked while another
        loader's are being closed, they may find files of their own closed.
    pinned : bool
        Whether batches go to a GPU: see ``Batch.pinned``.
    """

    def __init__(
        self, dataset: Utterances, batches, threads: int = 0, pinned: bool = False
    ):
        # As they come: torch would look into each list for arrays to convert.
        super().__init__(
            _Indices(), sampler=batches, batch_size=None, collate_fn=_unchanged
        )
        self.utterances, self.threads, self.pinned = dataset, threads, pinned

    def skip(self, batches: int) -> None:
        """Begin the next time behind so many batches, as one resumed there."""
        self._speechbrain_recovery_skip_to = batches

    def __iter__(self) -> Iterator[Batch]:
        # Each time, torch draws a seed for its processes from the generator of training:
        # not so for processes that it keeps, nor may it where an epoch is resumed.
        before = torch.get_rng_state()
        resumed = self._speechbrain_recovery_skip_to is not None
        iterator = super().__iter__()
        torch.set_rng_state(before)
        if not resumed:
            torch.empty((), dtype=torch.int64).random_()
        batches = self._batches(iterator)
        yield from (batch.pinned() for batch in batches) if self.pinned else batches

    def _batches(self, iterator: Iterator[Sequence[int]]) -> Iterator[Batch]:
        if not self.threads:
            yield from map(self.utterances.__getitem__, iterator)
            return
        one_by_one = ([indices] for indices in iterator)
        ahead = AHEAD * self.threads
        for [indices], [items] in read_ahead(
            one_by_one, self.utterances.fetch, ahead, self.threads
        ):
            yield self.utterances.batch(indices, items)


def _unchanged(indices: Sequence[int]) -> Sequence[int]:
    return indices


class _Indices(Dataset):
    """What the sampler gives, as it is: torch's loader counts it, for checkpoints."""

    def __getitem__(self, indices: Sequence[int]) -> Sequence[int]:
        return indices


def by_duration(rows: Sequence[Row], batch_size: int) -> list[list[int]]:
    """Batches of utterances of similar length, for evaluation, as lists of indices."""
    order = sorted(range(len(rows)), key=lambda i: (rows[i].duration, rows[i].ID))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
