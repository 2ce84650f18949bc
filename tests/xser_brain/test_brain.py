"""The Brain: its losses, schedule, validation and choice of the best checkpoint."""

import math

import numpy as np
import pytest
import speechbrain as sb
import torch
from sklearn.metrics import balanced_accuracy_score
from small import ATTRIBUTES
from speechbrain.utils.epoch_loop import EpochCounterWithStopper
from speechbrain.utils.train_logger import FileTrainLogger
from torch.nn import functional

from xser_brain.brain import SCORE, XSERBrain
from xser_brain.data.augmentation import EmbeddingTransform
from xser_brain.data.batches import Batch
from xser_brain.head import EmbeddingHead
from xser_brain.objectives import (
    Adversary,
    ConstantSchedule,
    CrossEntropy,
    LanguageAwareSupCon,
    Objective,
    Objectives,
)
from xser_brain.protocol import Labels
from xser_brain.training.checkpoints import AtomicCheckpointer, RunState
from xser_brain.training.schedule import WarmupCosine
from xser_brain.training.selection import LastStep, Selection

ALPHA, BETA, STRENGTH = 0.7, 0.4, 0.5
LABELS = Labels(
    emotions=("neutral", "happy", "angry", "sad"),
    languages=("de", "en", "ur"),
    speakers=("a", "b"),
    corpora=("x", "y", "z"),
)


def make_batch(seed=0, size=12, width=8) -> Batch:
    torch.manual_seed(seed)
    return Batch(
        ids=[f"{seed}-{i}" for i in range(size)],
        emotions=torch.arange(size) % 4,
        languages=torch.arange(size) % 3,
        speakers=torch.arange(size) % 3 - 1,  # -1 is unknown
        corpora=torch.arange(size) % 3,
        genders=torch.full((size,), -1),
        features=torch.randn(size, 1, width),
    )


@pytest.fixture
def make_brain(tmp_path):
    def build(
        adversary=True, supcon=True, epochs=3, run_opts=None, more=None, **hparams
    ):
        torch.manual_seed(1)
        objectives = {"emotion": CrossEntropy()}
        if adversary:
            objectives["speaker"] = Adversary(
                "speaker", 5, 0.0, ConstantSchedule(STRENGTH), weight=BETA
            )
        if supcon:
            objectives["supcon"] = LanguageAwareSupCon(weight=ALPHA)
        objectives |= more or {}
        for objective in objectives.values():
            objective.prepare(6, LABELS)
        modules = {
            "head": EmbeddingHead(1, 8, projection=6),
            "classifier": torch.nn.Linear(6, 4),
            "objectives": Objectives(objectives),
        }
        counter, state = EpochCounterWithStopper(epochs, 99, 0, "max"), RunState()
        values = {
            "embedding_transform": None,
            "selection": Selection(),
            "learning_rate": 0.1,
            "encoder_learning_rate": 0.1,
            "schedule": WarmupCosine(2),
            "steps": 6,
            "languages": ["de", "en", "ur"],
            "epoch_counter": counter,
            "run_state": state,
            "loggers": (),
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
    factors = [WarmupCosine(100)(step, 3000) for step in range(3001)]
    np.testing.assert_allclose(factors[:100], np.arange(1, 101) / 100)
    assert factors[100] == 1.0
    middle = 100 + 2900 // 2
    assert factors[middle] == pytest.approx(0.5)
    assert factors[100 + 2900 // 4] == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert factors[3000] == pytest.approx(0)
    assert all(a >= b for a, b in zip(factors[100:], factors[101:], strict=False))
    assert WarmupCosine(100)(4000, 3000) == pytest.approx(0)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 5), (5, 5), (9, 5), (0, 0)])
