"""The memory against a plain list, and the loss with it against explicit pairs."""

import math

import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer

from data_prep.errors import UserError
from xser_brain.objectives.memory import EmbeddingMemory
from xser_brain.objectives.supcon import LanguageAwareSupCon

T = 0.07


def batch(n=12, width=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, width, generator=rng),
        torch.randint(4, (n,), generator=rng),
        torch.randint(3, (n,), generator=rng),
    )


def as_set(columns):
    """What is remembered, whatever its order."""
    embeddings, emotions, languages = (column.tolist() for column in columns)
    return sorted(zip(map(tuple, embeddings), emotions, languages, strict=True))


@pytest.mark.parametrize("size", [1, 5, 12, 13, 24, 100])
def test_first_in_first_out(size):
    memory, everything = EmbeddingMemory(size, width=4), []
    assert memory.recall() is None
    for seed, n in enumerate([12, 1, 0, 7, 30, 12, 12]):
        columns = batch(n, seed=seed)
        memory.add(*columns)
        everything += zip(*columns, strict=True)
        expected = [
            torch.stack(column) for column in zip(*everything[-size:], strict=True)
        ]
        assert as_set(memory.recall()) == as_set(expected)


def test_nothing_is_recalled_before_the_start():
    memory = EmbeddingMemory(size=100, width=4, start=3)
    for seed in range(2):
        memory.add(*batch(seed=seed))
        assert memory.recall() is None
    memory.add(*batch(seed=2))
    assert len(memory.recall()[0]) == 36


def test_embeddings_that_are_not_finite_are_forgotten():
    embeddings, emotions, languages = batch(6)
    embeddings[1, 0], embeddings[4, 2] = math.nan, math.inf
    memory = EmbeddingMemory(size=3, width=4)
    memory.add(embeddings, emotions, languages)
    kept = torch.tensor([2, 3, 5])
    expected = [column[kept] for column in (embeddings, emotions, languages)]
    assert as_set(memory.recall()) == as_set(expected)


def test_no_gradient_flows_into_the_memory():
    """And a batch added before the backward pass does no harm."""
    memory, supcon = EmbeddingMemory(size=12, width=4), LanguageAwareSupCon()
    old, new = batch(seed=0), batch(seed=1)
    old[0].requires_grad_()
    memory.add(*old)
    new[0].requires_grad_()
    loss = supcon(*new, memory.recall())
    memory.add(*new)
    loss.backward()
    assert old[0].grad is None and new[0].grad.abs().sum() > 0
    assert not any(column.requires_grad for column in memory.recall())


def test_resumed_from_a_checkpoint(tmp_path):
    """The same losses, bit for bit, from the middle of a round and before the start."""
    supcon = LanguageAwareSupCon()

    def steps(memory, seeds):
        losses = []
        for seed in seeds:
            columns = batch(seed=seed)
            losses.append(supcon(*columns, memory.recall()))
            memory.add(*columns)
        return torch.stack(losses)

    for done in (1, 4):
        memory = EmbeddingMemory(size=30, width=4, start=3)
        steps(memory, range(done))
        folder = tmp_path / str(done)
        Checkpointer(folder, {"memory": memory}).save_checkpoint()
        resumed = EmbeddingMemory(size=30, width=4, start=3)
        Checkpointer(folder, {"memory": resumed}).recover_if_possible()
        assert torch.equal(steps(resumed, range(4, 9)), steps(memory, range(4, 9)))


def oracle(anchors, remembered, weight, normalise_by):
    """The loss by explicit pairs, in double precision and differentiable."""
    everything = [*zip(*anchors, strict=True), *zip(*remembered, strict=True)]
    losses = []
    for i, (anchor, emotion, language) in enumerate(zip(*anchors, strict=True)):
        others = everything[:i] + everything[i + 1 :]
        logits = [torch.cosine_similarity(anchor, z, dim=0) / T for z, _, _ in others]
        log_sum = torch.stack(logits).logsumexp(0)
        terms = [
            (1.0 if other == language else weight, logit - log_sum)
            for logit, (_, label, other) in zip(logits, others, strict=True)
            if label == emotion
        ]
        if terms:
            total = sum(w for w, _ in terms)
            by = total if normalise_by == "weights" else len(terms)
            losses.append(-sum(w * log_p for w, log_p in terms) / by)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("normalise_by", ["weights", "positives"])
@pytest.mark.parametrize("weight", [1.0, 2.5])
@pytest.mark.parametrize(
    ("n", "remembered"), [(12, 1), (12, 30), (1, 20), (36, 12), (3, 100)]
)
def test_loss_with_remembered_embeddings(n, remembered, weight, normalise_by):
    memory = EmbeddingMemory(remembered, width=4)
    memory.add(*batch(remembered, seed=7))
    embeddings, emotions, languages = batch(n, seed=3)
    emotions[0] = memory.emotions[0]  # even a batch of one has a positive
    ours = embeddings.clone().requires_grad_()
    supcon = LanguageAwareSupCon(T, weight, normalise_by)
    loss = supcon(ours, emotions, languages, memory.recall())
    loss.backward()

    theirs = embeddings.double().requires_grad_()
    z, *labels = memory.recall()
    expected = oracle(
        (theirs, emotions, languages), (z.double(), *labels), weight, normalise_by
    )
    expected.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=2e-5)
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-5)


def test_half_precision_embeddings():
    memory = EmbeddingMemory(size=20, width=4)
    memory.add(batch(seed=1)[0].bfloat16(), *batch(seed=1)[1:])
    embeddings, *labels = batch()
    half = embeddings.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LanguageAwareSupCon()(half, *labels, memory.recall())
    expected = LanguageAwareSupCon()(half.float(), *labels, memory.recall())
    assert loss.dtype == torch.float32 and torch.equal(loss, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"size": 0}, "size is 0"), ({"size": 8, "start": -1}, "start is -1")],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        EmbeddingMemory(width=4, **arguments)
