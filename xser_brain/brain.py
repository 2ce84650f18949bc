"""The Brain that all recipes share: one embedding, any objectives."""

import logging
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import speechbrain as sb
import torch
import yaml
from speechbrain.core import INTRA_EPOCH_CKPT_FLAG
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import if_main_process
from torch.nn import functional
from torch.nn.parallel import DataParallel, DistributedDataParallel

from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.progress import bar
from xser_brain import parallel, waiting
from xser_brain.data.batches import Batch
from xser_brain.encoders.pieces import InPieces, WithFrames, normalises_over_batch
from xser_brain.encoders.pooling import lengthened
from xser_brain.finite import Watch, finite_gradients, finite_rows, not_finite
from xser_brain.objectives.base import Heard
from xser_brain.training import console, stopping
from xser_brain.training.checkpoints import BEST
from xser_brain.training.selection import Validation

logger = logging.getLogger(__name__)

SCORE = "score"  # of a checkpoint, by the run's selection
LOOKS = 50  # steps after which a GPU is waited for, to see whether all are numbers
MEND = "nothing of it was kept; lower --learning_rate, or look at these recordings"
WRAPPERS = (DataParallel, DistributedDataParallel, InPieces, WithFrames)


def unwrapped(module):
    """A module as it was before several processes, or pieces of a batch, shared it."""
    while isinstance(module, WRAPPERS):
        module = module.module
    return module


def _three(made: torch.Tensor | tuple) -> tuple:
    """Vectors, frames and counts of an encoder that may give vectors alone."""
    return made if isinstance(made, tuple) else (made, None, None)


def _fewer_calls(optimizer: torch.optim.Optimizer) -> None:
    """Let it treat small tensors together, as torch chooses on GPUs: the same numbers."""
    for settings in optimizer.param_groups:
        if settings.get("foreach", ...) is None and not settings.get("fused"):
            settings["foreach"] = True


def _forget_after(log: Path, step: int) -> None:
    """Drop the lines of validations that a resumed run is going to repeat."""
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [
        line
        for line in lines
        if line.endswith("\n") and int(line.split(",")[0].split(": ")[1]) <= step
    ]
    if kept != lines:
        write_atomic(log, "".join(kept).encode())


