"""The memory against a plain list, and the loss with it against explicit pairs."""

import math

import pytest
import torch
from small import ATTRIBUTES, heard
from speechbrain.utils.checkpoints import Checkpointer

from data_prep.errors import UserError
from xser_brain.objectives import LanguageAwareSupCon, Memory, Objective
from xser_brain.protocol import Labels

T = 0.07


def batch(n=12, width=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, width, generator=rng),
        torch.randint(4, (n,), generator=rng),
        torch.randint(3, (n,), generator=rng),
    )


def heard_of(columns):
    embeddings, emotions, languages = columns
    return heard(embeddings, emotions=emotions, languages=languages)


def remembering(size, width=4, start=0, loss=None) -> Memory:
    memory = Memory(loss or LanguageAwareSupCon(T), size, start)
    memory.bind(width, Labels())
    return memory


def recalled(memory):
    """Embeddings, emotions and languages, or None."""
    found = memory.recall(heard(torch.zeros(0, 4)))
    return found and (found.embeddings, found.emotions, found.languages)


def as_set(columns):
    """What is remembered, whatever its order."""
    embeddings, emotions, languages = (column.tolist() for column in columns)
    return sorted(zip(map(tuple, embeddings), emotions, languages, strict=True))


@pytest.mark.parametrize("size", [1, 5, 12, 13, 24, 100])
def test_first_in_first_out(size):
    memory, everything = remembering(size), []
    assert recalled(memory) is None
    for seed, n in enumerate([12, 1, 0, 7, 30, 12, 12]):
        columns = batch(n, seed=seed)
        memory.add(heard_of(columns))
        everything += zip(*columns, strict=True)
        expected = [
            torch.stack(column) for column in zip(*everything[-size:], strict=True)
        ]
        assert as_set(recalled(memory)) == as_set(expected)


def test_nothing_is_recalled_before_the_start():
    memory = remembering(size=100, start=3)
    for seed in range(2):
        memory.add(heard_of(batch(seed=seed)))
        assert recalled(memory) is None
    memory.add(heard_of(batch(seed=2)))
    assert len(recalled(memory)[0]) == 36


def test_embeddings_that_are_not_finite_are_forgotten():
    embeddings, emotions, languages = batch(6)
    embeddings[1, 0], embeddings[4, 2] = math.nan, math.inf
    memory = remembering(size=3)
    memory.add(heard_of((embeddings, emotions, languages)))
    kept = torch.tensor([2, 3, 5])
    expected = [column[kept] for column in (embeddings, emotions, languages)]
    assert as_set(recalled(memory)) == as_set(expected)


def test_no_gradient_flows_into_the_memory():
    """And a batch added before the backward pass does no harm."""
    memory = remembering(size=12)
    old, new = batch(seed=0), batch(seed=1)
    old[0].requires_grad_()
    memory(heard_of(old), 0.0)
    new[0].requires_grad_()
    loss = memory(heard_of(new), 0.0)
    loss.backward()
    assert old[0].grad is None and new[0].grad.abs().sum() > 0
    assert not any(column.requires_grad for column in recalled(memory))


def test_resumed_from_a_checkpoint(tmp_path):
    """The same losses, bit for bit, from the middle of a round and before the start."""

    def steps(memory, seeds):
        return torch.stack([memory(heard_of(batch(seed=seed)), 0.0) for seed in seeds])

    for done in (1, 4):
        memory = remembering(size=30, start=3)
        steps(memory, range(done))
        folder = tmp_path / str(done)
        Checkpointer(folder, {"memory": memory}).save_checkpoint()
        resumed = remembering(size=30, start=3)
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
    memory = remembering(remembered, loss=LanguageAwareSupCon(T, weight, normalise_by))
    memory.add(heard_of(batch(remembered, seed=7)))
    z, *labels = (column.clone() for column in recalled(memory))
    embeddings, emotions, languages = batch(n, seed=3)
    emotions[0] = memory.emotions[0]  # even a batch of one has a positive
    ours = embeddings.clone().requires_grad_()
    loss = memory(heard_of((ours, emotions, languages)), 0.0)
    loss.backward()

    theirs = embeddings.double().requires_grad_()
    expected = oracle(
        (theirs, emotions, languages), (z.double(), *labels), weight, normalise_by
    )
    expected.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=2e-5)
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-5)