def test_learning_rate_at_the_edges(warmup, steps):
    factors = [WarmupCosine(warmup)(step, steps) for step in range(steps + 1)]
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
    assert seen == pytest.approx([0.1 * WarmupCosine(2)(i, 6) for i in range(6)])


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
    h = outputs.embeddings
    logits = h @ brain.modules.classifier.weight.T + brain.modules.classifier.bias
    expected = functional.cross_entropy(logits, batch.emotions)
    if supcon:
        term = LanguageAwareSupCon().loss(h, batch.emotions, batch.languages)
        expected = expected + ALPHA * term
    if adversary:
        known = batch.speakers >= 0
        speakers = brain.modules.objectives.speaker.classifier(h)
        term = functional.cross_entropy(speakers[known], batch.speakers[known])
        expected = expected + BETA * term
    torch.testing.assert_close(loss, expected)
    assert brain._parts.keys() == {
        "emotion", *(["supcon"] if supcon else []), *(["speaker"] if adversary else [])
    }  # fmt: skip


def test_the_adversarys_gradient_is_reversed_into_the_head(make_brain):
    """Of the speaker term alone: -strength times that without the reversal."""
    brain, batch = make_brain(), make_batch()
    head, adversary = brain.modules.head, brain.modules.objectives.speaker
    known = batch.speakers >= 0
    plain = functional.cross_entropy(
        adversary.classifier(head(batch.features))[known], batch.speakers[known]
    )
    weight = head.projection[2].weight
    (straight,) = torch.autograd.grad(plain, weight)
    outputs, with_adversary = losses(brain, batch)
    del brain.modules.objectives["speaker"]
    without = brain.compute_objectives(outputs, batch, sb.Stage.TRAIN)
    (reversed_,) = torch.autograd.grad(with_adversary - without, weight)
    torch.testing.assert_close(reversed_, -BETA * STRENGTH * straight)


@pytest.mark.parametrize("stage", [sb.Stage.VALID, sb.Stage.TEST])
def test_outside_training_only_cross_entropy(make_brain, stage):
    brain, batch = make_brain(), make_batch()
    batch.languages[:] = -1
    batch.speakers[:] = -1
    outputs, loss = losses(brain, batch, stage)
    expected = functional.cross_entropy(outputs.logits, batch.emotions)
    torch.testing.assert_close(loss, expected)


def test_losses_are_fp32_under_autocast(make_brain):
    brain, batch = make_brain(), make_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, loss = losses(brain, batch)
    assert outputs.logits.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert all(part.dtype == torch.float32 for part in brain._parts.values())


# --- Objectives of one's own


class Own(Objective):
    """A layer of its own on the embeddings it gets."""

    def bind(self, width, labels):
        self.layer = torch.nn.Linear(width, len(labels.languages))

    def forward(self, heard, progress):
        self.seen = heard
        return 1e3 * functional.cross_entropy(
            self.layer(heard.embeddings), heard.languages
        )


def test_weight_and_projection_of_an_objective(make_brain):
    own = Own(weight=0.25, projection=3)
    brain, batch = make_brain(False, False, more={"own": own}), make_batch()
    outputs, loss = losses(brain, batch)
    first, _, last = own.projector
    assert (first.in_features, first.out_features) == (6, 6)
    assert (last.in_features, last.out_features) == (6, 3)
    projected = last(first(outputs.embeddings).relu())
    torch.testing.assert_close(own.seen.embeddings, projected)
    term = 1e3 * functional.cross_entropy(own.layer(projected), batch.languages)
    emotion = functional.cross_entropy(outputs.logits, batch.emotions)
    torch.testing.assert_close(loss, emotion + 0.25 * term)
    torch.testing.assert_close(brain._parts["own"], term.detach())  # not weighted
    # The others' embeddings do not go through it.
    assert torch.equal(outputs.embeddings, brain.modules.head(batch.features))


