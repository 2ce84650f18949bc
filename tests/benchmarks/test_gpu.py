"""The benchmark of a GPU, tried without one: its arithmetic, and what it writes."""

import json
import sys
from pathlib import Path

import pytest
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from xser_brain.encoders.adapters import adapt

FOLDER = str(Path(__file__).resolve().parents[2] / "benchmarks")
SECONDS = 2.0


@pytest.fixture(autouse=True)
def beside_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name in ("flops", "gpu", "step", "timing"):
        sys.modules.pop(name, None)


def counted(config, method: str) -> int:
    """What torch counts of one utterance, adapted with branches of rank 1."""
    samples = round(SECONDS * 16000)
    if config.model_type == "whisper":
        config.max_source_positions = samples // 320
        model = transformers.WhisperModel(config).encoder
        inputs, layers = (
            torch.randn(1, config.num_mel_bins, samples // 160),
            model.layers,
        )
    else:
        model = transformers.Wav2Vec2Model(config)
        model.feature_extractor._requires_grad = False
        inputs, layers = torch.randn(1, samples), model.encoder.layers
    model.requires_grad_(False)
    adapt(layers, method, rank=1)
    # Other kernels of attention are one operation, which torch does not count on a CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        hidden = model(inputs).last_hidden_state
        if method != "frozen":
            hidden.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("method", ["frozen", "lora", "full"])
@pytest.mark.parametrize("family", ["group_norm", "layer_norm", "whisper"])
def test_formula_is_what_torch_counts(family, method):
    import flops
    import gpu

    if family == "whisper":
        config = gpu.whisper(128, 4, heads=4)
    else:
        sizes = {**gpu.TINY, "hidden_size": 128, "intermediate_size": 512}
        stable = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
        config = gpu.wav2vec2(**sizes, **(stable if family == "layer_norm" else {}))
    expected = counted(config, method)
    assert flops.of(config, SECONDS).step(method) == pytest.approx(expected, rel=0.03)


def test_known_sizes():
    """Parameters of the transformer, by which one may check an order of magnitude."""
    import flops
    import gpu

    base = flops.of(gpu.MODELS["wav2vec2-base"](), 6.0)
    assert base.linear == 2 * 299 * 12 * 768**2  # frames x weights of a layer
    assert base.attention == 4 * 299**2 * 768
    large = gpu.MODELS["whisper-large-v3"]()
    assert (large.num_mel_bins, large.encoder_attention_heads) == (128, 20)


@pytest.mark.slow
def test_a_table_without_a_gpu(tmp_path, capsys):
    import gpu

    file = tmp_path / "gpu.json"
    options = ["--models", *gpu.SMALL, "--batch=3", "--seconds=0.5", "--repeats=1"]
    gpu.main([*options, "--device=cpu", "--peak_tflops=0.5", f"--out={file}"])
    table = capsys.readouterr().out
    written = json.loads(file.read_text())
    assert written["device"] == "cpu"
    assert written["peak TFLOPs"] == 0.5
    rows = written["rows"]
    assert len(rows) == 2 * 3 * 3 == table.count("| small-")
    for row in rows:
        seconds = row["ms"] / 1000
        assert row["utterances/s"] == pytest.approx(3 / seconds)
        assert row["of peak"] == pytest.approx(row["TFLOP"] / seconds / 0.5)
        assert row["peak GB"] is None
        assert (row["case"] == "bare") == (row["of bare"] == 1)


@pytest.mark.slow
def test_what_does_not_fit_has_a_row(tmp_path, capsys):
    """A batch that no machine holds; the smaller one beside it would."""
    import gpu

    file = tmp_path / "gpu.json"
    options = ["--models", "small-whisper", "--methods", "lora", "--batch=99999999999"]
    gpu.main([*options, "--device=cpu", "--repeats=1", f"--out={file}"])
    rows = json.loads(file.read_text())["rows"]
    assert [row["case"] for row in rows] == ["bare", "ours", "lobe"]
    assert all(row["ms"] is None for row in rows)
    assert capsys.readouterr().out.count("| out of memory | - |") == 3


def test_one_case_that_does_not_fit_does_not_end_the_others():
    import gpu

    meter = gpu.Meter("cpu")
    meter.add("fits", lambda: lambda: None)
    meter.add("not", lambda: lambda: torch.empty(10**15))
    with pytest.raises(RuntimeError, match="size"):
        meter.add("wrong", lambda: lambda: torch.ones(2) + torch.ones(3))
    assert (meter.failed, [*meter.cases]) == (["not"], ["fits"])
    found = gpu.rows_of("m", "lora", meter.medians(1), meter.failed, {}, 1.0, 2, None)
    assert [row["case"] for row in found] == ["fits", "not"]
    assert gpu.shown(found[1])["ms"] == "out of memory"


def test_peak_by_the_cards_name(monkeypatch):
    import gpu

    name = "NVIDIA H100 80GB HBM3"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: name)
    assert gpu.peak_of("cuda", torch.bfloat16, None) == 989
    assert gpu.peak_of("cuda", torch.float32, None) == 67
    assert gpu.peak_of("cuda", torch.float32, 60.0) == 60.0
    name = "NVIDIA H100 PCIe"
    assert gpu.peak_of("cuda:0", torch.float16, None) == 756
    name = "NVIDIA L40S"
    assert gpu.peak_of("cuda", torch.bfloat16, None) == 362
    name = "Voodoo 2"
    assert gpu.peak_of("cuda", torch.bfloat16, None) is None
    assert gpu.peak_of("cpu", torch.bfloat16, None) is None
