"""How a run reads utterances: as waveforms, or as what is frozen makes of them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import speechbrain as sb
import torch

from data_prep.errors import UserError
from data_prep.hashes import AudioHashes
from data_prep.manifest import Row
from xser_brain.data.augmentation import WaveformTransform
from xser_brain.data.batches import Remembered, Utterances, read_waveform
from xser_brain.data.units import Vocabulary
from xser_brain.encoders.health import check_layers
from xser_brain.features.cache import FeatureCache
from xser_brain.protocol.labels import Labels

logger = logging.getLogger(__name__)


class Reader:
    """Opens utterances for training and scoring.

    Arguments
    ---------
    settings : mapping
        The keys of ``recipes/common/run.yaml``.
    encoder : Encoder
        The run's.
    data_root : str
        Where the corpora lie.
    device : str, optional
        Where features are computed.
    crop : float
        Seconds heard of a longer utterance in training; 0 for all of it.
    transform : WaveformTransform, optional
        What changes training utterances.
    hashes : AudioHashes, optional
        Those that the manifests were written by.

    Raises
    ------
    UserError
        If a setting of the cache has no meaning.
    """

    def __init__(
        self,
        settings: Mapping,
        encoder,
        data_root: str,
        device: str | None,
        crop: float,
        transform: WaveformTransform | None = None,
        hashes: AudioHashes | None = None,
    ):
        self.data_root, self.crop, self.transform = data_root, crop, transform
        self.waveforms = Remembered(
            lambda row: read_waveform(row, data_root), float(settings["audio_memory"])
        )
        self.kind = _cached_kind(str(settings["cache"]).lower(), encoder)
        self.cache = None
        if self.kind:
            device = device or sb.utils.distributed.infer_device()
            folder = settings["features"] or Path(settings["results"]) / "features"
            try:
                limit = float(settings["cache_limit"])
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"cache_limit is {settings['cache_limit']!r}: give GB, as 50"
                ) from error
            dtype = str(settings["cache_dtype"])
            self.cache = FeatureCache(
                folder,
                encoder.to(device),
                data_root,
                self.kind,
                dtype,
                limit,
                hashes,
                str(settings.get("cache_precision", "fp32")),
            )
        if self.kind == "prefix" and crop:
            logger.info(
                "cached: %s; of longer utterances training hears the middle %g s, "
                "the same in each epoch",
                self.cache.what,
                crop,
            )

    def facts(self) -> dict:
        """What run.json says about it: what is cached, and which piece is heard."""
        piece = {"pooled": "whole", "prefix": "middle", None: "random"}[self.kind]
        return {
            "cached": self.cache.what if self.cache else None,
            "cache_dtype": str(self.cache.dtype) if self.cache else None,
            "cache_precision": self.cache.precision if self.cache else None,
            "crop": piece if self.crop else "whole",
        }

    def require(self, train: Sequence[Row], others: Sequence[Row]) -> None:
        """Refuse a run that the cache cannot hold; reads no audio.

        Arguments
        ---------
        train, others : sequence of Row
            What is trained on, and all else.

        Raises
        ------
        UserError
            If it does not fit.
        """
        if self.cache:
            copies = 1 + (self.transform.views if self.transform else 0)
            size = copies * self.cache.size(train, self._crop(True))
            self.cache.require(size + self.cache.size(others))

    def _crop(self, training: bool) -> float:
        """Seconds of a longer utterance in what is cached; 0 for all."""
        return self.crop if training and self.kind == "prefix" else 0.0

    def threads(self, asked: int) -> int:
        """How many read ahead: none for what is in memory, or drawn by chance.

        Arguments
        ---------
        asked : int
            ``num_workers``.

        Returns
        -------
        int
        """
        drawn = self.cache is not None and self.transform is not None
        return 0 if self.kind == "pooled" or drawn else asked

    def views(
        self, rows: Sequence[Row], training: bool = False, augmented: bool = False
    ) -> list[Mapping[str, torch.Tensor]]:
        """What is cached of utterances, by ID; then of their changed copies.

        Arguments
        ---------
        rows : sequence of Row
            The utterances.
        training, augmented : bool
            See ``open``.

        Returns
        -------
        list of mapping of str to torch.Tensor
        """
        crop = self._crop(training)
        views = [self.cache.features(rows, crop)]
        if self.transform and augmented:
            views += [
                self.cache.features(rows, crop, transform=self.transform, view=view)
                for view in range(self.transform.views)
            ]
        if self.kind == "pooled" and training:
            for warning in check_layers(views[0]):
                logger.warning(warning)
        return views

    def open(
        self,
        rows: Sequence[Row],
        labels: Labels,
        training: bool = False,
        augmented: bool = False,
        vocabulary: Vocabulary | None = None,
    ) -> Utterances:
        """Allow these utterances to be read.

        Arguments
        ---------
        rows : sequence of Row
            The utterances.
        labels : Labels
            What their indices shall stand for.
        training : bool
            Whether they are cropped, as in training.
        augmented : bool
            Whether they are changed by the transform.
        vocabulary : Vocabulary, optional
            Units to tell by what is said; not of those of which but a piece is heard.

        Returns
        -------
        Utterances

        Raises
        ------
        UserError
            If audio cannot be read.
        """
        crop = self.crop if training and self.kind != "pooled" else 0.0

        def units(row: Row) -> list[int]:
            return [] if 0 < crop < row.duration else vocabulary.encode(row.text)

        said = units if vocabulary else None
        transform = self.transform if augmented else None
        if self.cache is None:
            change = Changed(transform) if transform else None
            return Utterances(
                rows, self.waveforms, labels, crop, change=change, units=said
            )
        views = self.views(rows, training, augmented)

        def read(row: Row) -> torch.Tensor:
            view = int(torch.randint(len(views), ())) if len(views) > 1 else 0
            return views[view][row.ID]

        def read_all(some: list[Row]) -> Sequence[torch.Tensor]:
            return views[0].several([row.ID for row in some])

        alike = self.kind == "pooled" and len(views) == 1
        return Utterances(
            rows,
            read,
            labels,
            prefixes=self.kind == "prefix",
            units=said,
            read_all=read_all if alike else None,
        )


class Changed:
    """Waveforms changed anew each time they are heard.

    Arguments
    ---------
    transform : WaveformTransform
        What changes them.
    """

    def __init__(self, transform: WaveformTransform):
        self.transform = transform

    def __call__(self, waveform: torch.Tensor) -> torch.Tensor:
        """Samples of an utterance, changed."""
        seed = int(torch.randint(2**63 - 1, ()))
        changed = self.transform(waveform.numpy(), np.random.default_rng(seed))
        return torch.from_numpy(changed)


def _cached_kind(choice: str, encoder) -> str | None:
    """What of an encoder is cached: pooled features, a prefix, or nothing."""
    if choice not in ("auto", "none"):
        raise UserError(f"unknown cache {choice!r}: use auto or none")
    if choice == "none":
        return None
    if encoder.frozen:
        return "pooled"
    return None if encoder.prefix_layers is None else "prefix"
