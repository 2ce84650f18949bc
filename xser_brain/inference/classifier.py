"""Emotions of files, folders, arrays and streams."""

import copy
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from data_prep.audio import DAY, AudioError
from data_prep.errors import UserError
from data_prep.ffmpeg import FFmpeg
from data_prep.progress import bar
from xser_brain.adaptation import PROTOCOLS, STRICT, few_shot_of, unlabelled
from xser_brain.adaptation.few_shot import refit
from xser_brain.adaptation.linear import Linear
from xser_brain.adaptation.running import RunningStatistics
from xser_brain.data.ahead import read_ahead
from xser_brain.inference.loading import load
from xser_brain.inference.model import EmotionModel
from xser_brain.inference.recordings import (
    SAMPLE_RATE,
    Piece,
    Recording,
    Windows,
    as_recording,
    find_audio,
    pieces,
    resampled,
)
from xser_brain.inference.recordings import load as decode
from xser_brain.inference.results import UNSURE, Embedding, Result
from xser_brain.inference.sources import find_model

PRECISIONS = ("fp32", "bf16")
SORTED = 8  # batches' worth of pieces that are sorted by length at a time
MOST_HELD = 4096  # pieces, however short
NOTHING = np.zeros(0, np.float32)
# oneDNN keeps a kernel for each shape that it has met, 1,024 of them by default. Speech
# has endless shapes: memory would grow with the files, and few kernels be used again.
KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64"


@dataclass(frozen=True)
class Embedded:
    """A piece of a recording and its embedding; one without a piece ends a recording.

    Arguments
    ---------
    number : int
        Of the recording.
    recording : Recording
        Its name; the samples are no longer held.
    piece : Piece, optional
        Which part of it; the samples are no longer held.
    embedding : (width,) numpy.ndarray, optional
        Of the piece.
    error : str
        In the last item, why there is no result.
    """

    number: int
    recording: Recording
    piece: Piece | None = None
    embedding: np.ndarray | None = None
    error: str = ""


class OutOfTime(UserError):
    """What was to be classified takes longer than it may."""


class Deadline:
    """Time that is running out.

    Arguments
    ---------
    seconds : float
        From now on.
    """

    def __init__(self, seconds: float):
        self.seconds, self._end = seconds, time.monotonic() + seconds

    def require(self) -> None:
        """Go on only if there is time left."""
        if time.monotonic() > self._end:
            raise OutOfTime(f"takes longer than {self.seconds:g} s: give a shorter one")