def test_an_own_learning_rate_is_an_optimiser_of_its_own_and_is_clipped(make_brain):
    """SpeechBrain clips the first parameter group of each optimiser only."""
    own = Own(projection=3, learning_rate=0.5)
    brain = make_brain(more={"own": own}, run_opts={"max_grad_norm": 1.0})
    norms, rates, moved = {}, {}, {}
    step = brain.optimizers_step

    def noted(*args, **kwargs):
        before = [p.detach().clone() for p in own.parameters()]
        step(*args, **kwargs)
        for name, optimizer in brain.optimizers_dict.items():
            (group,) = optimizer.param_groups
            rates.setdefault(name, []).append(group["lr"])
        change = [(p - b).norm() for p, b in zip(own.parameters(), before, strict=True)]
        moved.setdefault("own", []).append(torch.stack(change).norm().item())

    def clipped(optimizer):
        original = optimizer.step

        def wrapped(*args, **kwargs):
            gradients = [p.grad for g in optimizer.param_groups for p in g["params"]]
            norms.setdefault(id(optimizer), []).append(
                torch.stack([g.norm() for g in gradients]).norm().item()
            )
            return original(*args, **kwargs)

        optimizer.step = wrapped

    brain.optimizers_step = noted
    initialise = brain.init_optimizers

    def noticed():
        initialise()
        for optimizer in brain.optimizers_dict.values():
            clipped(optimizer)

    brain.init_optimizers = noticed
    batch = make_batch()
    brain.fit(brain.hparams.epoch_counter, Loader([batch] * 2), Loader([batch]))
    assert set(rates) == {"heads", "objective_own"}
    factors = [WarmupCosine(2)(i, 6) for i in range(6)]
    assert rates["objective_own"] == pytest.approx([0.5 * f for f in factors])
    assert rates["heads"] == pytest.approx([0.1 * f for f in factors])
    for of_one in norms.values():
        assert max(of_one) <= 1.0 + 1e-4
    assert max(norms[id(brain.optimizers_dict["objective_own"])]) > 0.99  # it was more
    assert all(moved["own"][:-1])
    named = {id(p): n for n, p in brain.modules.named_parameters()}
    held = [
        named[id(p)]
        for optimizer in brain.optimizers_dict.values()
        for group in optimizer.param_groups
        for p in group["params"]
    ]
    assert sorted(held) == sorted(named.values())  # each once
    (saved,) = {p.parent for p in brain.checkpointer.checkpoints_dir.glob("*/optimizer*")
                if brain.checkpointer.find_checkpoint().path == p.parent}  # fmt: skip
    assert {p.stem for p in saved.glob("optimizer_*")} == {
        "optimizer_heads", "optimizer_objective_own"
    }  # fmt: skip


def test_what_an_objective_learned_is_in_the_checkpoint(make_brain):
    own = Own(projection=3)
    brain, batch = make_brain(more={"own": own}, epochs=1), make_batch()
    start = {name: value.clone() for name, value in own.state_dict().items()}
    brain.fit(brain.hparams.epoch_counter, Loader([batch]), Loader([batch]))
    learned = {name: value.clone() for name, value in own.state_dict().items()}
    assert {name.split(".")[0] for name in learned} == {"projector", "layer"}
    for name in learned:
        assert not torch.equal(learned[name], start[name]), name
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.zero_()
    brain.checkpointer.recover_if_possible()
    for name, value in own.state_dict().items():
        assert torch.equal(value, learned[name]), name


class Swap(EmbeddingTransform):
    """Each utterance becomes 0.75 of itself and 0.25 of the one before."""

    def forward(self, embeddings, targets):
        return (
            0.75 * embeddings + 0.25 * embeddings.roll(1, 0),
            0.75 * targets + 0.25 * targets.roll(1, 0),
        )


def test_embeddings_are_mixed_before_the_classifier_and_their_labels_too(make_brain):
    brain, batch = make_brain(False, True, embedding_transform=Swap()), make_batch()
    outputs, loss = losses(brain, batch)
    plain = brain.modules.head(batch.features)
    mixed = 0.75 * plain + 0.25 * plain.roll(1, 0)
    torch.testing.assert_close(outputs.embeddings, mixed)
    logits = brain.modules.classifier(mixed)
    log_p = logits.log_softmax(-1)
    rows = torch.arange(12)
    own, other = log_p[rows, batch.emotions], log_p[rows, batch.emotions.roll(1)]
    expected = -(0.75 * own + 0.25 * other).mean()
    torch.testing.assert_close(brain._parts["emotion"], expected.detach())
    term = LanguageAwareSupCon().loss(mixed, batch.emotions, batch.languages)
    torch.testing.assert_close(loss, expected + ALPHA * term)


