"""What a frozen encoder makes of utterances, computed once.

SpeechBrain's ``CachedDynamicItem`` files items under their ID, whatever the audio and the
weights, and HDF5 is not safe with several writers; hence ``xser_brain.features.store``.
"""

import hashlib
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from speechbrain.utils.distributed import if_main_process
from torch.nn.utils.rnn import pad_sequence

from data_prep.audio import SAMPLE_RATE
from data_prep.errors import UserError
from data_prep.hashes import AudioHashes
from data_prep.manifest import Row
from data_prep.progress import bar
from xser_brain.data.ahead import read_ahead
from xser_brain.data.augmentation import WaveformTransform
from xser_brain.data.batches import by_duration, middle, read_waveform
from xser_brain.encoders import Encoder
from xser_brain.features.store import GB, Store
from xser_brain.finite import not_finite

logger = logging.getLogger(__name__)
VERSION = 2  # of what is stored; raise it when an encoder's arithmetic changes
KINDS = ("pooled", "frames", "prefix")
DTYPES = ("float32", "float16")
PRECISIONS = ("fp32", "bf16")
OVERHEAD = 256  # bytes of an entry beside its values, at most
LOOKED_UP = 1024  # entries at once


def fingerprint(encoder: Encoder, kind: str = "pooled") -> str:
    """Hash the class, the settings and the weights that decide on what is stored.

    A prefix (see ``FeatureCache``) does not depend on the layers above it.

    Example
    -------
    >>> from xser_brain.encoders.ecapa import ECAPAEncoder
    >>> encoder = ECAPAEncoder(width=8, n_mels=20, channels=8)
    >>> before = fingerprint(encoder)
    >>> torch.nn.init.zeros_(encoder.network.fc.conv.bias).shape
    torch.Size([8])
    >>> fingerprint(encoder) == before
    False
    """
    facts = [VERSION, kind, type(encoder).__qualname__, encoder.settings]
    if kind == "prefix":
        facts.append(encoder.prefix_layers)
        tensors = encoder.prefix_tensors()
    else:
        tensors = dict([*encoder.named_parameters(), *encoder.named_buffers()])
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        array = tensor.detach().cpu().contiguous()
        digest.update(array.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class FeatureCache:
    """What is frozen of an encoder, applied to utterances and kept on disk.

    An entry is found by the audio file's bytes, the piece of it that is used, the
    encoder's weights and settings, and what is kept of it in which precision. Several
    runs may share a folder.

    Arguments
    ---------
    folder : path
        Where to keep it.
    encoder : Encoder
        On the device on which it is to run.
    data_root : str
        Folder of the corpora.
    kind : str
        ``pooled``: all layers of a frozen encoder, averaged over frames;
        ``frames``: all of its layers and frames; ``prefix``: what the frozen part
        of a ``PretrainedEncoder`` hands to the first layer that adapts.
    dtype : str
        ``float32`` or ``float16``, of what is on disk. What half precision cannot
        hold is kept in single.
    limit : float
        GB that the folder may take; the least recently used entries go first.
    hashes : AudioHashes, optional
        Those that the manifests were written by; by default some of this folder's own.
    precision : str
        ``fp32`` or ``bf16``, in which the encoder computes. Where a device has it, bf16 is
        more than twice as fast; vectors then differ by about a hundredth of their length.

    Raises
    ------
    UserError
        If dtype, precision or limit make no sense, or vectors are asked for whose
        pooling is learned.
    """

    def __init__(
        self,
        folder: str | Path,
        encoder: Encoder,
        data_root: str,
        kind: str = "pooled",
        dtype: str = "float32",
        limit: float = math.inf,
        hashes: AudioHashes | None = None,
        precision: str = "fp32",
    ):
        for key, given, known in (
            ("cache_dtype", dtype, DTYPES),
            ("cache_precision", precision, PRECISIONS),
        ):
            if given not in known:
                raise UserError(f"unknown {key} {given!r}: use {' or '.join(known)}")
        if not limit > 0:
            raise UserError(f"cache_limit is {limit:g}: give GB, more than 0")
        if kind == "pooled" and encoder.learns_pooling:
            raise UserError(
                f"pooling={encoder.pooling} is learned from frames, and what is cached "
                "here are pooled vectors: use pooling=mean, loud or energy"
            )
        self.encoder, self.kind, self.dtype = encoder, kind, np.dtype(dtype)
        self.precision = precision
        self.data_root = str(data_root)
        self.limit = limit
        self.hashes = hashes or AudioHashes(folder)
        facts = [fingerprint(encoder, kind), dtype]
        if precision != "fp32":  # or else what earlier versions have kept is found
            facts.append(precision)
        key = hashlib.sha256(" ".join(facts).encode())
        about = {
            "source": getattr(encoder, "source", type(encoder).__name__),
            "what": self.what,
            "dtype": dtype,
        }
        self.store = Store(folder, key.hexdigest()[:16], about, limit)

    @property
    def what(self) -> str:
        """What an entry is, in words."""
        half = ", in bf16" if self.precision == "bf16" else ""
        layers = f"{self.encoder.layers} layers"
        if self.kind == "prefix" and not self.encoder.frames_frozen:
            below = self.encoder.prefix_layers
            layers = f"front end and layers below {below}" if below else "front end"
            return layers + half
        if self.kind != "pooled":
            return f"{layers}, frames{half}"
        how = "" if self.encoder.pooling == "mean" else f" ({self.encoder.pooling})"
        return f"{layers}, pooled{how}{half}"

    def size(self, rows: Iterable[Row], crop: float = 0.0) -> int:
        """Estimate the bytes of utterances from their durations, rather more than less.

        ``crop`` is how many seconds are used of longer ones; 0 for all.
        """
        values = {
            "pooled": self.encoder.vectors * self.encoder.width,
            "frames": self.encoder.layers * self.encoder.frame_width,
            "prefix": self.encoder.prefix_width,
        }
        vector = values[self.kind] * self.dtype.itemsize
        total = 0
        for row in rows:
            seconds = min(row.duration, crop or math.inf)
            frames = math.ceil(seconds * self.encoder.frame_rate) + 1
            total += OVERHEAD + vector * (1 if self.kind == "pooled" else frames)
        return total

    def require(self, size: int) -> None:
        """Refuse, before it begins, a run whose ``size`` in bytes exceeds the limit."""
        if size > self.limit * GB:
            raise UserError(
                f"the features of this run may take {size / GB:.2g} GB and cache_limit "
                f"is {self.limit:g} GB: raise it, or pass --cache_dtype=float16 or "
                "--cache=none"
            )

    def _names(
        self, rows: Sequence[Row], crop: float, variant: "Variant | None"
    ) -> dict[str, str]:
        """An entry's name by utterance ID."""
        paths = {row.ID: row.path(self.data_root) for row in rows}
        hashes = self.hashes.of([*paths.values()])
        for path, known in hashes.items():
            if not known.file:
                raise UserError(f"cannot read {path}: get it again")
        piece = f"-{round(crop * SAMPLE_RATE)}"
        view = f"-{variant.name}" if variant else ""
        return {
            row.ID: hashes[paths[row.ID]].file
            + (piece if 0 < crop < row.duration else "")
            + view
            for row in rows
        }

    def features(
        self,
        rows: Sequence[Row],
        crop: float = 0.0,
        batch_size: int | None = None,
        transform: WaveformTransform | None = None,
        view: int = 0,
    ) -> "Features":
        """Look features up, and compute those that are missing.

        Arguments
        ---------
        rows : sequence of Row
            The utterances; UserError if the audio of one cannot be read.
        crop : float
            Seconds; of longer utterances the middle piece of that length is used, the
            same in each epoch. 0 for whole utterances.
        batch_size : int, optional
            Utterances of similar length that the encoder takes at once. By default 1 on
            CPU, where batches bring nothing and an utterance's features are then the
            same to the last bit whatever else was missing, and 16 on other devices.
        transform : WaveformTransform, optional
            What changes waveforms first.
        view : int
            Which of its changed copies; each utterance's is the same whenever it is made.

        Returns
        -------
        Features
            By utterance ID: pooled (vectors, width), frames (layers, frames, width) or
            prefix (frames, width), read from disk when they are asked for.
        """
        variant = Variant(transform, view) if transform else None
        names, damaged = self._names(rows, crop, variant), self.store.damaged
        self.store.refresh()
        lacking = self._lacking(rows, names)
        if self.store.damaged > damaged:
            logger.warning(
                "%d damaged files in %s: what they held is computed again",
                self.store.damaged - damaged,
                self.store.folder,
            )
        if lacking:
            self.store.make_room(self.size(lacking, crop))
            try:
                self._compute(lacking, names, crop, batch_size, variant)
            finally:
                self.store.seal()
        return Features(self.store, names)

    def _lacking(self, rows: Sequence[Row], names: Mapping[str, str]) -> list[Row]:
        """The utterances of which there is no entry, or no whole one."""
        lacking = []
        for start in range(0, len(rows), LOOKED_UP):
            some = rows[start : start + LOOKED_UP]
            if self.kind == "pooled":
                places = self.store.places([names[row.ID] for row in some])
                arrays = self.store.gather(places)
                if arrays is not None and self._sound(arrays, arrays.shape[1:]):
                    continue
            lacking += [row for row in some if not self._there(names[row.ID])]
        return lacking

    def _there(self, name: str) -> bool:
        """Whether an entry is there; if it is pooled, whether it is whole, too."""
        array = self.store.read(name, verify=self.kind == "pooled")
        if array is None:
            return False
        if not self._sound(array, array.shape):
            self.store.damaged += 1
            return False
        return True

    def _sound(self, array: np.ndarray, found: tuple[int, ...]) -> bool:
        """Whether an array, or one of several, has its shape, and holds numbers."""
        encoder, frames = self.encoder, found[-2:-1]
        shape = {
            "pooled": (encoder.vectors, encoder.width),
            "frames": (encoder.layers, *frames, encoder.frame_width),
            "prefix": (*frames, encoder.prefix_width),
        }[self.kind]
        return found == shape and (
            self.kind != "pooled" or bool(np.isfinite(array).all())
        )

    def _compute(
        self,
        lacking: Sequence[Row],
        names: Mapping[str, str],
        crop: float,
        batch_size: int | None,
        variant: "Variant | None",
    ) -> None:
        """Compute and keep what is lacking."""
        logger.info("encoding %d utterances: %s", len(lacking), self.what)
        device = next(self.encoder.parameters()).device
        batch_size = batch_size or (1 if device.type == "cpu" else 16)
        batches = by_duration(lacking, batch_size)
        # Processes that encode the same utterances begin at places far apart (that is
        # what the golden ratio does to consecutive numbers), and leave out what the
        # others have done.
        first = int(os.getpid() * 0.618034 % 1 * len(batches))
        shown = bar(
            total=len(lacking),
            desc="features",
            unit="utt",
            disable=not if_main_process(),
        )

        def read(row: Row) -> torch.Tensor:
            waveform = read_waveform(row, self.data_root)
            if variant:
                waveform = variant(waveform, names[row.ID])
            return torch.from_numpy(middle(waveform, crop))

        def wanted() -> Iterator[list[Row]]:
            for indices in batches[first:] + batches[:first]:
                rows = [lacking[index] for index in indices]
                self.store.refresh()
                left = [row for row in rows if not self._there(names[row.ID])]
                shown.update(len(rows) - len(left))
                if left:
                    yield left

        self.encoder.eval()
        with torch.no_grad(), shown:
            for rows, waveforms in read_ahead(wanted(), read):
                arrays = self._encode([item.to(device) for item in waveforms])
                for row, array in zip(rows, arrays, strict=True):
                    if not np.isfinite(array).all():
                        raise not_finite(
                            f"{row.path(self.data_root)}: what the encoder makes is NaN "
                            "or infinite",
                            [row.ID],
                            "nothing of it was kept; look at this recording, and at "
                            "the encoder's weights",
                        )
                    self.store.write(names[row.ID], self._rounded(array))
                shown.update(len(rows))

    def _encode(self, waveforms: Sequence[torch.Tensor]) -> list[np.ndarray]:
        half, device = self.precision == "bf16", waveforms[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=half):
            if self.kind == "prefix":
                prefixes = [self.encoder.prefix(item) for item in waveforms]
                return [_array(prefix) for prefix in prefixes]
            padded = pad_sequence(waveforms, batch_first=True)
            lengths = torch.tensor([len(w) for w in waveforms], device=padded.device)
            if self.kind == "pooled":
                return list(_array(self.encoder(padded, lengths)))
            frames, counts = self.encoder.frames(padded, lengths)
        frames = _array(frames)
        return [f[:, :n] for f, n in zip(frames, counts.tolist(), strict=True)]

    def _rounded(self, array: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            rounded = array.astype(self.dtype)
        return rounded if np.isfinite(rounded).all() else array


def _array(made: torch.Tensor) -> np.ndarray:
    return made.float().cpu().numpy()


class Variant:
    """One changed copy of every utterance.

    Arguments
    ---------
    transform : WaveformTransform
        What changes them.
    view : int
        Number of the copy.
    """

    def __init__(self, transform: WaveformTransform, view: int):
        self.transform = transform
        digest = hashlib.sha256(f"{transform.settings} {view}".encode())
        self.name = digest.hexdigest()[:16]

    def __call__(self, waveform: np.ndarray, entry: str) -> np.ndarray:
        """Change an utterance, at random, with a seed that its entry's name decides."""
        seed = int.from_bytes(hashlib.sha256(entry.encode()).digest()[:8], "big")
        return self.transform(waveform, np.random.default_rng(seed))


class Features(Mapping):
    """Entries by utterance ID, copied from mapped files when they are asked for.

    Arguments
    ---------
    store : Store
        Where they are.
    names : mapping of str to str
        Their names there, by utterance ID.
    """

    def __init__(self, store: Store, names: Mapping[str, str]):
        self.store, self.names = store, names
        self._numbers = {row_id: number for number, row_id in enumerate(names)}
        self._places = store.places([*names.values()])

    def __getitem__(self, row_id: str) -> torch.Tensor:
        array = self.store.read(self.names[row_id])
        if array is None:
            raise UserError(
                f"the features of {row_id} in {self.store.folder} were removed or damaged "
                "since this run began: give the same command again, they are computed "
                "again and the run goes on"
            )
        return torch.from_numpy(np.array(array, np.float32))

    def several(self, row_ids: Sequence[str]) -> Sequence[torch.Tensor]:
        """What ``[]`` gives of each; much faster, and as one, where all are alike."""
        numbers = [self._numbers[row_id] for row_id in row_ids]
        arrays = self.store.gather(self._places[numbers])
        if arrays is None:
            return [self[row_id] for row_id in row_ids]
        return torch.from_numpy(arrays).float()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