class Classifier:
    """An exported model, ready to be used.

    Arguments
    ---------
    model : EmotionModel
        From ``xser_brain.inference.loading.load``.
    config : dict
        Its configuration.
    device : str, optional
        By default a GPU if there is one.
    precision : str
        Of the encoder: ``fp32`` or ``bf16``.
    threshold : float, optional
        Probability below which an emotion is called ``unsure``; by default the model's.
    windows : Windows, optional
        How long recordings are cut.
    batch_seconds : float
        Seconds of audio that the encoder takes at once.
    name : str
        Of a model of the hub, with its commit; stands in the results.

    Example
    -------
    >>> classifier = Classifier.from_pretrained("results/.../model")  # doctest: +SKIP
    >>> classifier("clip.wav").emotion  # doctest: +SKIP
    'happy'
    >>> for result in classifier("folder"): ...  # doctest: +SKIP
    """

    def __init__(
        self,
        model: EmotionModel,
        config: dict,
        device: str | None = None,
        precision: str = "fp32",
        threshold: float | None = None,
        windows: Windows | None = None,
        batch_seconds: float = 60.0,
        name: str = "",
    ):
        if precision not in PRECISIONS:
            raise UserError(f"unknown precision {precision!r}: use fp32 or bf16")
        if threshold is None:
            threshold = config["calibration"]["threshold"]
        if not 0 <= threshold <= 1:
            raise UserError(f"threshold is {threshold}: give a probability, 0 to 1")
        if not batch_seconds > 0:
            raise UserError(f"batch_seconds is {batch_seconds}: give more than 0")
        os.environ.setdefault(*KERNELS)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.device = torch.device(device)
            self.model = model.to(self.device).eval().requires_grad_(False)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"cannot use device {device!r} ({reason})") from error
        self.config, self.precision, self.name = config, precision, name
        self.protocol = STRICT
        self.threshold, self.windows = threshold, windows or Windows()
        self.batch_samples = batch_seconds * SAMPLE_RATE

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        device: str | None = None,
        precision: str = "fp32",
        *,
        revision: str | None = None,
        encoder_source: str | None = None,
        **options,
    ) -> "Classifier":
        """Load a model; no code of its folder is run.

        Arguments
        ---------
        source : path or str
            A model's folder, that of the run that exported it, or a hub name, with
            ``@REVISION`` behind it if need be.
        device, precision
            See ``Classifier``.
        revision : str, optional
            Of the hub's repository.
        encoder_source : str, optional
            Where the pretrained encoder is, if it has moved since training.
        **options
            More arguments of ``Classifier``.

        Returns
        -------
        Classifier

        Raises
        ------
        UserError
            If the model is not found, or is damaged.
        """
        folder, name = find_model(source, revision)
        model, config = load(folder, encoder_source)
        return cls(model, config, device, precision, name=name, **options)

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the probabilities."""
        return tuple(self.config["labels"])

    def __call__(
        self, source: object, sample_rate: int | None = None, **options
    ) -> Result | Iterator[Result]:
        """Classify one recording, or many.

        Arguments
        ---------
        source : path, array, tensor, or iterable
            A file or samples; a folder, or an iterable of files, folders and
            ``(samples, sample rate)``.
        sample_rate : int, optional
            Hz, of samples.
        **options
            See ``classify``.

        Returns
        -------
        Result, or iterator of Result
            An iterator unless a single recording is given.

        Raises
        ------
        UserError
            If it is not a recording. ``Result.error`` says what cannot be decoded.
        """
        sources, single = _sources(source, sample_rate)
        results = self.classify(sources, **options)
        return next(results) if single else results

    def classify(
        self,
        sources: Iterable,
        timeline: bool = False,
        adapt: str | RunningStatistics | None = None,
        speakers: Callable[[str], str] | None = None,
        progress: bool = False,
        seconds: float = math.inf,
        longest: float = DAY,
        normalise: str | None = None,
        heard: Callable[[float], None] | None = None,
    ) -> Iterator[Result]:
        """Classify recordings one after the other, in constant memory.

        Arguments
        ---------
        sources : iterable
            Files, folders (searched all through) and ``(samples, sample rate)``.
        timeline : bool
            Whether to cut recordings into windows too that are not long. Those longer
            than 30 s always are, and the mean over their windows is their result.
        adapt : str or RunningStatistics, optional
            Another protocol than zero-shot, without labels: ``corpus`` standardises
            embeddings by all recordings given, ``speaker`` by those of the same speaker,
            and ``self_training`` fits the classifier anew besides; nothing is returned
            before all are embedded. ``running`` normalises each by those before it and
            itself, after what the statistics given have heard.
        speakers : callable, optional
            From path to speaker; by default the file's folder.
        progress : bool
            Whether to show a bar, on stderr.
        seconds : float
            Most time that all of it may take; looked at before each batch.
        longest : float
            Seconds that a recording may last.
        normalise : str, optional
            An earlier name of ``adapt``.
        heard : callable, optional
            Called after each batch with its seconds of sound, for whoever shows how far
            it is; windows overlap.

        Returns
        -------
        iterator of Result
            In the order of ``sources``.

        Raises
        ------
        UserError
            If it is not a recording, there are too few to adapt to, or, as
            ``OutOfTime``, if the time is over.
        """
        adapt = adapt or normalise
        self._require(adapt)
        items = self.embed_pieces(sources, timeline, progress, seconds, longest, heard)
        return self.classify_embedded(items, adapt, speakers)

    def embed(
        self, source: object, sample_rate: int | None = None, **options
    ) -> Embedding | Iterator[Embedding]:
        """Embed one recording, or many: what the emotions are told by.

        Arguments
        ---------
        source, sample_rate
            As when it is called.
        **options
            See ``embed_pieces``.

        Returns
        -------
        Embedding, or iterator of Embedding
            An iterator, in the order of the recordings, unless a single one is given.

        Raises
        ------
        UserError
            If it is not a recording. ``Embedding.error`` says what cannot be decoded.

        Example
        -------
        >>> classifier.embed("clip.wav").vector.shape  # doctest: +SKIP
        (192,)
        """
        sources, single = _sources(source, sample_rate)
        found = map(_embedding, _by_recording(self.embed_pieces(sources, **options)))
        return next(found) if single else found

    def embed_pieces(
        self,
        sources: Iterable,
        timeline: bool = False,
        progress: bool = False,
        seconds: float = math.inf,
        longest: float = DAY,
        heard: Callable[[float], None] | None = None,
    ) -> Iterator[Embedded]:
        """The first half of ``classify``: from recordings to embeddings.

        Arguments
        ---------
        sources, timeline, progress, seconds, longest, heard
            See ``classify``.

        Yields
        ------
        Embedded
            For ``classify_embedded``.
        """
        found: Iterable = _found(sources)
        total = None
        if progress and isinstance(sources, Sequence):
            found = list(found)
            total = len(found)
        with (
            bar(
                desc="recordings", total=total, unit="file", disable=not progress
            ) as shown,
            FFmpeg(seconds) as ffmpeg,
        ):
            deadline = Deadline(seconds)
            recordings = map(as_recording, found)
            read = self._read(recordings, timeline, deadline, ffmpeg, longest)
            for item in self._embedded(read, deadline, heard):
                yield item
                shown.update(item.piece is None)

    def classify_embedded(
        self,
        items: Iterable[Embedded],
        adapt: str | RunningStatistics | None = None,
        speakers: Callable[[str], str] | None = None,
    ) -> Iterator[Result]:
        """The second half of ``classify``: from embeddings to emotions.

        Arguments
        ---------
        items : iterable of Embedded
            From ``embed_pieces``.
        adapt, speakers
            See ``classify``.

        Yields
        ------
        Result
        """
        self._require(adapt)
        protocol, linear = self.protocol, None
        if adapt == "running":
            adapt = self.running()
        if isinstance(adapt, RunningStatistics):
            protocol = PROTOCOLS["running"]
            items = (self._normalised(item, adapt) for item in items)
        elif adapt:
            protocol = PROTOCOLS[adapt]
            items, linear = self._adapted(list(items), adapt, speakers)
        for own in _by_recording(items):
            yield self._result(own, protocol, linear)

    def running(self, path: str | Path | None = None) -> RunningStatistics:
        """Running statistics to adapt by, which may be kept from call to call.

        Arguments
        ---------
        path : path, optional
            What an earlier one has saved; by default nothing has been heard.

        Returns
        -------
        RunningStatistics
            For ``adapt`` of ``classify`` and ``stream``, with ``save`` and ``reset``.

        Raises
        ------
        UserError
            If the model holds no statistics of its training, or the file is no such one.
        """
        self._require("running")
        state = RunningStatistics(self.model.statistics.cpu().numpy())
        if path is not None:
            state.load(path)
        return state

    def taught(
        self, examples: Iterable[tuple[object, str]], progress: bool = False
    ) -> "Classifier":
        """Another classifier, fitted anew to a few labelled recordings.

        Arguments
        ---------
        examples : iterable of (source, label)
            Files or ``(samples, sample rate)``, of other speakers than those who are to
            be classified, if figures are to be comparable with ``xser fewshot``.
        progress : bool
            Whether to show a bar, on stderr.

        Returns
        -------
        Classifier
            Whose results are few-shot, another protocol than zero-shot.

        Raises
        ------
        UserError
            If there is no example, one cannot be decoded, or one's label is none of the
            model's.
        """
        if self.protocol != STRICT:
            raise UserError(f"protocols do not mix: this is {self.protocol} already")
        unlabelled.require_statistics(self.model.statistics)
        examples = list(examples)
        if not examples:
            raise UserError("no labelled recordings: give one of each emotion or more")
        for source, label in examples:
            if label not in self.labels:
                raise UserError(
                    f"{_name(source)} is labelled {label!r:.50}: use "
                    f"{', '.join(self.labels)}"
                )
        embeddings = []
        sources = [source for source, _ in examples]
        for own in _by_recording(self.embed_pieces(sources, progress=progress)):
            *pieces, last = own
            if last.error:
                raise UserError(
                    f"{last.recording.name}, a labelled recording, {last.error}: leave it "
                    "out"
                )
            embeddings.append(np.mean([piece.embedding for piece in pieces], 0))
        if len(embeddings) != len(examples):
            raise UserError("labelled recordings must be single files, not folders")
        linear = refit(
            Linear.of(self.model),
            np.array(embeddings),
            np.array([self.labels.index(label) for _, label in examples]),
            self.model.statistics.cpu().numpy(),
        )
        other = copy.copy(self)
        other.model = self.model.with_classifier(linear.weight, linear.bias)
        other.protocol = few_shot_of(len(examples))
        return other

    def stream(
        self,
        blocks: Iterable,
        sample_rate: int,
        adapt: str | RunningStatistics | None = None,
    ) -> Iterator[Result]:
        """Classify a stream while it comes in, window by window.

        Arguments
        ---------
        blocks : iterable of (samples,) or (samples, channels) array
            Of any lengths.
        sample_rate : int
            Hz.
        adapt : str or RunningStatistics, optional
            ``running``, or the statistics of ``running()`` to go on with: each window is
            normalised by those before it and itself, another protocol than zero-shot.

        Yields
        ------
        Result
            Of each window that is not silent.

        Raises
        ------
        UserError
            If a block is not audio, or the stream would have to end first.
        """
        if isinstance(adapt, str) and adapt != "running":
            raise UserError(f"a stream cannot adapt by {adapt}: use running")
        state = self.running() if adapt == "running" else adapt
        rate = as_recording(np.zeros(1, np.float32), sample_rate).sample_rate
        samples = (as_recording(block, rate).samples for block in blocks if len(block))
        try:
            for start, window in self.windows.cut(resampled(samples, rate)):
                if np.ptp(window) > 0:
                    at = start / SAMPLE_RATE
                    piece = Piece(
                        at, at + len(window) / SAMPLE_RATE, window, True, True
                    )
                    items = self._embed([Embedded(0, Recording("stream"), piece)])
                    [result] = self.classify_embedded(items, state)
                    yield result.timeline[0]
        except AudioError as error:
            raise UserError(f"the stream {error}") from error

    def _read(
        self,
        recordings: Iterable[Recording],
        timeline: bool,
        deadline: "Deadline",
        ffmpeg: FFmpeg,
        longest: float,
    ) -> Iterator[Embedded]:
        """Pieces of recordings; each recording ends with an item without a piece."""

        def attempt(numbered: tuple[int, Recording]) -> np.ndarray | AudioError | None:
            try:
                return decode(numbered[1], ffmpeg, self.windows.above, longest)
            except AudioError as error:
                return error

        numbered = ([pair] for pair in enumerate(recordings))
        for [(number, recording)], [samples] in read_ahead(numbered, attempt):
            reason = ""
            try:
                if isinstance(samples, AudioError):
                    raise samples
                for piece in pieces(
                    recording, samples, self.windows, timeline, ffmpeg, longest
                ):
                    deadline.require()
                    yield Embedded(number, recording, piece)
            except AudioError as error:
                reason = str(error)
            yield Embedded(number, Recording(recording.name), error=reason)

    def _embedded(
        self,
        items: Iterable[Embedded],
        deadline: "Deadline",
        heard: Callable[[float], None] | None,
    ) -> Iterator[Embedded]:
        """Embed as many pieces at a time as memory is meant for."""
        held: list[Embedded] = []
        samples = 0
        for item in items:
            held.append(item)
            samples += len(item.piece.samples) if item.piece else 0
            if samples >= SORTED * self.batch_samples or len(held) >= MOST_HELD:
                yield from self._embed(held, deadline, heard)
                held, samples = [], 0
        yield from self._embed(held, deadline, heard)

    def _embed(
        self,
        items: list[Embedded],
        deadline: "Deadline | None" = None,
        heard: Callable[[float], None] | None = None,
    ) -> list[Embedded]:
        """Embed pieces in batches of like length; the order stays."""
        lengths = {i: len(x.piece.samples) for i, x in enumerate(items) if x.piece}
        batches: list[list[int]] = []
        for i in sorted(lengths, key=lambda i: -lengths[i]):
            full = (
                not batches
                or lengths[batches[-1][0]] * (len(batches[-1]) + 1) > self.batch_samples
            )
            if full:
                batches.append([])
            batches[-1].append(i)
        done = list(items)
        for batch in batches:
            if deadline:
                deadline.require()
            embeddings = self._forward([items[i].piece.samples for i in batch])
            for i, embedding in zip(batch, embeddings, strict=True):
                piece = replace(items[i].piece, samples=NOTHING)
                name = Recording(items[i].recording.name)
                done[i] = Embedded(items[i].number, name, piece, embedding)
            if heard:
                heard(sum(lengths[i] for i in batch) / SAMPLE_RATE)
        return done

    @torch.inference_mode()
    def _forward(self, waveforms: list[np.ndarray]) -> np.ndarray:
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        padded = pad_sequence(
            [torch.from_numpy(w) for w in waveforms], batch_first=True
        )
        autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16"
        )
        with autocast:
            embeddings = self.model.embed(
                padded.to(self.device), lengths.to(self.device)
            )
        return embeddings.float().cpu().numpy()

    def _require(self, adapt: str | RunningStatistics | None) -> None:
        """Refuse what this model cannot adapt by."""
        if adapt is None:
            return
        if self.protocol != STRICT:
            raise UserError(f"protocols do not mix: this is {self.protocol} already")
        by = "running" if isinstance(adapt, RunningStatistics) else adapt
        unlabelled.require(by, self.model.statistics)

    def _adapted(
        self, items: list[Embedded], by: str, speakers: Callable[[str], str] | None
    ) -> tuple[list[Embedded], Linear]:
        """Adapt to the embeddings of all pieces."""
        embedded = [item for item in items if item.embedding is not None]
        speakers = speakers or os.path.dirname
        named = by == "speaker"
        moved, linear = unlabelled.adapt(
            by,
            np.array([item.embedding for item in embedded]),
            [speakers(item.recording.name) if named else "" for item in embedded],
            Linear.of(self.model),
            self.model.statistics.cpu().numpy(),
        )
        rest = iter(moved)
        return [
            item if item.embedding is None else replace(item, embedding=next(rest))
            for item in items
        ], linear

    def _normalised(self, item: Embedded, state: RunningStatistics) -> Embedded:
        """Hear a piece, and normalise it by what has been heard."""
        if item.embedding is None or not np.isfinite(item.embedding).all():
            return item
        return replace(item, embedding=state(item.embedding))

    @torch.inference_mode()
    def _result(
        self, items: list[Embedded], protocol: str, linear: Linear | None = None
    ) -> Result:
        """The result of one recording, from all of its pieces.

        A classifier other than the model's stands in its place.
        """
        name = items[0].recording.name
        found = [item for item in items if item.embedding is not None]
        error = items[-1].error
        nothing = Result(name, 0.0, 0.0, "", "", {}, (), error, protocol, self.name)
        if nothing.error:
            return nothing
        embeddings = np.stack([item.embedding for item in found])
        if linear:
            probabilities = np.exp(linear.log_posteriors(embeddings))
        else:
            given = torch.from_numpy(embeddings).to(self.device)
            probabilities = self.model.classify(given).exp().cpu().double().numpy()
        if not np.isfinite(probabilities).all():
            return replace(nothing, error="the model gives no numbers for it")
        timeline = tuple(
            self._scored(name, item.piece.start, item.piece.end, row, protocol)
            for item, row in zip(found, probabilities, strict=True)
            if item.piece.window
        )
        whole = [r for i, r in zip(found, probabilities, strict=True) if i.piece.whole]
        end = max(item.piece.end for item in found)
        row = whole[0] if whole else probabilities.mean(0)
        return replace(self._scored(name, 0.0, end, row, protocol), timeline=timeline)

    def _scored(
        self, name: str, start: float, end: float, row: np.ndarray, protocol: str
    ) -> Result:
        best = int(row.argmax())
        predicted = self.labels[best]
        return Result(
            name,
            start,
            end,
            predicted if row[best] >= self.threshold else UNSURE,
            predicted,
            dict(zip(self.labels, row.tolist(), strict=True)),
            protocol=protocol,
            model=self.name,
        )


def _name(source: object) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else "a recording"


def _sources(source: object, sample_rate: int | None) -> tuple[Iterable, bool]:
    """What a caller gives as many recordings, and whether it is a single one."""
    path = isinstance(source, str | os.PathLike)
    array = isinstance(source, np.ndarray | torch.Tensor)
    if array or (path and not os.path.isdir(source)):
        return [as_recording(source, sample_rate)], True
    return [source] if path else source, False


def _by_recording(items: Iterable[Embedded]) -> Iterator[list[Embedded]]:
    """The items of each recording."""
    for _, own in itertools.groupby(items, key=lambda item: item.number):
        yield list(own)


def _embedding(items: list[Embedded]) -> Embedding:
    """The embedding of one recording, from all of its pieces."""
    name, error = items[0].recording.name, items[-1].error
    if error:
        return Embedding(name, 0.0, 0.0, error=error)
    pieces = [
        (item.piece, Embedding(name, item.piece.start, item.piece.end, item.embedding))
        for item in items
        if item.piece
    ]
    whole = [found.vector for piece, found in pieces if piece.whole]
    vector = whole[0] if whole else np.mean([e.vector for _, e in pieces], axis=0)
    timeline = tuple(found for piece, found in pieces if piece.window)
    end = max(piece.end for piece, _ in pieces)
    if not np.isfinite(vector).all():
        return Embedding(name, 0.0, 0.0, error="the model gives no numbers for it")
    return Embedding(name, 0.0, end, vector, timeline)


def _found(sources: Iterable) -> Iterator:
    """What is given, with the files of folders in place of these."""
    for source in sources:
        if isinstance(source, str | os.PathLike):
            yield from find_audio([source])
        else:
            yield source
