"""Adaptation: starts as the plain model, trains and saves what it should, merges."""

import copy
import re

import pytest
import torch
from torch import nn
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperModel,
)

from data_prep.errors import UserError
from xser_brain.encoders.adapters import (
    METHODS,
    Adapter,
    LoRALinear,
    adapt,
    load_trained,
    merge,
    train_only_adapted,
    trainable,
)
from xser_brain.encoders.pretrained import PretrainedEncoder

WIDTH, LAYERS, RANK, BOTTLENECK = 32, 3, 4, 8
SMALL = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [WIDTH] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    # Wide weights: with the usual 0.02 attention is flat and shows no q_proj.
    "initializer_range": 0.3,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
FAMILIES = {
    "wav2vec2": lambda: Wav2Vec2Model(Wav2Vec2Config(**SMALL)),
    "xlsr": lambda: Wav2Vec2Model(Wav2Vec2Config(**SMALL, **STABLE)),
    "hubert": lambda: HubertModel(HubertConfig(**SMALL)),
    "wavlm": lambda: WavLMModel(WavLMConfig(**SMALL)),
    "wavlm-large": lambda: WavLMModel(WavLMConfig(**SMALL, **STABLE)),
    "data2vec": lambda: Data2VecAudioModel(Data2VecAudioConfig(**SMALL)),
    "whisper": lambda: WhisperModel(
        WhisperConfig(
            d_model=WIDTH, encoder_layers=LAYERS, encoder_attention_heads=4,
            encoder_ffn_dim=48, decoder_layers=1, decoder_attention_heads=4,
            decoder_ffn_dim=8, vocab_size=8, max_source_positions=50, init_std=0.3,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        )
    ).encoder,
}  # fmt: skip
SIZES = {"rank": RANK, "adapter_width": BOTTLENECK}
LORA = 2 * 2 * RANK * WIDTH  # q and v, each A and B
ADAPTER = 2 * WIDTH * BOTTLENECK + WIDTH + BOTTLENECK
COUNTS = {  # a layer's
    "frozen": 0,
    "lora": LORA,
    "adapters": ADAPTER,
    "paper": LORA + ADAPTER + 3,
}


def build(family: str) -> tuple[nn.Module, nn.ModuleList, torch.Tensor]:
    torch.manual_seed(0)
    model = FAMILIES[family]().eval().requires_grad_(False)
    if family == "whisper":
        return model, model.layers, torch.randn(2, 80, 100)
    return model, model.encoder.layers, torch.randn(2, 4000)


