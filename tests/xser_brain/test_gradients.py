"""What speeds a step up leaves the gradients of what trains as they were."""

import pytest
import torch
import transformers

from data_prep.errors import UserError
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


def encoded(folder, adaptation, **options):
    """Pooled vectors and gradients of a training step, its dropout drawn from a seed."""
    encoder = PretrainedEncoder(
        str(folder),
        adaptation=adaptation,
        lora_rank=2,
        adapter_width=4,
        **options,
    ).train()
    trained = trainable(encoder.core.transformer_layers)
    if adaptation != "full":
        stir(trained)
    torch.manual_seed(2)
    waveforms = [torch.randn(length) for length in LENGTHS]
    padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
    pooled = encoder(padded, torch.tensor(LENGTHS))
    pooled.square().sum().backward()
    return pooled.detach(), {name: p.grad for name, p in trained.items()}


@pytest.mark.parametrize("adaptation", ["lora", "paper", "full"])
def test_checkpointing_changes_no_gradient(folder, adaptation):
    """Dropout included; and the layers do run again."""
    calls, layer = [], transformers.models.wav2vec2.modeling_wav2vec2
    kinds = layer.Wav2Vec2EncoderLayer, layer.Wav2Vec2EncoderLayerStableLayerNorm
    found = {}
    for checkpointing in (False, True):
        calls.clear()
        with pytest.MonkeyPatch.context() as patch:
            for kind in kinds:
                plain = kind.forward

                def forward(self, *args, plain=plain, **kwargs):
                    calls.append(self)
                    return plain(self, *args, **kwargs)

                patch.setattr(kind, "forward", forward)
            found[checkpointing] = (
                *encoded(
                    folder,
                    adaptation,
                    group_padding=1.0,
                    lora_dropout=0.1,
                    gradient_checkpointing=checkpointing,
                ),
                len(calls),
            )
    (plain, gradients, once), (checkpointed, others, twice) = found.values()
    assert torch.equal(plain, checkpointed)
    assert (once, twice) == (3, 6)
    for name, gradient in gradients.items():
        assert torch.equal(gradient, others[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", ["lora", "paper"])
def test_compiled_is_plain_to_rounding(folder, adaptation):
    """Of several lengths, above a frozen part; dropout would draw other numbers."""
    options = {"group_padding": 0.1, "adapted_layers": [1, 2]}
    plain, gradients = encoded(folder, adaptation, **options)
    torch._dynamo.utils.counters.clear()
    compiled, others = encoded(folder, adaptation, compile_encoder=True, **options)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert not torch._dynamo.utils.counters["graph_break"]
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_another_length_compiles_nothing_anew(folder):
    encoder = PretrainedEncoder(
        str(folder), adaptation="lora", compile_encoder=True
    ).train()
    graphs = torch._dynamo.utils.counters["stats"]
    seen = []
    for length in (16000, 12000, 9000, 7000, 5000):
        encoder(torch.randn(3, length), torch.tensor([length] * 3)).sum().backward()
        seen.append(graphs["unique_graphs"])
    assert seen[1:] == [seen[0]] * 4


def test_where_nothing_compiles(folder):
    from torch._inductor import config

    encoder = PretrainedEncoder(str(folder), adaptation="lora", compile_encoder=True)
    torch._dynamo.reset()  # or else the trial may have been compiled before
    lacking = {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    with (
        config.patch(lacking),
        pytest.raises(
            UserError, match="--compile_encoder=True: torch.compile does not work"
        ),
    ):
        encoder(torch.randn(1, 8000), torch.tensor([8000]))


@pytest.mark.parametrize("name", ["compile_encoder", "gradient_checkpointing"])
def test_switches_are_true_or_false(name, folder):
    with pytest.raises(UserError, match=f"{name} is 'yes': use True or False"):
        PretrainedEncoder(str(folder), adaptation="lora", **{name: "yes"})


def test_what_a_model_is_does_not_depend_on_how_it_trained(folder):
    options = {
        "adaptation": "lora",
        "compile_encoder": True,
        "gradient_checkpointing": True,
    }
    plain = PretrainedEncoder(str(folder), adaptation="lora").describe()
    assert PretrainedEncoder(str(folder), **options).describe() == plain


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("Wav2Vec2", "wav2vec2"),
        ("Hubert", "hubert"),
        ("Data2VecAudio", "data2vec-audio"),
    ],
)
@pytest.mark.parametrize("padding", [False, True])
def test_attention_is_torchs_own(family, kind, padding, tmp_path, monkeypatch):
    """Scaled dot product attention, of which a GPU has flash kernels."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES)
    assert config.model_type == kind
    getattr(transformers, f"{family}Model")(config).save_pretrained(tmp_path)
    encoder = PretrainedEncoder(str(tmp_path), adaptation="lora", group_padding=1.0)
    calls, attention = [], torch.nn.functional.scaled_dot_product_attention

    def counted(*args, **kwargs):
        calls.append(kwargs.get("attn_mask"))
        return attention(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    lengths = [9000, 4000] if padding else [9000, 9000]
    encoder(torch.randn(2, 9000), torch.tensor(lengths))
    assert len(calls) == 3
    # Without padding no mask stands in the way of a flash kernel.
    assert all((mask is not None) == padding for mask in calls)
