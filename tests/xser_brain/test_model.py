"""The embedding head."""

import pytest
import torch

from xser_brain.head import EmbeddingHead


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
