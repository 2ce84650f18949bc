"""The Brain that all recipes share: one embedding, three objectives."""

import logging
import math
import time
from collections import defaultdict

import numpy as np
import speechbrain as sb
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from data_prep.manifest import EMOTIONS
from xser_brain.dataio import Batch
from xser_brain.metrics import confusion_matrix, uar
from xser_brain.objectives.adversary import speaker_loss


def learning_rate_factor(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to zero.

    Arguments
    ---------
    step : int
        Optimiser steps done.
    warmup, steps : int
        Steps of the warm-up, and in all.

    Returns
    -------
    float
        What the learning rate is multiplied by.

    Example
    -------
    >>> [round(learning_rate_factor(step, 2, 6), 3) for step in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class XSERBrain(sb.Brain):
    """Train and score an emotion classifier (paper, section 2).

    ``modules`` holds ``encoder`` (unless features come from a cache), ``head``,
    ``classifier`` and, in systems that have them, ``adversary`` and ``memory`` (of the
    contrastive loss). ``hparams`` holds
    ``supcon`` (a loss, or None), ``alpha``, ``beta``, ``adversary_schedule``,
    ``learning_rate``, ``encoder_learning_rate``, ``warmup``, ``steps``,
    ``epoch_counter``, ``train_logger``, ``run_state`` and ``languages`` (the training
    languages in the order of their labels).

    An epoch is what lies between two validations, not a pass over the data: budgets
    are optimiser steps.
    """

    def on_fit_start(self):
        """Resume, and note how long training took before."""
        super().on_fit_start()
        self._seconds_before = self.hparams.run_state.seconds
        self._started = time.monotonic()

    def _wrap_distributed(self):
        """On CPU, which has no synchronised batch norm, each process has its own."""
        if not self.distributed_launch or self.device_type != "cpu":
            super()._wrap_distributed()
            return
        for name, module in self.modules.items():
            if any(parameter.requires_grad for parameter in module.parameters()):
                self.modules[name] = DistributedDataParallel(
                    module, find_unused_parameters=self.find_unused_parameters
                )

    def init_optimizers(self):
        """One optimiser for the encoder and one for the rest.

        Each has its own learning rate, and all of their gradients are clipped:
        SpeechBrain clips the first parameter group of each optimiser only.
        """
        parts = {
            "encoder": (["encoder"], self.hparams.encoder_learning_rate),
            "heads": (["head", "classifier", "adversary"], self.hparams.learning_rate),
        }
        self.optimizers_dict, self._learning_rates = {}, {}
        for name, (modules, learning_rate) in parts.items():
            parameters = [
                parameter
                for module in modules
                if module in self.modules
                for parameter in self.modules[module].parameters()
                if parameter.requires_grad
            ]
            if parameters:
                optimizer = self.opt_class(parameters)
                self.optimizers_dict[name] = optimizer
                self._learning_rates[name] = learning_rate
                self.checkpointer.add_recoverable(f"optimizer_{name}", optimizer)

    def on_fit_batch_start(self, batch, should_step):
        """Set the learning rates of this step."""
        factor = learning_rate_factor(
            self.optimizer_step, self.hparams.warmup, self.hparams.steps
        )
        for name, optimizer in self.optimizers_dict.items():
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rates[name] * factor

    def compute_forward(self, batch: Batch, stage):
        """Emotion logits and, in training, what the other objectives need.

        Arguments
        ---------
        batch : Batch
            Utterances.
        stage : sb.Stage
            The stage.

        Returns
        -------
        dict
            ``emotions`` (batch, 4), ``embeddings`` (batch, width) and, in training
            with an adversary, ``speakers`` (batch, speakers).
        """
        batch = batch.to(self.device)
        pooled = batch.features
        if pooled is None:
            inputs = batch.waveforms if batch.prefixes is None else batch.prefixes
            pooled = self.modules.encoder(inputs, batch.lengths)
        embeddings = self.modules.head(pooled)
        outputs = {
            "embeddings": embeddings,
            "emotions": self.modules.classifier(embeddings),
        }
        if stage == sb.Stage.TRAIN and "adversary" in self.modules:
            progress = self.optimizer_step / self.hparams.steps
            strength = self.hparams.adversary_schedule(progress)
            outputs["speakers"] = self.modules.adversary(embeddings, strength)
        return outputs

    def compute_objectives(self, predictions, batch: Batch, stage):
        """L = L_CE + alpha L_SupCLR + beta L_SpkAdv; only L_CE outside training.

        Arguments
        ---------
        predictions : dict
            From ``compute_forward``.
        batch : Batch
            Utterances.
        stage : sb.Stage
            The stage.

        Returns
        -------
        () float32 torch.Tensor
        """
        batch = batch.to(self.device)
        logits = predictions["emotions"].float()
        loss = functional.cross_entropy(logits, batch.emotions)
        if stage != sb.Stage.TRAIN:
            probabilities = logits.softmax(-1).cpu().numpy()
            self._outputs["ids"] += batch.ids
            self._outputs["languages"].append(batch.languages.cpu().numpy())
            self._outputs["emotions"].append(batch.emotions.cpu().numpy())
            self._outputs["probabilities"].append(probabilities)
            if stage == sb.Stage.TEST:
                embeddings = predictions["embeddings"].float().cpu().numpy()
                self._outputs["embeddings"].append(embeddings)
            return loss
        parts = {"ce": loss}
        if self.hparams.supcon is not None:
            heard = predictions["embeddings"], batch.emotions, batch.languages
            memory = getattr(self.modules, "memory", None)
            remembered = memory.recall() if memory else None
            parts["supcon"] = self.hparams.supcon(*heard, remembered)
            if memory:
                memory.add(*heard)
            loss = loss + self.hparams.alpha * parts["supcon"]
        if "speakers" in predictions:
            parts["speaker"] = speaker_loss(predictions["speakers"], batch.speakers)
            loss = loss + self.hparams.beta * parts["speaker"]
        for name, value in parts.items():
            self._parts[name] += value.detach()
        return loss

    def on_stage_start(self, stage, epoch=None):
        """Forget what the last stage gathered."""
        self._parts = defaultdict(float)
        self._outputs = defaultdict(list)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Log; after a validation also save, and decide whether to go on.

        The model is selected by the mean over training languages of the UAR on their
        validation parts.
        """
        if stage == sb.Stage.TRAIN:
            batches = max(1, self.step)
            self._train_stats = {
                "loss": stage_loss,
                **{name: float(v) / batches for name, v in self._parts.items()},
            }
            return
        ids = self._outputs.pop("ids")
        gathered = {
            name: np.concatenate(parts) for name, parts in self._outputs.items()
        }
        if stage == sb.Stage.TEST:
            self.outputs = {"ids": ids, **gathered}
            return
        self.valid_uar = self._uar_per_language(**gathered)
        mean = float(np.mean(list(self.valid_uar.values())))
        state = self.hparams.run_state
        state.seconds = self._seconds_before + time.monotonic() - self._started
        self.hparams.epoch_counter.update_metric(mean)
        self.hparams.train_logger.log_stats(
            stats_meta={
                "step": self.optimizer_step,
                "lr": self.optimizers_dict["heads"].param_groups[0]["lr"],
            },
            train_stats=self._train_stats,
            valid_stats={
                "loss": stage_loss,
                "uar": mean,
                **{f"uar_{name}": value for name, value in self.valid_uar.items()},
            },
        )
        self.checkpointer.save_and_keep_only(
            meta={
                "uar": mean,
                "valid_uar": self.valid_uar,
                "step": self.optimizer_step,
            },
            max_keys=["uar"],
            verbosity=logging.DEBUG,
        )

    def _uar_per_language(self, languages, emotions, probabilities) -> dict[str, float]:
        predicted = probabilities.argmax(-1)
        return {
            name: float(
                uar(
                    confusion_matrix(
                        emotions[languages == index],
                        predicted[languages == index],
                        len(EMOTIONS),
                    )
                )
            )
            for index, name in enumerate(self.hparams.languages)
            if (languages == index).any()
        }

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
            (utterances, 4) and ``embeddings`` (utterances, width) numpy arrays.
        """
        self.evaluate(loader, max_key="uar")
        return self.outputs