def test_half_precision_embeddings():
    memory = remembering(size=20)
    memory.add(heard_of((batch(seed=1)[0].bfloat16(), *batch(seed=1)[1:])))
    embeddings, *labels = batch()
    half, before = embeddings.bfloat16(), [c.clone() for c in recalled(memory)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = memory(heard_of((half, *labels)), 0.0)
    expected = LanguageAwareSupCon(T).loss(half.float(), *labels, before)
    assert loss.dtype == torch.float32 and torch.equal(loss, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": -1}, "memory_size is -1"),
        ({"size": 2.5}, "memory_size is 2.5"),
        ({"size": 8, "start": -1}, "memory_start is -1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        Memory(LanguageAwareSupCon(), **arguments)


def test_size_0_leaves_the_loss_as_it_is():
    memory = remembering(size=0)
    assert not memory.state_dict()
    columns = batch()
    for _ in range(2):  # the second time, too
        value = memory(heard_of(columns), 0.0)
        assert torch.equal(value, LanguageAwareSupCon(T).loss(*columns))


class Company(Objective):
    """Notes what it is given: any loss can be wrapped."""

    requires = ("speakers",)

    def bind(self, width, labels):
        self.layer = torch.nn.Linear(width, 1)
        self.seen = []

    def forward(self, heard, progress):
        self.seen.append((heard, progress))
        return self.layer(heard.embeddings).mean()


def test_any_loss_is_wrapped_with_all_attributes_of_the_past():
    loss = Company(weight=0.3, projection=3, learning_rate=0.5)
    memory = Memory(loss, size=12)
    assert memory.requires == ("speakers",)
    assert (memory.weight, memory.projection, memory.learning_rate) == (0.3, 3, 0.5)
    memory.prepare(4, Labels())
    torch.manual_seed(0)
    columns = {name: torch.randint(-1, 5, (6,)) for name in ATTRIBUTES}
    for progress in (0.0, 0.5):
        batch_ = heard(torch.randn(6, 4), **columns)
        projected = memory.project(batch_)
        assert projected.embeddings.shape == (6, 3)
        memory(projected, progress)
        if progress == 0.0:
            first = projected
    (start, _), (then, progress) = loss.seen
    assert start.remembered is None and progress == 0.5
    assert torch.equal(then.remembered.embeddings, first.embeddings.detach())
    for name in ATTRIBUTES:
        assert torch.equal(getattr(then.remembered, name), columns[name])
    # One projection, not one around another: the wrapped loss makes none of its own.
    assert {name.split(".")[0] for name, _ in memory.named_parameters()} == {
        "projector", "loss"
    }  # fmt: skip
    assert {name for name, _ in loss.named_parameters()} == {
        "layer.weight", "layer.bias"
    }  # fmt: skip


class Likeness(Objective):
    """Uses what is remembered as it is, where SupCon makes a copy."""

    def forward(self, heard, progress):
        if heard.remembered is None:
            return 0.0 * heard.embeddings.sum()
        return (heard.embeddings @ heard.remembered.embeddings.T).square().mean()


def test_a_loss_may_keep_what_is_remembered_for_its_gradient():
    """The batch takes its place in the memory before the backward pass."""
    memory = remembering(size=6, loss=Likeness())
    first, second = torch.randn(6, 4), torch.randn(6, 4, requires_grad=True)
    memory(heard(first), 0.0)
    memory(heard(second), 0.0).backward()
    expected = (2 / 36) * second.detach() @ first.T @ first
    torch.testing.assert_close(second.grad, expected)
