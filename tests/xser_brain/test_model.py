"""The embedding head."""

import json

import pytest
import torch
from models import exported, noise, probabilities

from data_prep.errors import UserError
from xser_brain.head import EmbeddingHead, JoinedHead, build_head
from xser_brain.inference import config as schema
from xser_brain.inference.loading import load


def test_single_layer_without_projection_is_the_vector_itself():
    pooled = torch.rand(3, 1, 8)
    head = EmbeddingHead(layers=1, width=8)
    assert torch.equal(head(pooled), pooled[:, 0])
    assert not list(head.parameters())


def test_layers_start_with_equal_weights():
    pooled = torch.rand(3, 5, 8)
    torch.testing.assert_close(EmbeddingHead(5, 8)(pooled), pooled.mean(1))


def test_layer_weights_are_a_softmax():
    pooled, weights = torch.rand(3, 4, 8), torch.tensor([0.3, -2.0, 1.0, 5.0])
    head = EmbeddingHead(4, 8)
    with torch.no_grad():
        head.layer_weights.copy_(weights)
    shares = [float(w.exp() / weights.exp().sum()) for w in weights]
    expected = sum(share * pooled[:, i] for i, share in enumerate(shares))
    torch.testing.assert_close(head(pooled), expected)


def test_layer_weights_are_learned():
    head = EmbeddingHead(3, 8)
    head(torch.rand(2, 3, 8)).square().sum().backward()
    assert head.layer_weights.grad.abs().max() > 0


@pytest.mark.parametrize("layers", [1, 3])
def test_projection(layers):
    head = EmbeddingHead(layers, 8, projection=5, dropout=0.5)
    pooled = torch.randn(6, layers, 8)
    assert head.width == 5
    assert head(pooled).shape == (6, 5)
    head.eval()
    assert torch.equal(head(pooled), head(pooled))
    # Each utterance is projected for itself.
    torch.testing.assert_close(head(pooled[:1]), head(pooled)[:1])
    # The layer norm takes level and offset out.
    torch.testing.assert_close(head(3 * pooled + 1), head(pooled), rtol=1e-3, atol=1e-4)


def test_a_hidden_layer_is_that_of_a_perceptron():
    head = EmbeddingHead(1, 8, projection=5, hidden=7).eval()
    assert head.width == 5
    pooled = torch.randn(6, 1, 8)
    norm, _, first, _, second = head.projection
    inner = torch.nn.functional.gelu(first(norm(pooled[:, 0])))
    torch.testing.assert_close(head(pooled), second(inner))


def test_without_a_hidden_layer_the_head_is_what_it_was():
    head = EmbeddingHead(1, 8, projection=5)
    assert [*head.state_dict()] == [
        f"projection.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias")
    ]
    assert head.describe() == {"projection": 5, "norm": True}


@pytest.mark.parametrize("hidden", [-1, 2.5, "many", None, True])
def test_a_hidden_layer_has_a_size(hidden):
    with pytest.raises(UserError, match="hidden is .*: set a whole number from 0 on"):
        EmbeddingHead(1, 8, projection=5, hidden=hidden)


def test_a_hidden_layer_lies_before_a_projection():
    with pytest.raises(UserError, match=r"pass --projection=N too, or --hidden=0"):
        EmbeddingHead(1, 8, hidden=7)


def test_a_hidden_layer_is_exported_and_loaded(tmp_path):
    folder, model = exported(tmp_path / "m", hidden=6)
    assert schema.read(folder)["hidden"] == 6
    again, _ = load(folder)
    waveforms = [noise(0.5), noise(0.9, 1)]
    expected = probabilities(model, waveforms)
    assert (probabilities(again, waveforms) == expected).all()


def test_a_hidden_layer_in_an_ensemble_is_built_again(tmp_path):
    heads = [EmbeddingHead(3, 8, 4, hidden=6), EmbeddingHead(3, 8, 4)]
    joined = JoinedHead(heads, [(0, 3), (0, 3)]).eval()
    again = build_head(joined.describe(), 3, 8).eval()
    again.load_state_dict(joined.state_dict())
    pooled = torch.randn(2, 3, 8)
    assert torch.equal(again(pooled), joined(pooled))
    config = schema.read(exported(tmp_path / "m")[0])
    schema.check({**config, **json.loads(json.dumps(joined.describe()))}, "m")


@pytest.mark.parametrize("value", ["no", 0, None, 2**20])
def test_a_hidden_layer_that_is_none_is_refused(value, tmp_path):
    config = schema.read(exported(tmp_path / "m")[0])
    with pytest.raises(UserError, match="hidden"):
        schema.check({**config, "hidden": value}, "m")
