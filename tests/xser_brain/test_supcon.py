"""The contrastive loss against a plain-Python recomputation from explicit pairs."""

import math

import pytest
import torch

from data_prep.errors import UserError
from xser_brain.objectives import supcon as supcon_module
from xser_brain.objectives.supcon import LanguageAwareSupCon

T = 0.07


def oracle(embeddings, emotions, languages, weight, normalise_by, temperature=T):
    """The paper's loss, pair by pair, in Python floats."""
    rows = embeddings.double().tolist()
    emotions, languages = emotions.tolist(), languages.tolist()

    def cosine(a, b):
        length = math.sqrt(math.fsum(x * x for x in a) * math.fsum(x * x for x in b))
        dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
        return dot / length if length else 0.0

    losses = []
    for i in range(len(rows)):
        others = [j for j in range(len(rows)) if j != i]
        positives = [j for j in others if emotions[j] == emotions[i]]
        if not positives:
            continue
        logits = {j: cosine(rows[i], rows[j]) / temperature for j in others}
        top = max(logits.values())
        log_sum = top + math.log(math.fsum(math.exp(v - top) for v in logits.values()))
        weights = {
            j: 1.0 if languages[j] == languages[i] else weight for j in positives
        }
        total = math.fsum(weights[j] * (logits[j] - log_sum) for j in positives)
        by = (
            math.fsum(weights.values()) if normalise_by == "weights" else len(positives)
        )
        losses.append(-total / by)
    return math.fsum(losses) / len(losses) if losses else 0.0


def naive(embeddings, emotions, languages, weight, normalise_by, temperature=T):
    """The same with tensors of any type, differentiable, pair by pair."""
    losses = []
    for i in range(len(embeddings)):
        logits = (
            torch.stack(
                [torch.cosine_similarity(embeddings[i], e, dim=0) for e in embeddings]
            )
            / temperature
        )
        others = torch.arange(len(embeddings)) != i
        log_p = logits - logits[others].logsumexp(0)
        positives = others & (emotions == emotions[i])
        if positives.any():
            weights = 1.0 + (weight - 1) * (languages != languages[i])[positives]
            by = weights.sum() if normalise_by == "weights" else positives.sum()
            losses.append(-(weights * log_p[positives]).sum() / by)
    return torch.stack(losses).mean()


def batch(n=12, width=8, emotions=4, languages=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, width, generator=rng),
        torch.randint(emotions, (n,), generator=rng),
        torch.randint(languages, (n,), generator=rng),
    )


def duplicates():
    embeddings, emotions, languages = batch(6)
    return embeddings.repeat(2, 1), emotions.repeat(2), languages.repeat(2)


def zero_vectors():
    embeddings, emotions, languages = batch()
    embeddings[::3] = 0
    return embeddings, emotions, languages


