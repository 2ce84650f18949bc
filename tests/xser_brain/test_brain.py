"""The Brain: its losses, schedule, validation and choice of the best checkpoint."""

import math

import numpy as np
import pytest
import speechbrain as sb
import torch
from sklearn.metrics import balanced_accuracy_score
from speechbrain.utils.epoch_loop import EpochCounterWithStopper
from speechbrain.utils.train_logger import FileTrainLogger
from torch.nn import functional

from xser_brain.brain import XSERBrain, learning_rate_factor
from xser_brain.checkpoints import AtomicCheckpointer, RunState
from xser_brain.dataio import Batch
from xser_brain.model import EmbeddingHead
from xser_brain.objectives.adversary import ConstantSchedule, SpeakerAdversary
from xser_brain.objectives.supcon import LanguageAwareSupCon

ALPHA, BETA, STRENGTH = 0.7, 0.4, 0.5


def make_batch(seed=0, size=12, width=8) -> Batch:
    torch.manual_seed(seed)
    return Batch(
        ids=[f"{seed}-{i}" for i in range(size)],
        emotions=torch.arange(size) % 4,
        languages=torch.arange(size) % 3,
        speakers=torch.arange(size) % 3 - 1,  # -1 is unknown
        features=torch.randn(size, 1, width),
    )


@pytest.fixture
def make_brain(tmp_path):
    def build(adversary=True, supcon=True, epochs=3, run_opts=None, **hparams):
        torch.manual_seed(1)
        modules = {
            "head": EmbeddingHead(1, 8, projection=6),
            "classifier": torch.nn.Linear(6, 4),
        }
        if adversary:
            modules["adversary"] = SpeakerAdversary(6, 2, hidden=5, dropout=0.0)
        counter, state = EpochCounterWithStopper(epochs, 99, 0, "max"), RunState()
        values = {
            "supcon": LanguageAwareSupCon() if supcon else None,
            "alpha": ALPHA,
            "beta": BETA,
            "adversary_schedule": ConstantSchedule(STRENGTH),
            "learning_rate": 0.1,
            "encoder_learning_rate": 0.1,
            "warmup": 2,
            "steps": 6,
            "languages": ["de", "en", "ur"],
            "epoch_counter": counter,
            "run_state": state,
            "train_logger": FileTrainLogger(str(tmp_path / "log.txt"), precision=4),
            **hparams,
        }
        checkpointer = AtomicCheckpointer(
            tmp_path / "save", {"counter": counter, "run_state": state, **modules}
        )
        return XSERBrain(
            modules,
            lambda parameters: torch.optim.SGD(parameters, lr=1.0),
            values,
            {"device": "cpu", "noprogressbar": True, **(run_opts or {})},
            checkpointer,
        )

    return build


# --- Learning rate


def test_learning_rate_rises_linearly_then_falls_as_a_cosine():
    factors = [learning_rate_factor(step, 100, 3000) for step in range(3001)]
    np.testing.assert_allclose(factors[:100], np.arange(1, 101) / 100)
    assert factors[100] == 1.0
    middle = 100 + 2900 // 2
    assert factors[middle] == pytest.approx(0.5)
    assert factors[100 + 2900 // 4] == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert factors[3000] == pytest.approx(0)
    assert all(a >= b for a, b in zip(factors[100:], factors[101:], strict=False))
    assert learning_rate_factor(4000, 100, 3000) == pytest.approx(0)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 5), (5, 5), (9, 5), (0, 0)])
def test_learning_rate_at_the_edges(warmup, steps):
    factors = [learning_rate_factor(step, warmup, steps) for step in range(steps + 1)]
    assert all(0 <= factor <= 1 for factor in factors)


def test_learning_rate_of_every_step(make_brain):
    brain, seen = make_brain(), []
    step = brain.optimizers_step

    def noted(*args, **kwargs):
        for optimizer in brain.optimizers_dict.values():
            seen.extend(group["lr"] for group in optimizer.param_groups)
        return step(*args, **kwargs)

    brain.optimizers_step = noted
    batch = make_batch()
    brain.fit(brain.hparams.epoch_counter, Loader([batch] * 2), Loader([batch]))
    assert seen == pytest.approx(
        [0.1 * learning_rate_factor(i, 2, 6) for i in range(6)]
    )


# --- Losses


def losses(brain, batch, stage=sb.Stage.TRAIN):
    brain.on_stage_start(stage)
    with torch.set_grad_enabled(stage == sb.Stage.TRAIN):
        outputs = brain.compute_forward(batch, stage)
        return outputs, brain.compute_objectives(outputs, batch, stage)


@pytest.mark.parametrize("adversary", [True, False])
@pytest.mark.parametrize("supcon", [True, False])
def test_total_is_the_papers_sum(make_brain, adversary, supcon):
    brain, batch = make_brain(adversary, supcon), make_batch()
    outputs, loss = losses(brain, batch)
    h = outputs["embeddings"]
    logits = h @ brain.modules.classifier.weight.T + brain.modules.classifier.bias
    expected = functional.cross_entropy(logits, batch.emotions)
    if supcon:
        term = LanguageAwareSupCon()(h, batch.emotions, batch.languages)
        expected = expected + ALPHA * term
    if adversary:
        known = batch.speakers >= 0
        speakers = brain.modules.adversary.classifier(h)
        term = functional.cross_entropy(speakers[known], batch.speakers[known])
        expected = expected + BETA * term
    torch.testing.assert_close(loss, expected)
    assert brain._parts.keys() == {
        "ce", *(["supcon"] if supcon else []), *(["speaker"] if adversary else [])
    }  # fmt: skip


