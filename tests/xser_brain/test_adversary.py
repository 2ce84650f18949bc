"""The gradient reversal against finite differences, schedules and loss by hand."""

import math

import pytest
import torch
from small import heard

from xser_brain.objectives.adversary import (
    Adversary,
    ConstantSchedule,
    DANNSchedule,
    known_cross_entropy,
    reverse_gradient,
)
from xser_brain.protocol import Labels


def bound(width=5, speakers=3, **options) -> Adversary:
    adversary = Adversary(hidden=7, **options)
    adversary.bind(width, Labels(speakers=tuple("abcdef"[:speakers])))
    return adversary


def finite_differences(function, x, step=1e-6):
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        bump = torch.zeros_like(x)
        bump.view(-1)[i] = step
        gradient.view(-1)[i] = (function(x + bump) - function(x - bump)) / (2 * step)
    return gradient


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.5])
def test_reversal(strength):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    weight = torch.randn(4, 2, generator=rng, dtype=torch.float64)

    def head(x):
        return (torch.tanh(x @ weight) ** 2).sum()

    leaf = x.clone().requires_grad_()
    reversed_x = reverse_gradient(leaf, strength)
    assert torch.equal(reversed_x, x)
    head(reversed_x).backward()
    expected = -strength * finite_differences(head, x)
    torch.testing.assert_close(leaf.grad, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(leaf, x)  # the identity hands on, changes nothing


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_adversary_turns_round_the_embeddings_gradient_alone(strength):
    torch.manual_seed(0)
    adversary = bound(schedule=ConstantSchedule(strength)).double().eval()
    x, speakers = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 2, -1, 1])

    def loss(x):
        logits = adversary.classifier(x)
        return torch.nn.functional.cross_entropy(logits[[0, 1, 3]], speakers[[0, 1, 3]])

    leaf = x.clone().requires_grad_()
    value = adversary(heard(leaf, speakers=speakers), progress=0.5)
    value.backward()
    assert value.item() == pytest.approx(loss(x).item(), rel=1e-6)
    with torch.no_grad():
        expected = -strength * finite_differences(loss, x)
    torch.testing.assert_close(leaf.grad, expected, rtol=1e-5, atol=1e-7)

    bias = adversary.classifier[-1].bias
    probabilities = adversary.classifier(x).softmax(1)[[0, 1, 3]]
    wanted = torch.eye(3, dtype=torch.float64)[[0, 2, 1]]
    torch.testing.assert_close(
        bias.grad, (probabilities - wanted).mean(0), rtol=1e-5, atol=1e-7
    )


def test_adversary_layers():
    adversary = bound(width=5, speakers=3, dropout=0.25)
    linear, relu, dropout, last = adversary.classifier
    assert (linear.in_features, linear.out_features) == (5, 7)
    assert isinstance(relu, torch.nn.ReLU) and dropout.p == 0.25
    assert (last.in_features, last.out_features) == (7, 3)
    assert adversary.classifier(torch.randn(0, 5)).shape == (0, 3)
    assert adversary(heard(torch.randn(0, 5)), 1.0).item() == 0


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_constant_schedule(progress):
    assert ConstantSchedule(0.3)(progress) == 0.3


@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("gamma", [10.0, 2.0])
@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_dann_schedule(progress, gamma, strength):
    # 2 / (1 + exp(-x)) - 1 is tanh(x / 2)
    expected = strength * math.tanh(gamma * progress / 2)
    assert DANNSchedule(strength, gamma)(progress) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_loss_leaves_unknown_speakers_out(dtype):
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    speakers = torch.tensor([3, -1, 0, -1, 2])
    rows = logits.double().tolist()
    terms = [
        math.log(math.fsum(math.exp(v) for v in row)) - row[speaker]
        for row, speaker in zip(rows, speakers.tolist(), strict=True)
        if speaker >= 0
    ]
    leaf = logits.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = known_cross_entropy(leaf, speakers)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.fsum(terms) / 3, rel=1e-5)
    loss.backward()
    assert leaf.grad[[0, 2, 4]].abs().sum(1).all()
    assert (leaf.grad[[1, 3]] == 0).all()


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (3, 0)])
def test_loss_without_known_speakers(shape):
    logits = torch.randn(shape, requires_grad=True)
    loss = known_cross_entropy(logits, torch.full(shape[:1], -1))
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()