CASES = {
    "ordinary": batch(),
    "larger": batch(36, 16, seed=1),
    "no positive": (batch(5)[0], torch.arange(5), torch.tensor([0, 1, 0, 1, 2])),
    "one anchor without": (
        batch(3)[0],
        torch.tensor([4, 7, 4]),
        torch.tensor([0, 1, 9]),
    ),
    "one language": batch(languages=1),
    "one class": batch(emotions=1),
    "every language once": (batch(5)[0], torch.zeros(5).long(), torch.arange(5)),
    "two alike": (batch(2)[0], torch.tensor([3, 3]), torch.tensor([0, 1])),
    "batch of one": batch(1),
    "duplicates": duplicates(),
    "zero vectors": zero_vectors(),
    "all zero": (torch.zeros(4, 8), torch.tensor([0, 0, 1, 1]), torch.arange(4)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("normalise_by", ["weights", "positives"])
@pytest.mark.parametrize("weight", [1.0, 2.5])
@pytest.mark.parametrize("case", CASES)
def test_matches_the_oracle(case, weight, normalise_by, dtype):
    embeddings, emotions, languages = CASES[case]
    embeddings = embeddings.to(dtype, copy=True).requires_grad_()
    supcon = LanguageAwareSupCon(T, weight, normalise_by)

    loss = supcon.loss(embeddings, emotions, languages)
    expected = oracle(embeddings, emotions, languages, weight, normalise_by)
    assert loss.dtype == torch.float32 and loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=2e-5, abs=2e-5)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast = supcon.loss(embeddings, emotions, languages)
    assert autocast.dtype == torch.float32
    assert autocast.item() == loss.item()

    loss.backward()
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("normalise_by", ["weights", "positives"])
@pytest.mark.parametrize("weight", [1.0, 2.5])
@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c not in ("no positive", "batch of one")],
)
def test_gradient(case, weight, normalise_by):
    embeddings, emotions, languages = CASES[case]
    ours = embeddings.clone().requires_grad_()
    LanguageAwareSupCon(T, weight, normalise_by).loss(
        ours, emotions, languages
    ).backward()
    theirs = embeddings.double().requires_grad_()
    naive(theirs, emotions, languages, weight, normalise_by).backward()
    defined = embeddings.any(dim=1)  # the cosine of a zero vector has no derivative
    torch.testing.assert_close(
        ours.grad[defined].double(), theirs.grad[defined], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("block", [1, 5, 12, 100])
def test_blocks_of_anchors(block, monkeypatch):
    """A batch larger than a block; 36 leaves a part of a block of 5."""
    monkeypatch.setattr(supcon_module, "BLOCK", block)
    embeddings, emotions, languages = batch(36, 16)
    ours = embeddings.clone().requires_grad_()
    loss = LanguageAwareSupCon(T, 2.5).loss(ours, emotions, languages)
    loss.backward()
    expected = oracle(embeddings, emotions, languages, 2.5, "weights")
    assert loss.item() == pytest.approx(expected, rel=2e-5)
    theirs = embeddings.double().requires_grad_()
    naive(theirs, emotions, languages, 2.5, "weights").backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_without_positives_zero_with_zero_gradients(n):
    embeddings = torch.randn(n, 8, requires_grad=True)
    loss = LanguageAwareSupCon().loss(embeddings, torch.arange(n), torch.arange(n))
    loss.backward()
    assert loss.item() == 0 and embeddings.grad.shape == (n, 8)
    assert (embeddings.grad == 0).all()


def test_gradients_do_not_depend_on_autocast():
    embeddings, emotions, languages = batch()
    plain = embeddings.clone().requires_grad_()
    LanguageAwareSupCon().loss(plain, emotions, languages).backward()
    mixed = embeddings.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LanguageAwareSupCon().loss(mixed, emotions, languages)
    loss.backward()
    assert torch.equal(plain.grad, mixed.grad)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_weight_one_is_supcon(temperature):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    embeddings, emotions, languages = batch(36, 16)
    expected = losses.SupConLoss(temperature=temperature)(embeddings, emotions)
    ours = LanguageAwareSupCon(temperature, 1.0).loss(embeddings, emotions, languages)
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("normalise_by", ["weights", "positives"])
def test_order_and_names_do_not_matter(normalise_by):
    embeddings, emotions, languages = batch(36, 16)
    supcon = LanguageAwareSupCon(normalise_by=normalise_by)
    loss = supcon.loss(embeddings, emotions, languages)
    order = torch.randperm(36, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        supcon.loss(embeddings[order], emotions[order], languages[order]), loss
    )
    torch.testing.assert_close(
        supcon.loss(embeddings, 9 - emotions, languages * 7), loss
    )


def test_weight_matters_across_languages_alone():
    embeddings, emotions, languages = batch(36, 16)
    light, heavy = LanguageAwareSupCon(T, 1.0), LanguageAwareSupCon(T, 4.0)
    one_language = torch.zeros_like(languages)
    torch.testing.assert_close(
        light.loss(embeddings, emotions, one_language),
        heavy.loss(embeddings, emotions, one_language),
    )
    assert light.loss(embeddings, emotions, languages) != heavy.loss(
        embeddings, emotions, languages
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"language_weight": -1.0}, r"language_weight \(lambda\) is -1.0"),
        ({"language_weight": math.nan}, r"language_weight \(lambda\) is nan"),
        ({"normalise_by": "sum"}, "contrastive loss: cannot normalise by 'sum'"),
        ({"weight": -0.5}, "LanguageAwareSupCon's weight is -0.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        LanguageAwareSupCon(**arguments)


@pytest.mark.slow
def test_a_batch_of_8192_agrees_with_a_full_weight_matrix():
    embeddings, emotions, languages = batch(8192, 16)
    z = torch.nn.functional.normalize(embeddings)
    logits = (z @ z.T / T).fill_diagonal_(-math.inf)
    log_p = (logits - logits.logsumexp(1, keepdim=True)).fill_diagonal_(0)
    weights = torch.where(languages[:, None] == languages, 1, 2.5)
    weights = (weights * (emotions[:, None] == emotions)).fill_diagonal_(0)
    expected = -((weights * log_p).sum(1) / weights.sum(1)).mean()
    torch.testing.assert_close(
        LanguageAwareSupCon().loss(embeddings, emotions, languages), expected
    )
