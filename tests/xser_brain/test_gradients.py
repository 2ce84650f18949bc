"""What speeds a step up leaves the gradients of what trains as they were."""

import pytest
import torch
import transformers

from xser_brain.encoders.adapters import adapt, trainable
from xser_brain.encoders.pretrained import PretrainedEncoder

LENGTHS = [9000, 4000, 6500, 4100]
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [32] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}


@pytest.fixture(params=[{}, STABLE], ids=["group_norm", "layer_norm"])
def folder(request, tmp_path):
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(**SIZES, **request.param)
    transformers.Wav2Vec2Model(config).save_pretrained(tmp_path)
    return tmp_path


def stir(parameters):
    """The same values in both models, away from a start at which branches give zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parameters.values():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.1 * noise)


def plain_gradients(folder, waveforms, weights):
    """Transformers' own model on each utterance unpadded, with all of autograd."""
    model = transformers.Wav2Vec2Model.from_pretrained(folder)
    adapt(model.encoder.layers, "paper", rank=2, adapter_width=4)
    trained = trainable(model.encoder.layers)
    stir(trained)
    assert model.feature_extractor._requires_grad
    model.feature_extractor.training = True  # its input asks for a gradient
    total = 0.0
    for waveform, weight in zip(waveforms, weights, strict=True):
        variance, mean = torch.var_mean(waveform, correction=0)
        normal = (waveform - mean) / torch.sqrt(variance + 1e-7)
        hidden = model(normal[None]).last_hidden_state
        total = total + hidden.mean(1)[0] @ weight
    total.backward()
    return {name: p.grad for name, p in trained.items()}


@pytest.mark.parametrize("group_padding", [0.0, 0.2, 1.0])
def test_gradients_are_those_of_the_plain_path(folder, group_padding):
    torch.manual_seed(2)
    waveforms = [torch.randn(length) for length in LENGTHS]
    weights = torch.randn(len(LENGTHS), SIZES["hidden_size"])
    expected = plain_gradients(folder, waveforms, weights)

    encoder = PretrainedEncoder(
        str(folder),
        adaptation="paper",
        lora_rank=2,
        adapter_width=4,
        group_padding=group_padding,
    ).train()
    trained = trainable(encoder.core.transformer_layers)
    stir(trained)
    padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
    pooled = encoder(padded, torch.tensor(LENGTHS))[:, 0]
    (pooled * weights).sum().backward()

    assert trained.keys() == expected.keys()
    for name, gradient in expected.items():
        error = (trained[name].grad - gradient).norm() / gradient.norm()
        assert error < 5e-5, (name, float(error))
