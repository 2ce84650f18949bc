"""Health checks against all pairs, and against names as the hub has them."""

import itertools

import pytest
import torch
from transformers import AutoConfig, Wav2Vec2Config, WhisperConfig

from xser_brain.encoders.health import check_layers, check_source, mean_cosine


def test_mean_cosine_is_that_of_all_pairs():
    torch.manual_seed(0)
    vectors = torch.randn(7, 3, 5) + torch.tensor([0.0, 1.0, 9.0])[:, None]
    pairs = [
        torch.cosine_similarity(a, b, dim=-1)
        for a, b in itertools.combinations(vectors.double(), 2)
    ]
    torch.testing.assert_close(mean_cosine(vectors), torch.stack(pairs).mean(0))


def pooled(offsets: list[float]) -> torch.Tensor:
    """(50, layers, 64): noise of length 1 a feature around these means."""
    torch.manual_seed(0)
    return torch.randn(50, len(offsets), 64) + torch.tensor(offsets)[:, None]


@pytest.mark.parametrize("as_mapping", [False, True])
def test_a_nearly_constant_last_layer_is_reported_with_a_better_one(as_mapping):
    # The cosine is about offset² / (offset² + 1).
    vectors = pooled([3, 1, 2, 30])
    if as_mapping:
        vectors = {f"u{i}": vector for i, vector in enumerate(vectors)}
    (warning,) = check_layers(vectors)
    assert "layer 3, the last" in warning
    assert "0.99" in warning
    assert "layer 1 differ most (0.4" in warning


@pytest.mark.parametrize(
    ("offset", "warned"), [(0, False), (9, False), (11, True), (1000, True)]
)
def test_the_threshold_is_a_cosine_of_099(offset, warned):
    assert bool(check_layers(pooled([0, offset]))) == warned


def test_another_layer_may_be_constant():
    assert check_layers(pooled([100, 0])) == []


def test_half_precision_and_a_single_layer():
    (warning,) = check_layers(pooled([100]).half())
    assert "no better layer" in warning


@pytest.mark.parametrize("utterances", [0, 1])
def test_too_few_utterances_say_nothing(utterances):
    assert check_layers(pooled([100, 100])[:utterances]) == []
    assert check_layers(dict(enumerate(pooled([100])[:utterances]))) == []


@pytest.mark.parametrize(
    ("name", "tuned"),
    [
        ("facebook/wav2vec2-base-960h", True),
        ("facebook/wav2vec2-large-960h-lv60-self", True),
        ("facebook/wav2vec2-base-100h", True),
        ("facebook/data2vec-audio-base-10m", True),
        ("facebook/hubert-large-ls960-ft", True),
        ("/models/wav2vec2-base-960h/", True),
        ("facebook/wav2vec2-base", False),
        ("facebook/hubert-base-ls960", False),
        ("facebook/wav2vec2-xls-r-300m", False),
        ("facebook/wav2vec2-base-de-voxpopuli-v2", False),
        ("TencentGameMate/chinese-wav2vec2-base", False),
        ("microsoft/wavlm-base-plus", False),
        ("/runs-960h/wav2vec2-base", False),
    ],
)
def test_names_of_recognisers(name, tuned):
    config = Wav2Vec2Config()
    config.name_or_path = name
    warnings = check_source(config)
    assert bool(warnings) == tuned
    assert all(name.rstrip("/") in warning for warning in warnings)


def test_architectures_of_recognisers(tmp_path):
    Wav2Vec2Config(architectures=["Wav2Vec2ForCTC"]).save_pretrained(tmp_path)
    (warning,) = check_source(AutoConfig.from_pretrained(tmp_path))
    assert "Wav2Vec2ForCTC" in warning
    assert str(tmp_path) in warning


@pytest.mark.parametrize(
    "config",
    [
        Wav2Vec2Config(architectures=["Wav2Vec2ForPreTraining"]),
        WhisperConfig(architectures=["WhisperForConditionalGeneration"]),
    ],
)
def test_pretrained_models_are_not_reported(config):
    assert check_source(config) == []
