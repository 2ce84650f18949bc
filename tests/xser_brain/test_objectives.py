"""Objectives beside the paper's: adversaries of any attribute, CORAL, one of one's own."""

import pytest
import torch
from small import ATTRIBUTES, heard
from torch.nn import functional

from data_prep.errors import UserError
from xser_brain.objectives import (
    Adversary,
    ConstantSchedule,
    Coral,
    CrossEntropy,
    Objective,
    Objectives,
)
from xser_brain.protocol import Labels

LABELS = Labels(
    emotions=("sad", "happy"),
    languages=("de", "en", "ur"),
    speakers=("a", "b", "c", "d"),
    corpora=("v", "w", "x", "y", "z"),
    genders=("female", "male"),
)


@pytest.mark.parametrize(
    ("attribute", "column"),
    [
        ("speaker", "speakers"),
        ("language", "languages"),
        ("corpus", "corpora"),
        ("gender", "genders"),
    ],
)
def test_adversary_of_each_attribute(attribute, column):
    torch.manual_seed(0)
    adversary = Adversary(attribute, 7, 0.0, ConstantSchedule(0.5))
    adversary.prepare(5, LABELS)
    classes = len(getattr(LABELS, column))
    assert adversary.classifier[-1].out_features == classes
    assert adversary.requires == (column,)
    columns = {name: torch.zeros(8, dtype=torch.long) for name in ATTRIBUTES}
    columns[column] = torch.arange(8) % (classes + 1) - 1  # -1: not known
    x = torch.randn(8, 5)
    leaf = x.clone().requires_grad_()
    loss = adversary(heard(leaf, **columns), 0.3)
    loss.backward()
    known = columns[column] >= 0
    plain = x.clone().requires_grad_()
    expected = functional.cross_entropy(
        adversary.classifier(plain)[known], columns[column][known]
    )
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(leaf.grad, -0.5 * plain.grad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attribute": "age"}, "unknown attribute 'age': use one of speaker, language"),
        ({"hidden": 0}, "adversary_hidden is 0"),
        ({"dropout": 1.5}, "adversary_dropout is 1.5: set a number from 0 to 1"),
        ({"weight": "much"}, "Adversary's weight is 'much'"),
        ({"projection": 2.5}, "projection is 2.5: set a whole number"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
    ],
)
def test_adversary_refuses(options, message):
    with pytest.raises(UserError, match=message):
        Adversary(**options)


def slow_coral(embeddings, languages):
    """Pair by pair, from the definition, in Python floats."""
    groups = {}
    for row, language in zip(embeddings.tolist(), languages.tolist(), strict=True):
        groups.setdefault(language, []).append(row)
    groups = [rows for _, rows in sorted(groups.items()) if len(rows) > 1]
    width, values = embeddings.shape[1], []

    def mean(rows):
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    def covariance(rows):
        m = mean(rows)
        return [
            [
                sum((r[i] - m[i]) * (r[j] - m[j]) for r in rows) / (len(rows) - 1)
                for j in range(width)
            ]
            for i in range(width)
        ]

    for a in range(len(groups)):
        for b in range(a):
            one, two = covariance(groups[a]), covariance(groups[b])
            second = sum(
                (one[i][j] - two[i][j]) ** 2 for i in range(width) for j in range(width)
            )
            pairs = zip(mean(groups[a]), mean(groups[b]), strict=True)
            first = sum((x - y) ** 2 for x, y in pairs)
            values.append(first / width + second / (4 * width**2))
    return sum(values) / len(values) if values else 0.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "languages",
    [
        [0, 1] * 6,
        [0, 1, 2, 0, 1, 2, 2, 2, 2, 1, 0, 0],
        [0, 0, 0, 1, 5, 5, 5, 5, 3, 3, 3, 3],  # one of 1 is left out
        [-1, -1, -1, 2, 2, 2, 2, 2, 2, 2, 2, 2],
    ],
)
def test_coral(languages, seed):
    torch.manual_seed(seed)
    embeddings, languages = torch.randn(12, 5), torch.tensor(languages)
    loss = Coral()(heard(embeddings, languages=languages), 0.0)
    assert loss.item() == pytest.approx(slow_coral(embeddings, languages), rel=1e-5)


@pytest.mark.parametrize("languages", [[0, 0, 0, 0], [0, 1, 2, 3], [2, 2, 2, 1]])
def test_coral_without_a_pair_is_zero_with_zero_gradients(languages):
    embeddings = torch.randn(4, 5, requires_grad=True)
    loss = Coral()(heard(embeddings, languages=torch.tensor(languages)), 0.0)
    loss.backward()
    assert loss.item() == 0 and (embeddings.grad == 0).all()


def test_coral_falls_when_it_is_followed():
    torch.manual_seed(0)
    embeddings = torch.randn(24, 4)
    embeddings[12:] = 2 * embeddings[12:] + 1
    embeddings.requires_grad_()
    batch = heard(embeddings, languages=torch.arange(24) // 12)
    optimizer, coral = torch.optim.Adam([embeddings], lr=0.05), Coral()
    first = coral(batch, 0.0).item()
    for _ in range(200):
        optimizer.zero_grad()
        coral(batch, 0.0).backward()
        optimizer.step()
    assert coral(batch, 0.0).item() < 0.01 * first


def test_losses_are_fp32_whatever_the_autocast():
    embeddings = torch.randn(8, 4).bfloat16()
    columns = {name: torch.arange(8) % 2 for name in ATTRIBUTES}
    adversary = Adversary("language", 4, 0.0)
    adversary.prepare(4, LABELS)
    batch = heard(embeddings, logits=torch.randn(8, 4).bfloat16(), **columns)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for objective in (Coral(), adversary, CrossEntropy()):
            assert objective(batch, 0.5).dtype == torch.float32


def test_cross_entropy_of_soft_labels():
    logits, targets = torch.randn(6, 4), torch.rand(6, 4).softmax(-1)
    wrong = torch.zeros(6, dtype=torch.long)
    batch = heard(torch.randn(6, 2), logits=logits, emotions=wrong, targets=targets)
    expected = -(targets * logits.log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(CrossEntropy()(batch, 0.0), expected)
    batch = heard(torch.randn(6, 2), logits=logits, emotions=wrong)
    log_p = logits.log_softmax(-1)
    smooth = -(0.9 * log_p[:, 0] + 0.1 * log_p.mean(-1)).mean()
    torch.testing.assert_close(CrossEntropy(label_smoothing=0.1)(batch, 0.0), smooth)


def test_what_an_objective_must_write():
    with pytest.raises(NotImplementedError):
        Objective()(heard(torch.zeros(1, 1)), 0.0)


def test_one_call_computes_all_losses():
    class Mean(Objective):
        def forward(self, heard, progress):
            return heard.embeddings.mean() + progress

    both = Objectives({"one": Mean(weight=3.0), "two": Mean(projection=2)})
    for objective in both.values():
        objective.prepare(4, LABELS)
    batch = heard(torch.ones(3, 4))
    losses = both(batch, 0.25)
    assert list(losses) == ["one", "two"]
    assert losses["one"].item() == 1.25  # not weighted
    expected = both["two"].projector(batch.embeddings).mean() + 0.25
    torch.testing.assert_close(losses["two"], expected)