@pytest.mark.parametrize("stage", [sb.Stage.VALID, sb.Stage.TEST])
def test_nothing_is_mixed_outside_training(make_brain, stage):
    brain, batch = make_brain(embedding_transform=Swap()), make_batch()
    outputs, _ = losses(brain, batch, stage)
    assert torch.equal(outputs.embeddings, brain.modules.head(batch.features))
    assert outputs.targets is None


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


def valid_uar(brain) -> dict:
    """What the best checkpoint says of each validation language."""
    meta = brain.checkpointer.find_checkpoint(max_key=SCORE).meta
    return meta["valid_uar"]


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
        assert valid_uar(brain)[name] == pytest.approx(100 * expected)
    (line,) = read_log(tmp_path)
    mean = np.mean(list(valid_uar(brain).values()))
    assert float(line["valid uar"]) == pytest.approx(mean, abs=1e-3)
    assert line["step"] == "1"


def test_a_language_without_validation_is_left_out(make_brain):
    brain, batch = make_brain(epochs=1), make_batch()
    batch.languages[:] = 2
    brain.fit(brain.hparams.epoch_counter, Loader([make_batch()]), Loader([batch]))
    assert valid_uar(brain).keys() == {"ur"}


def test_predict_takes_the_best_checkpoint_not_the_last(make_brain):
    brain, batch = make_brain(), make_batch()
    scores = iter([30.0, 60.0, 40.0])
    weights = []

    class Dealt(Selection):
        def score(self, validation):
            weights.append(brain.modules.classifier.weight.detach().clone())
            return next(scores)

    brain.hparams.selection = Dealt()
    brain.fit(brain.hparams.epoch_counter, Loader([make_batch()] * 2), Loader([batch]))
    assert not torch.equal(weights[1], weights[2])
    outputs = brain.predict(Loader([batch]))
    assert torch.equal(brain.modules.classifier.weight, weights[1])
    assert outputs["ids"] == batch.ids
    assert outputs["probabilities"].shape == (12, 4)
    np.testing.assert_allclose(outputs["probabilities"].sum(-1), 1, rtol=1e-5)
    assert outputs["emotions"].tolist() == batch.emotions.tolist()


def test_no_selection_takes_the_last_step(make_brain):
    brain, batch = make_brain(selection=LastStep()), make_batch()
    brain.fit(brain.hparams.epoch_counter, Loader([make_batch()] * 2), Loader([batch]))
    last = brain.modules.classifier.weight.detach().clone()
    with torch.no_grad():
        brain.modules.classifier.weight.zero_()
    brain.predict(Loader([batch]))
    assert torch.equal(brain.modules.classifier.weight, last)
    meta = brain.checkpointer.find_checkpoint(max_key=SCORE).meta
    assert (meta["score"], meta["step"]) == (6.0, 6)
    assert meta["uar"] == pytest.approx(np.mean([*meta["valid_uar"].values()]))


def test_predictions_do_not_depend_on_batches(make_brain):
    brain, batch = make_brain(), make_batch()
    brain.fit(brain.hparams.epoch_counter, Loader([make_batch()]), Loader([batch]))
    whole = brain.predict(Loader([batch]))
    single = [
        Batch([batch.ids[i]], *(
            getattr(batch, name)[i : i + 1]
            for name in ATTRIBUTES
        ), features=batch.features[i : i + 1])
        for i in reversed(range(12))
    ]  # fmt: skip
    one_by_one = brain.predict(Loader(single))
    assert one_by_one["ids"] == batch.ids[::-1]
    np.testing.assert_allclose(
        one_by_one["probabilities"][::-1], whole["probabilities"], rtol=1e-5
    )
