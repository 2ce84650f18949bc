"""What every encoder offers: frames, pooled vectors, and how to build it again."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from data_prep.errors import UserError
from xser_brain.checks import check, mapping, one_of
from xser_brain.encoders.families import register
from xser_brain.encoders.pooling import LEARNED, POOLINGS, masked_mean


class Encoder(nn.Module):
    """What every encoder offers.

    One of your own is a subclass that sets ``width`` and ``frame_rate`` and implements
    ``frames``. Its class is found by its ``family``: ``module.ClassName``, or another
    name that it chooses by ``class Own(Encoder, family="own")``. If all arguments of
    ``__init__`` are JSON values, it can be exported and loaded without more.

    Attributes
    ----------
    layers : int
        Number of layers returned (1 if there is no choice).
    width : int
        Size of an utterance vector.
    frame_rate : float
        Frames per second (Hz).
    pooling : str
        How ``forward`` makes one vector of a layer's frames: ``mean`` of all, ``loud``
        (of those within 30 dB of the loudest), ``energy`` (weighted by the fourth root of
        their power), ``both`` of the first two, or ``all``, one after the other;
        ``attentive``: mean and standard deviation, side by side, with learned weights.
    frozen : bool
        Whether nothing in it trains, so that its output may be cached.
    prefix_layers : int, optional
        If only its upper part trains: number of transformer layers in the part below
        it, whose output ``prefix`` computes.
    reads_lengths : bool
        Whether it reads the lengths in Python, so that they had better stay in the host's
        memory: else they come to the device that its waveforms are on.
    settings : str
        What determines its output beside its class and weights; by default its
        arguments.
    title : str
        What model cards call it; by default its family.
    adapted_on : tuple of str
        The corpora to which its weights were adapted before; see
        ``xser_brain.models.to_encoder``.

    Example
    -------
    >>> class Bands(Encoder):
    ...     def __init__(self, width: int = 4):
    ...         super().__init__()
    ...         self.width, self.frame_rate = width, 100.0
    ...         self.filters = nn.Conv1d(1, width, 400, 160, padding=200)
    ...
    ...     def frames(self, waveforms, lengths):
    ...         frames = self.filters(waveforms[:, None]).transpose(1, 2)
    ...         return frames[:, None], 1 + lengths // 160
    >>> encoder = Bands(width=8)
    >>> encoder(torch.rand(2, 16000), torch.tensor([16000, 8000])).shape
    torch.Size([2, 1, 8])
    >>> encoder.describe()["options"]
    {'width': 8}
    """

    family: ClassVar[str]
    rules: ClassVar[Mapping] = {"options": mapping}
    title: ClassVar[str] = ""
    layers: int = 1
    width: int
    frame_rate: float
    pooling: str = "mean"
    frozen: bool = False
    prefix_layers: int | None = None
    reads_lengths: bool = False
    settings: str = ""
    adapted_on: tuple[str, ...] = ()

    def __init_subclass__(cls, family: str | None = None, **options):
        super().__init_subclass__(**options)
        cls.family = family or f"{cls.__module__}.{cls.__qualname__}"
        register(cls)

    def __new__(cls, *args, **kwargs):
        """Remember the arguments, for ``describe``."""
        encoder = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        try:
            bound = signature.bind_partial(encoder, *args, **kwargs)
        except TypeError:  # __init__ says it better
            return encoder
        bound.apply_defaults()
        named = dict([*bound.arguments.items()][1:])
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                named |= named.pop(name)
            elif parameter.kind is parameter.VAR_POSITIONAL:
                named |= {f"*{name}": rest} if (rest := named.pop(name)) else {}
        encoder.__dict__["arguments"] = named
        if not cls.settings:
            encoder.__dict__["settings"] = repr(named)
        return encoder

    def frames(
        self, waveforms: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode waveforms to frame sequences.

        Arguments
        ---------
        waveforms : (batch, samples) torch.Tensor
            16 kHz mono, padded at the end.
        lengths : (batch,) torch.Tensor
            Samples of each utterance.

        Returns
        -------
        (batch, layers, frames, width) torch.Tensor
        (batch,) torch.Tensor
            Frames of each utterance.
        """
        raise NotImplementedError

    @property
    def poolings(self) -> tuple[str, ...]:
        """The ways of pooling, in the order of the vectors."""
        return POOLINGS[self.pooling]

    @property
    def by_level(self) -> bool:
        """Whether a pooling asks how loud a frame is."""
        return self.pooling != "mean" and not self.learns_pooling

    @property
    def learns_pooling(self) -> bool:
        """Whether it is learned how much a frame counts, so that frames must be there."""
        return self.pooling in LEARNED

    @property
    def frames_frozen(self) -> bool:
        """Whether nothing trains that makes frames; how they are pooled may train."""
        return self.frozen

    @property
    def vectors(self) -> int:
        """How many ``forward`` gives for an utterance: one per pooling and layer."""
        return self.layers * len(self.poolings)

    @property
    def prefix_width(self) -> int:
        """Columns of what ``prefix`` gives."""
        return self.width

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """One vector per layer, the mean over frames: (batch, vectors, width)."""
        return masked_mean(*self.frames(waveforms, lengths))

    def with_frames(
        self, waveforms: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What ``forward`` gives, and the frames of the last layer beside it.

        To be overridden together with ``forward``.

        Arguments
        ---------
        waveforms, lengths
            See ``forward``.

        Returns
        -------
        (batch, vectors, width) torch.Tensor
        (batch, frames, frame_width) torch.Tensor
        (batch,) torch.Tensor
            Frames of each utterance.
        """
        frames, counts = self.frames(waveforms, lengths)
        return masked_mean(frames, counts), frames[:, -1], counts

    @property
    def frame_width(self) -> int:
        """Of the frames that ``with_frames`` gives."""
        return self.width

    @property
    def gives_frames(self) -> bool:
        """Whether ``with_frames`` gives the vectors of ``forward``."""
        classes = type(self).__mro__
        frames = next(kind for kind in classes if "with_frames" in vars(kind))
        forward = next(kind for kind in classes if "forward" in vars(kind))
        return issubclass(frames, forward)

    def describe(self) -> dict:
        """Describe the encoder so that ``from_description`` can build it again.

        Returns
        -------
        dict
            JSON values: ``family``, ``options`` (the arguments of ``__init__``) and,
            where pretrained weights come from elsewhere, ``source`` and what
            identifies them.

        Raises
        ------
        UserError
            If an argument is not a JSON value.
        """
        options = {}
        for name, value in self.arguments.items():
            try:
                if name.startswith("*"):
                    raise TypeError("from_description passes arguments by name")
                options[name] = json.loads(json.dumps(value, allow_nan=False))
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"{self.family}: the argument {name} is a {type(value).__name__}, "
                    "which config.json cannot hold: pass numbers, text, lists or "
                    "mappings by name, or override describe and from_description"
                ) from error
        return {"family": self.family, "options": options}

    @classmethod
    def check_description(cls, description: Mapping, where: str) -> None:
        """Check a description from an untrusted ``config.json`` before it is used.

        ``rules`` hold for the class that declares them: a subclass may take other
        arguments, which it checks itself.

        Arguments
        ---------
        description : mapping
            What the file holds.
        where : str
            The file, for the message.

        Raises
        ------
        UserError
            On the first value that is missing or out of range.
        """
        own = "rules" in cls.__dict__
        rules = cls.rules if own else Encoder.rules
        rules = {"family": one_of(cls.family), **rules}
        check(description, rules, where, ignore=not own)

    @classmethod
    def from_description(
        cls, description: Mapping, folder: Path | None = None, source: str | None = None
    ) -> "Encoder":
        """Build an encoder again, without what was trained.

        Arguments
        ---------
        description : mapping
            From ``describe``.
        folder : Path, optional
            Of the exported model, which may hold pretrained weights.
        source : str, optional
            Another place of the pretrained weights.
        """
        del folder, source
        return cls(**description["options"])

    @classmethod
    def expected_state(cls, description: Mapping) -> dict[str, torch.Tensor] | None:
        """Names, shapes and types of ``trained_state``, on the meta device.

        None if they cannot be known before the encoder is built.
        """
        try:
            with torch.device("meta"):
                return cls.from_description(description).trained_state()
        except Exception:  # a constructor of one's own may need real values
            return None

    def trained_state(self) -> dict[str, torch.Tensor]:
        """All that a checkpoint and an exported model must hold."""
        return self.state_dict()

    def load_trained_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Load ``trained_state`` of an encoder with the same description, strictly."""
        self.load_state_dict(state)

    def graph(self) -> nn.Module:
        """A module for ONNX whose steps do not depend on data.

        Of utterances of one length, (batch, samples) to (batch, layers, width). The
        encoder itself may be changed, and is not to be used afterwards.
        """
        return _Single(self)


class _Single(nn.Module):
    """An encoder on utterances of one length."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return self.encoder(samples, torch.full(samples.shape[:1], samples.shape[1]))