@register_checkpoint_hooks
class XSERBrain(sb.Brain):
    """Train and score an emotion classifier: one embedding, any objectives.

    ``modules`` holds ``encoder`` (unless features come from a cache), ``head``,
    ``classifier`` and ``objectives`` (``xser_brain.objectives.Objectives``). ``hparams``
    holds ``embedding_transform`` (or None), ``learning_rate``,
    ``encoder_learning_rate``, ``schedule``, ``steps``, ``selection``, ``epoch_counter``,
    ``train_logger``, ``loggers`` (further ones), ``run_state`` and ``languages`` (those
    of the validation parts, in the order of their indices).

    An epoch is what lies between two validations, not a pass over the data: budgets
    are optimiser steps. With ``grad_accumulation_factor``, what is a batch here is all of
    a step (see ``xser_brain.data.sampling.Joined``), and is encoded in that many pieces.
    """

    left_out = 0  # steps, for their gradients overflowed in half precision
    _trains = False  # or else it validates or scores
    _parts_before = None  # of an interval that is resumed half-way

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # SpeechBrain would take the mean of losses that each see one piece.
        self.pieces, self.grad_accumulation_factor = self.grad_accumulation_factor, 1
        # A scaler of half precision waits for the device in each step anyway.
        waits = waiting.at_once(self.device) or self.scaler.is_enabled()
        self._watch = Watch(1 if waits else LOOKS)
        self._losses: list[tuple[int, torch.Tensor]] = []  # not yet in the mean

    def on_fit_start(self):
        """Resume, and note how long training took before."""
        super().on_fit_start()
        self._seconds_before = self.hparams.run_state.seconds
        self._started = time.monotonic()
        if self.step:  # an interval that is resumed half-way
            self._train_set.skip(self.step)
        _forget_after(Path(self.hparams.train_logger.save_file), self.optimizer_step)
        self._shown.initial = self._shown.n = self.optimizer_step
        if self.optimizer_step:
            steps = self.hparams.steps
            logger.info("going on from step %d of %d", self.optimizer_step, steps)
        self._show_best()

    def fit(self, epoch_counter, train_set, valid_set):
        """See ``sb.Brain.fit``; a signal stops it where it can be resumed."""
        self._train_set = train_set
        with stopping.saving(), console.steps(self.hparams.steps) as self._shown:
            super().fit(epoch_counter, train_set, valid_set, progressbar=False)
            self._stop_if_asked()

    def validate(self, loader) -> None:
        """Score what needs no training as if it were its end, and save it.

        Arguments
        ---------
        loader : DataLoader
            Batches of the validation part.
        """
        super().on_fit_start()
        self._seconds_before, self._started = 0.0, time.monotonic()
        self.optimizer_step, self._train_stats = 1, {}
        with stopping.saving(), console.steps(1) as self._shown:
            self._fit_valid(loader, 1, enable=False)

    def _asked(self) -> int:
        """The signal that asks to stop, 0 if none: of all processes, at one step."""
        return parallel.agreed(stopping.asked() or 0)

    def _stop_if_asked(self) -> None:
        asked = self._asked()
        if asked:
            raise stopping.Stopped(asked)

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        """By a clock that nobody sets, or if asked to stop."""
        if self._asked():
            return True
        since = time.monotonic() - self._kept_at
        return super()._should_save_intra_epoch_ckpt(
            time.time() - since, steps_since_ckpt
        )

    def _save_intra_epoch_ckpt(self):
        """Save between two validations; the latest such checkpoint is kept."""
        self._look()
        self._note_seconds()
        self.checkpointer.save_and_keep_only(
            meta={
                INTRA_EPOCH_CKPT_FLAG: True,
                "step": self.optimizer_step,
                BEST: float(self.hparams.epoch_counter.best_score),
            },
            end_of_epoch=False,
            ckpt_predicate=lambda item: INTRA_EPOCH_CKPT_FLAG in item.meta,
            verbosity=logging.DEBUG,
        )
        self._kept_at = time.monotonic()
        self._stop_if_asked()

    def _note_seconds(self) -> None:
        spent = time.monotonic() - self._started
        self.hparams.run_state.seconds = self._seconds_before + spent

    @mark_as_saver
    def _save(self, path):
        """Where training is, and what it has summed up since the last validation."""
        state = {
            "step": self.step,
            "avg_train_loss": self.avg_train_loss,
            "optimizer_step": self.optimizer_step,
            "left_out": self.left_out,
            "parts": {name: float(value) for name, value in self._parts.items()},
        }
        Path(path).write_text(yaml.safe_dump(state), encoding="utf-8")

    @mark_as_loader
    def _recover(self, path, end_of_epoch):
        """See ``_save``."""
        super()._recover(path, end_of_epoch)
        state = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        self.left_out = state.get("left_out", 0)
        self._parts_before = state.get("parts")

    def _wrap_distributed(self):
        """Share gradients and batch norm among processes; on CPU torch has no such norm.

        Inside of each process the encoder takes its share in pieces.
        """
        if self.pieces > 1 and "encoder" in self.modules:
            if normalises_over_batch(self.modules.encoder):
                logger.warning(
                    "The encoder's batch norm sees the utterances of all %d batches of a "
                    "step, so that they are encoded at once: accumulation saves no memory",
                    self.pieces,
                )
            else:
                self.modules["encoder"] = InPieces(self.modules.encoder, self.pieces)
        if not self.distributed_launch or self.device_type != "cpu":
            super()._wrap_distributed()
            return
        for name, module in self.modules.items():
            if any(parameter.requires_grad for parameter in module.parameters()):
                self.modules[name] = DistributedDataParallel(
                    parallel.share_batch_norm(module),
                    find_unused_parameters=self.find_unused_parameters,
                )

    def init_optimizers(self):
        """One optimiser for the encoder, one for the heads, one for each rate of its own.

        All of their gradients are clipped: SpeechBrain clips the first parameter group
        of each optimiser only.
        """
        objectives = unwrapped(self.modules.objectives)
        rates = {
            "encoder": self.hparams.encoder_learning_rate,
            "heads": self.hparams.learning_rate,
        }
        groups = defaultdict(list)
        for module in ("encoder", "head", "classifier"):
            if module in self.modules:
                name = "encoder" if module == "encoder" else "heads"
                groups[name] += self.modules[module].parameters()
        for name, objective in objectives.items():
            group = "heads"
            if objective.learning_rate is not None:
                group = f"objective_{name}"
                rates[group] = objective.learning_rate
            groups[group] += objective.parameters()
        self.optimizers_dict, self._learning_rates = {}, {}
        for name, parameters in groups.items():
            trained = [p for p in parameters if p.requires_grad]
            if trained:
                optimizer = self.opt_class(trained)
                if name != "encoder":
                    _fewer_calls(optimizer)
                self.optimizers_dict[name] = optimizer
                self._learning_rates[name] = rates[name]
                self.checkpointer.add_recoverable(f"optimizer_{name}", optimizer)

    def on_fit_batch_start(self, batch, should_step):
        """Set the learning rates of this step."""
        factor = self.hparams.schedule(self.optimizer_step, self.hparams.steps)
        for name, optimizer in self.optimizers_dict.items():
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rates[name] * factor

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Show how far training is."""
        self._shown.update(self.optimizer_step - self._shown.n)

    def compute_forward(self, batch: Batch, stage) -> Heard:
        """Embeddings and emotion logits.

        Arguments
        ---------
        batch : Batch
            Utterances.
        stage : sb.Stage
            The stage.

        Returns
        -------
        Heard
        """
        batch = batch.to(self.device)
        pooled, frames, counts = batch.features, None, None
        if pooled is None:
            pooled, frames, counts = self._encoded(batch, stage)
        embeddings, targets = self.modules.head(pooled), None
        transform = self.hparams.embedding_transform
        if stage == sb.Stage.TRAIN and transform is not None:
            classes = unwrapped(self.modules.classifier).out_features
            targets = functional.one_hot(batch.emotions, classes).float()
            embeddings, targets = transform(embeddings, targets)
        return Heard(
            embeddings,
            self.modules.classifier(embeddings),
            batch.emotions,
            batch.languages,
            batch.speakers,
            batch.corpora,
            batch.genders,
            frames=frames,
            frame_counts=counts,
            units=batch.units,
            targets=targets,
        )

    def _encoded(
        self, batch: Batch, stage
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """What the encoder makes of a batch, in training of all processes' shares of it.

        Vectors, and in training frames and their counts if an objective needs them.
        """
        inputs = batch.waveforms if batch.prefixes is None else batch.prefixes
        encoder, lengths = unwrapped(self.modules.encoder), batch.lengths
        if not encoder.reads_lengths:
            lengths = lengths.to(self.device, non_blocking=True)
        if stage != sb.Stage.TRAIN:
            return encoder(inputs, lengths), None, None
        if parallel.processes() == 1:
            return _three(self.modules.encoder(inputs, lengths))
        # Each process reads all of the batch, so that it draws what one alone would draw.
        share = parallel.shares(len(inputs), parallel.processes())[parallel.rank()]
        # What is drawn here differs between processes; what is drawn later must not.
        drawn = self.optimizer_step * parallel.processes() + parallel.rank()
        gpus = [self.device] if self.device_type == "cuda" else []
        with torch.random.fork_rng(gpus):
            torch.manual_seed(torch.initial_seed() + drawn)
            own = self.modules.encoder(inputs[share], lengths[share])
        vectors, frames, counts = _three(own)
        total = len(batch.ids)
        if frames is not None:
            longest = parallel.agreed(frames.shape[1])
            frames = parallel.gather(lengthened(frames, longest), total)
            counts = parallel.gather(counts, total)
        return parallel.gather(vectors, total), frames, counts

    def compute_objectives(self, heard: Heard, batch: Batch, stage):
        """The weighted sum of all objectives; outside training only the cross-entropy.

        Arguments
        ---------
        heard : Heard
            From ``compute_forward``.
        batch : Batch
            Utterances.
        stage : sb.Stage
            The stage.

        Returns
        -------
        () float32 torch.Tensor
        """
        if stage != sb.Stage.TRAIN:
            finite = finite_rows(heard.logits) & finite_rows(heard.embeddings)
            if not finite.all():
                part = "validation" if stage == sb.Stage.VALID else "scoring"
                what = f"step {self.optimizer_step}, {part}: what the model makes"
                raise self._not_finite(what, batch.ids, finite)
            loss = functional.cross_entropy(heard.logits.float(), heard.emotions)
            self._gather(heard, batch, loss, stage)
            return loss
        finite = finite_rows(heard.embeddings) & finite_rows(heard.logits)
        self._current = batch.ids, finite
        progress = self.optimizer_step / self.hparams.steps
        weights = unwrapped(self.modules.objectives)
        total = 0.0
        for name, value in self.modules.objectives(heard, progress).items():
            total = total + weights[name].weight * value
            self._parts[name] += value.detach()
        return total

    def fit_batch(self, batch):
        """One optimiser step; SpeechBrain's would wait for the device at its end.

        Arguments
        ---------
        batch : Batch
            Utterances.

        Returns
        -------
        () torch.Tensor
            The loss, on the device.

        Raises
        ------
        UserError
            If a loss or a gradient, of this step or of one before, is no number.
        """
        try:
            self.on_fit_batch_start(batch, True)  # as SpeechBrain calls it
            with self.training_ctx:
                heard = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(heard, batch, sb.Stage.TRAIN)
            scaled = self.scaler.scale(loss)
            self.check_loss_isfinite(scaled)
            scaled.backward()
            self.optimizers_step()
        except Exception:
            self._look()  # what is no number may have led to it
            raise
        self.on_fit_batch_end(batch, heard, loss, True)
        return loss.detach()

    def update_average(self, loss, avg_loss):
        """The mean of the training losses is brought up to date at the next look.

        Arguments
        ---------
        loss : () torch.Tensor
            Of a batch.
        avg_loss : float
            The mean so far.

        Returns
        -------
        float
        """
        if not self._trains:
            return super().update_average(loss, avg_loss)
        self._losses.append((self.step, loss))
        if self._watch.every > 1:
            return avg_loss
        return self._mean_loss(avg_loss)

    def _mean_loss(self, mean: float) -> float:
        """A mean with what was not yet in it: as SpeechBrain takes it, step by step."""
        losses, self._losses = self._losses, []
        if losses:
            values = torch.stack([loss for _, loss in losses]).tolist()
            for (step, _), value in zip(losses, values, strict=True):
                mean -= mean / step
                mean += value / step
        return mean

    def _note(self, what: str, finite: torch.Tensor) -> None:
        """Note whether something of this step is a number; look if it is time."""
        self._watch.note(what, self.optimizer_step + 1, finite, *self._current)
        if self._watch.due:
            self._look()

    def _look(self) -> None:
        """Wait for the device, and end the run at the first number that is none.

        Before anything is saved or validated, and every so many steps.
        """
        bad = self._watch.first()
        if bad is not None:
            what = f"step {bad.step}: {bad.what}"
            raise self._not_finite(what, bad.ids, bad.rows)
        self.avg_train_loss = self._mean_loss(self.avg_train_loss)

    def check_loss_isfinite(self, loss):
        """End the run at the first loss that is no number; SpeechBrain would go on.

        Arguments
        ---------
        loss : () torch.Tensor
            Of the batch.

        Raises
        ------
        UserError
            Naming the utterances.
        """
        self._note("the loss", torch.isfinite(loss))

    def optimizers_step(self):
        """A step of all optimisers, unless a gradient is no number: that ends the run.

        In half precision gradients overflow now and then: the scaler then leaves a step
        out and scales less, which is counted.

        Raises
        ------
        UserError
            Naming the utterances.
        """
        if not self.scaler.is_enabled():
            self._note("a gradient", finite_gradients(self.modules.parameters()))
        scale = self.scaler.get_scale()
        super().optimizers_step()
        self.left_out += self.scaler.get_scale() < scale

    @staticmethod
    def _not_finite(what: str, ids: list[str], rows: torch.Tensor) -> UserError:
        """Name the utterances whose own numbers are none, or else the whole batch."""
        own = [name for name, good in zip(ids, rows.tolist(), strict=False) if not good]
        return not_finite(f"{what} is NaN or infinite", own or ids, MEND)

    def _gather(self, heard: Heard, batch: Batch, loss, stage) -> None:
        """Keep what was predicted, for the end of the stage."""
        outputs = {
            "languages": heard.languages,
            "emotions": heard.emotions,
            "probabilities": heard.logits.float().softmax(-1),
        }
        if stage == sb.Stage.TEST:
            outputs["embeddings"] = heard.embeddings.float()
        arrays = {name: values.cpu().numpy() for name, values in outputs.items()}
        self._outputs.append({"ids": batch.ids, "loss": float(loss), **arrays})

    def on_stage_start(self, stage, epoch=None):
        """Forget what the last stage gathered."""
        self._parts = defaultdict(float, self._parts_before or {})
        self._parts_before, self._kept_at = None, time.monotonic()
        self._trains = stage == sb.Stage.TRAIN
        self._outputs = []  # of each batch

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Log; after a validation also save, and decide whether to go on."""
        if stage == sb.Stage.TRAIN:
            self._look()
            batches = max(1, self.step)
            self._train_stats = {
                "loss": self.avg_train_loss,
                **{name: float(v) / batches for name, v in self._parts.items()},
            }
            return
        outputs = parallel.gather_batches(self._outputs)
        ids = [name for batch in outputs for name in batch.pop("ids")]
        losses = [batch.pop("loss") for batch in outputs]
        if parallel.processes() > 1:
            stage_loss = float(np.mean(losses))
        gathered = {
            name: np.concatenate([batch[name] for batch in outputs])
            for name in outputs[0]
        }
        if stage == sb.Stage.TEST:
            self.outputs = {"ids": ids, **gathered}
            return
        validation = Validation(
            self.hparams.languages,
            gathered["languages"],
            gathered["emotions"],
            gathered["probabilities"],
            stage_loss,
            self.optimizer_step,
        )
        per_language = validation.uar()
        mean = float(np.mean(list(per_language.values())))
        score = self.hparams.selection.score(validation)
        self._note_seconds()
        counter = self.hparams.epoch_counter
        counter.update_metric(score)
        ended = counter.should_stop or counter.current >= counter.limit
        ended = ended or self._optimizer_step_limit_exceeded
        stats = {"step": self.optimizer_step}
        if "heads" in self.optimizers_dict:
            stats["lr"] = self.optimizers_dict["heads"].param_groups[0]["lr"]
        for train_logger in (self.hparams.train_logger, *self.hparams.loggers):
            train_logger.log_stats(
                stats_meta=stats,
                train_stats=self._train_stats,
                valid_stats={
                    "loss": stage_loss,
                    "uar": mean,
                    **{f"uar_{name}": value for name, value in per_language.items()},
                },
            )
        self.checkpointer.save_and_keep_only(
            meta={
                "score": score,
                "uar": mean,
                "valid_uar": per_language,
                "step": self.optimizer_step,
                BEST: float(counter.best_score),
                "ended": ended,
            },
            max_keys=[SCORE],
            verbosity=logging.DEBUG,
        )
        if if_main_process():
            self._tell(mean, per_language)
        self._stop_if_asked()

    def _tell(self, mean: float, per_language: dict[str, float]) -> None:
        """Say on one line what a validation gave, and which has been the best."""
        step, (kept, best) = self.optimizer_step, self._show_best()
        if kept.get("step") == step:
            best = "the best so far"
        each = ", ".join(f"{name} {value:.1f}" for name, value in per_language.items())
        of = f"step {step} of {self.hparams.steps}"
        best = f", {best}" if best else ""
        logger.info("%s: validation UAR %.1f %% (%s)%s", of, mean, each, best)

    def _show_best(self) -> tuple[dict, str]:
        """Show the best checkpoint so far; what it says of itself, and that in words."""
        best = self.checkpointer.find_checkpoint(max_key=SCORE)
        chosen = self.hparams.selection.stops_early  # or else the last is kept
        if best is None or not chosen:
            return {}, ""
        words = f"best {best.meta['uar']:.1f} % at step {best.meta['step']}"
        self._shown.set_description_str(f"{words}, ", refresh=False)
        return best.meta, words

    def evaluate_batch(self, batch, stage):
        """See ``sb.Brain.evaluate_batch``."""
        loss = super().evaluate_batch(batch, stage)
        if stage == sb.Stage.TEST:
            self._scored.update()
        return loss

    def predict(self, loader) -> dict:
        """Score utterances with the best checkpoint.

        Arguments
        ---------
        loader : DataLoader
            Batches of utterances; their languages need not be known.

        Returns
        -------
        dict
            ``ids`` (list of str), ``emotions`` (utterances,), ``probabilities``
            (utterances, classes) and ``embeddings`` (utterances, width) numpy arrays.
        """
        with bar(desc="scoring", total=len(loader), unit="batch") as self._scored:
            self.evaluate(loader, max_key=SCORE, progressbar=False)
        return self.outputs