def run(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return model(inputs).last_hidden_state


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def perturb(module: nn.Module) -> None:
    """Move everything that trains away from its start."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainable(module).values():
            parameter += 0.3 * torch.randn_like(parameter)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_starts_as_the_plain_model(family, method):
    model, layers, inputs = build(family)
    before = run(model, inputs)
    trained = adapt(layers, method, **SIZES)
    assert difference(run(model, inputs), before) < 1e-6
    expected = COUNTS.get(method, sum(p.numel() for p in layers[1].parameters()))
    counts = [
        sum(p.numel() for p in layer.parameters() if p.requires_grad)
        for layer in layers[1:]  # WavLM's first layer also holds the position bias
    ]
    assert counts == [expected] * (LAYERS - 1)
    assert trained.keys() == trainable(layers).keys()
    names = {id(p) for p in model.parameters() if p.requires_grad}
    assert names == {id(p) for p in trained.values()}


@pytest.mark.parametrize("method", ["lora", "adapters", "paper"])
@pytest.mark.parametrize("family", FAMILIES)
def test_everything_that_trains_gets_a_gradient(family, method):
    model, layers, inputs = build(family)
    plain = {name: p.clone() for name, p in model.named_parameters()}
    trained = adapt(layers, method, **SIZES)
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    target = torch.randn_like(run(model, inputs))
    for _ in range(2):  # in the first step, what feeds a zero weight has no gradient
        optimizer.zero_grad()
        (run(model, inputs) - target).square().mean().backward()
        optimizer.step()
    for name, parameter in trained.items():
        assert parameter.grad.abs().max() > 0, name
    kinds = {".".join(name.split(".")[-2:]) for name in trained}
    assert ("branch.gate" in kinds) == ("adapter.gate" in kinds) == (method == "paper")
    unchanged = {
        re.sub(r"\.(block|linear)(?=\.)", "", name): parameter
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    assert unchanged.keys() == plain.keys()
    for name, parameter in unchanged.items():
        assert parameter.grad is None
        assert torch.equal(parameter, plain[name]), name


@pytest.mark.parametrize("gate", [True, False])
def test_lora_is_a_low_rank_change_of_the_weight(gate):
    torch.manual_seed(0)
    linear = nn.Linear(6, 4)
    lora = LoRALinear(linear, rank=2, alpha=5, gate=gate)
    a, b = torch.randn(2, 6), torch.randn(4, 2)
    with torch.no_grad():
        lora.branch.down.weight.copy_(a)
        lora.branch.up.weight.copy_(b)
        if gate:
            lora.branch.gate.fill_(-1.2)
    scale = 5 / 2 * (1 / (1 + 2.718281828459045**1.2) if gate else 1)
    weight = linear.weight + scale * b @ a
    x = torch.randn(3, 5, 6)
    expected = x @ weight.T + linear.bias
    torch.testing.assert_close(lora(x), expected)
    torch.testing.assert_close(lora.weight, weight)
    torch.testing.assert_close(lora.merge()(x), expected)
    assert torch.equal(lora.bias, linear.bias)
    assert lora.merge().weight is not linear.weight


def test_adapter_is_a_gated_bottleneck():
    torch.manual_seed(0)
    adapter = Adapter(6, width=3)
    perturb(adapter)
    x = torch.randn(2, 5, 6)
    branch = adapter.up(nn.functional.gelu(adapter.down(x)))
    torch.testing.assert_close(adapter(x), x + torch.sigmoid(adapter.gate) * branch)


@pytest.mark.parametrize("family", ["wav2vec2", "xlsr", "whisper"])
def test_adapter_stands_between_block_and_residual(family):
    model, layers, inputs = build(family)
    adapt(layers, "adapters", **SIZES, layers=[1])
    perturb(layers)
    name = "fc2" if family == "whisper" else "feed_forward"
    seen = {}

    def note(key):
        def hook(module, args, output):
            first = output[0] if isinstance(output, tuple) else output
            seen[key] = args[0], first

        return hook

    block, layer = getattr(layers[1], name), layers[1]
    for key, module in [
        ("adapter", block.adapter), ("block", block.block), ("layer", layer),
        ("first", layer.fc1 if family == "whisper" else block.block),
        ("norm", layer.final_layer_norm),
    ]:  # fmt: skip
        module.register_forward_hook(note(key))
    run(model, inputs)
    assert seen["adapter"][0] is seen["block"][1]
    change = seen["adapter"][1]
    if family == "wav2vec2":  # post-norm
        entering = seen["block"][0]
        torch.testing.assert_close(seen["norm"][0], entering + change)
    else:  # pre-norm: what the norm reads is the residual stream
        torch.testing.assert_close(seen["layer"][1], seen["norm"][0] + change)


@pytest.mark.parametrize("family", FAMILIES)
def test_merging_keeps_the_output(family):
    model, layers, inputs = build(family)
    linears = sum(isinstance(m, nn.Linear) for m in layers.modules())
    before = run(model, inputs)
    adapt(layers, "paper", **SIZES)
    perturb(layers)
    adapted = run(model, inputs)
    assert difference(adapted, before) > 0.05
    assert merge(model) is model
    assert difference(run(model, inputs), adapted) < 1e-5
    kinds = [type(module) for module in layers.modules()]
    assert LoRALinear not in kinds
    assert kinds.count(Adapter) == LAYERS
    assert kinds.count(nn.Linear) == linears + 2 * LAYERS


@pytest.mark.parametrize("target", ["q_proj", "k_proj", "v_proj", "out_proj"])
@pytest.mark.parametrize("family", ["wavlm", "wav2vec2", "whisper"])
def test_every_attention_weight_can_be_adapted(family, target):
    model, layers, inputs = build(family)
    before = run(model, inputs)
    adapt(layers, "lora", targets=[target])
    perturb(layers)
    assert difference(run(model, inputs), before) > 1e-3


def test_checkpoint_holds_what_trains_and_no_more(tmp_path):
    model, layers, inputs = build("wavlm")
    trained = adapt(layers, "paper", **SIZES)
    perturb(layers)
    expected = run(model, inputs)
    torch.save(dict(trainable(model)), tmp_path / "state.pt")
    parameters = sum(p.numel() for p in trained.values())
    allowed = 4 * parameters + 1000 * len(trained)
    assert (tmp_path / "state.pt").stat().st_size < allowed
    other, layers, _ = build("wavlm")
    adapt(layers, "paper", **SIZES)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert difference(run(other, inputs), expected) > 0.05
    load_trained(other, trainable(other), state)
    assert difference(run(other, inputs), expected) < 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lora"}, r"unexpected \("),
        ({"method": "paper", "gates": False}, r"6 unexpected \(0.*gate"),
        ({"method": "paper", "rank": 2}, r"8 of another shape \("),
        ({"method": "paper", "layers": [0, 1, 2]}, r"11 missing \("),
    ],
)
def test_loading_is_strict(options, message):
    _, layers, _ = build("wav2vec2")
    adapt(layers, "paper", **SIZES, layers=[0, 1])
    state = trainable(layers)
    _, other, _ = build("wav2vec2")
    adapt(other, **{**SIZES, "layers": [0, 1], **options})
    before = copy.deepcopy(trainable(other))
    with pytest.raises(UserError, match=message):
        load_trained(other, trainable(other), state)
    after = trainable(other)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_only_chosen_layers_are_adapted():
    _, layers, _ = build("hubert")
    trained = adapt(layers, "paper", **SIZES, layers=range(1, 3))
    assert {name.split(".")[0] for name in trained} == {"1", "2"}
    assert isinstance(layers[0].attention.q_proj, nn.Linear)


def test_frozen_parts_drop_nothing_in_training():
    model, layers, inputs = build("wav2vec2")
    adapt(layers, "paper", **SIZES, dropout=0.5)
    train_only_adapted(model, True)
    training = {name for name, m in model.named_modules() if m.training}
    assert all(".branch" in name or ".adapter" in name for name in training)
    assert sum(name.endswith(".branch.dropout") for name in training) == 2 * LAYERS
    assert difference(run(model, inputs), run(model, inputs)) < 1e-6  # LoRA gives 0
    perturb(layers)
    assert difference(run(model, inputs), run(model, inputs)) > 1e-3  # it drops
    train_only_adapted(model, False)
    assert not any(m.training for m in model.modules())
    assert difference(run(model, inputs), run(model, inputs)) < 1e-6


def test_whole_layers_that_train_use_their_dropout():
    model, layers, inputs = build("wav2vec2")
    adapt(layers, "full", layers=[2])
    train_only_adapted(model, True)
    training = {name for name, m in model.named_modules() if m.training}
    assert training == {
        f"encoder.layers.2.{name}".rstrip(".") for name, _ in layers[2].named_modules()
    }
    assert difference(run(model, inputs), run(model, inputs)) > 1e-3


def test_dropout_is_not_left_out_in_silence():
    model, layers, inputs = build("wavlm")
    adapt(layers, "lora", dropout=0.1)
    run(model, inputs)
    train_only_adapted(model, True)
    with pytest.raises(UserError, match="LoRA dropout to 0"):
        run(model, inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lore"}, "'lore'.*frozen, lora, adapters, paper, full"),
        (
            {"method": "lora", "targets": ["query"]},
            "'query'.*attention.q_proj.*feed_forward.output_dense",
        ),
        ({"method": "lora", "targets": ["proj"]}, "'proj'"),
        ({"method": "paper", "layers": [1, 3]}, r"\[3\].*0 to 2"),
        ({"method": "paper", "layers": [-1]}, r"\[-1\].*0 to 2"),
        ({"method": "lora", "rank": 0}, "rank 0"),
        ({"method": "adapters", "adapter_width": 0}, "width 0"),
        ({"method": "lora", "targets": []}, "trains nothing"),
        ({"method": "full", "layers": []}, "trains nothing"),
        ({"method": "lora", "dropout": 1.0}, r"dropout 1\.0"),
    ],
)
def test_wrong_options_say_what_there_is(options, message):
    _, layers, _ = build("wav2vec2")
    with pytest.raises(UserError, match=message):
        adapt(layers, **options)


def test_an_unknown_layer_has_no_place_for_an_adapter():
    layers = nn.ModuleList([nn.TransformerEncoderLayer(8, 2)])
    with pytest.raises(UserError, match="TransformerEncoderLayer.*linear2"):
        adapt(layers, "adapters")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_runs(dtype):
    model, layers, inputs = build("wavlm")

    def agreement() -> float:
        """Correlation of what the model gives in the two precisions."""
        expected = run(model, inputs)
        with torch.autocast("cpu", dtype):
            output = run(model, inputs)
        both = torch.stack([output.flatten(), expected.flatten()])
        return float(torch.corrcoef(both)[0, 1])

    # How much a random model keeps in bfloat16 depends on the processor.
    unadapted = agreement()
    trained = adapt(layers, "paper", **SIZES)
    assert agreement() == pytest.approx(unadapted, abs=0.01)
    perturb(layers)
    assert agreement() > unadapted - 0.3
    with torch.autocast("cpu", dtype):
        run(model, inputs).float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in trained.values())


def test_real_whisper(shared):
    source = shared / "models/whisper-base-encoder"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    torch.manual_seed(0)
    encoder = PretrainedEncoder(source).eval()
    encoder.frozen = False
    waveform, length = 0.1 * torch.randn(1, 8000), torch.tensor([8000])
    before = encoder(waveform, length)
    trained = adapt(encoder.core.transformer_layers, "paper")
    assert difference(encoder(waveform, length), before) < 1e-6
    lora, adapter = 2 * (2 * 8 * 512 + 1), 2 * 64 * 512 + 64 + 512 + 1
    assert sum(p.numel() for p in trained.values()) == 6 * (lora + adapter)
    with torch.no_grad():
        for parameter in trained.values():
            parameter += 0.02 * torch.randn_like(parameter)
    adapted = encoder(waveform, length)
    assert difference(adapted, before) > 0.01
    assert difference(merge(encoder)(waveform, length), adapted) < 1e-5