def test_the_adversarys_gradient_is_reversed_into_the_head(make_brain):
    """Of the speaker term alone: -strength times that without the reversal."""
    brain, batch = make_brain(), make_batch()
    head, adversary = brain.modules.head, brain.modules.adversary
    known = batch.speakers >= 0
    plain = functional.cross_entropy(
        adversary.classifier(head(batch.features))[known], batch.speakers[known]
    )
    weight = head.projection[2].weight
    (straight,) = torch.autograd.grad(plain, weight)
    outputs, with_adversary = losses(brain, batch)
    del outputs["speakers"]
    without = brain.compute_objectives(outputs, batch, sb.Stage.TRAIN)
    (reversed_,) = torch.autograd.grad(with_adversary - without, weight)
    torch.testing.assert_close(reversed_, -BETA * STRENGTH * straight)


@pytest.mark.parametrize("stage", [sb.Stage.VALID, sb.Stage.TEST])
def test_outside_training_only_cross_entropy(make_brain, stage):
    brain, batch = make_brain(), make_batch()
    batch.languages[:] = -1
    batch.speakers[:] = -1
    outputs, loss = losses(brain, batch, stage)
    assert "speakers" not in outputs
    expected = functional.cross_entropy(outputs["emotions"], batch.emotions)
    torch.testing.assert_close(loss, expected)


def test_losses_are_fp32_under_autocast(make_brain):
    brain, batch = make_brain(), make_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, loss = losses(brain, batch)
    assert outputs["emotions"].dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert all(part.dtype == torch.float32 for part in brain._parts.values())


# --- Fitting


class Loader(torch.utils.data.DataLoader):
    """Batches as they are."""

    def __init__(self, batches):
        super().__init__(batches, batch_size=None, collate_fn=lambda batch: batch)


def read_log(tmp_path):
    lines = (tmp_path / "log.txt").read_text().splitlines()
    return [
        dict(
            pair.split(": ") for part in line.split(" - ") for pair in part.split(", ")
        )
        for line in lines
    ]


def test_validation_is_the_mean_uar_over_languages(make_brain, tmp_path):
    brain = make_brain(epochs=1)
    batches = [make_batch(seed, size) for seed, size in ((3, 11), (4, 7), (5, 9))]
    brain.fit(brain.hparams.epoch_counter, Loader([make_batch()]), Loader(batches))
    features = torch.cat([batch.features for batch in batches])
    emotions = torch.cat([batch.emotions for batch in batches])
    languages = torch.cat([batch.languages for batch in batches])
    brain.modules.eval()
    with torch.no_grad():
        logits = brain.modules.classifier(brain.modules.head(features))
    predicted = logits.argmax(-1)
    for index, name in enumerate(["de", "en", "ur"]):
        own = languages == index
        expected = balanced_accuracy_score(emotions[own], predicted[own])
        assert brain.valid_uar[name] == pytest.approx(100 * expected)
    (line,) = read_log(tmp_path)
    mean = np.mean(list(brain.valid_uar.values()))
    assert float(line["valid uar"]) == pytest.approx(mean, abs=1e-3)
    assert line["step"] == "1"


def test_a_language_without_validation_is_left_out(make_brain):
    brain, batch = make_brain(epochs=1), make_batch()
    batch.languages[:] = 2
    brain.fit(brain.hparams.epoch_counter, Loader([make_batch()]), Loader([batch]))
    assert brain.valid_uar.keys() == {"ur"}


def test_predict_takes_the_best_checkpoint_not_the_last(make_brain):
    brain, batch = make_brain(), make_batch()
    scores = iter([30.0, 60.0, 40.0])
    weights = []

    def uar_per_language(**gathered):
        weights.append(brain.modules.classifier.weight.detach().clone())
        return {"de": next(scores)}

    brain._uar_per_language = uar_per_language
    brain.fit(brain.hparams.epoch_counter, Loader([make_batch()] * 2), Loader([batch]))
    assert not torch.equal(weights[1], weights[2])
    outputs = brain.predict(Loader([batch]))
    assert torch.equal(brain.modules.classifier.weight, weights[1])
    assert outputs["ids"] == batch.ids
    assert outputs["probabilities"].shape == (12, 4)
    np.testing.assert_allclose(outputs["probabilities"].sum(-1), 1, rtol=1e-5)
    assert outputs["emotions"].tolist() == batch.emotions.tolist()


def test_predictions_do_not_depend_on_batches(make_brain):
    brain, batch = make_brain(), make_batch()
    brain.fit(brain.hparams.epoch_counter, Loader([make_batch()]), Loader([batch]))
    whole = brain.predict(Loader([batch]))
    single = [
        Batch([batch.ids[i]], *(
            getattr(batch, name)[i : i + 1]
            for name in ("emotions", "languages", "speakers")
        ), features=batch.features[i : i + 1])
        for i in reversed(range(12))
    ]  # fmt: skip
    one_by_one = brain.predict(Loader(single))
    assert one_by_one["ids"] == batch.ids[::-1]
    np.testing.assert_allclose(
        one_by_one["probabilities"][::-1], whole["probabilities"], rtol=1e-5
    )
