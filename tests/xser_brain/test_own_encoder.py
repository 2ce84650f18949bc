"""An encoder of one's own: one class in one file, checkpointed, exported and loaded."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from models import build, exported, noise, probabilities
from models import record as some_record
from safetensors.torch import load_file
from small import ROOT
from torch import nn

from data_prep.errors import UserError
from xser_brain.encoders import Encoder, find
from xser_brain.encoders.ecapa import ECAPAEncoder
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.inference import Classifier
from xser_brain.models.export import export
from xser_brain.training.checkpoints import load_trained, save_trained

TINY = '''
import torch
from torch import nn

from xser_brain.encoders import Encoder


class Tiny(Encoder):
    """A convolution and a recurrence."""

    frame_rate = 100.0

    def __init__(self, width=6, *, hop=160, note=None):
        super().__init__()
        self.width, self.hop = width, hop
        self.filters = nn.Conv1d(1, width, 400, hop, padding=200)

    def frames(self, waveforms, lengths):
        frames = self.filters(waveforms[:, None]).abs().add(1e-4).log()
        return frames.transpose(1, 2)[:, None], 1 + lengths // self.hop
'''
WAVEFORMS = [noise(seconds, seed) for seed, seconds in enumerate((1.0, 0.4, 2.3))]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The class, in a file outside of the package, and that file's folder."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "mylab_tiny.py").write_text(TINY)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "mylab_tiny", raising=False)
    import mylab_tiny

    return mylab_tiny.Tiny, folder


def scores(folder, **options):
    results = Classifier.from_pretrained(folder, device="cpu", **options).classify(
        [(waveform, 16000) for waveform in WAVEFORMS]
    )
    return np.array([list(result.probabilities.values()) for result in results])


def run_xser(folder, *args):
    code = "import sys; from xser_brain.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=folder,
        capture_output=True,
        text=True,
    )


# --- What an encoder says of itself


def test_arguments_are_recorded_as_they_were_given(tiny):
    assert tiny[0](8).describe() == {
        "family": "mylab_tiny.Tiny",
        "options": {"width": 8, "hop": 160, "note": None},
    }


def test_what_is_built_again_is_the_same(tiny):
    encoder = tiny[0](8, hop=80)
    other = find("mylab_tiny.Tiny").from_description(encoder.describe())
    other.load_trained_state(encoder.trained_state())
    waveforms, lengths = torch.rand(2, 9000), torch.tensor([9000, 7000])
    assert torch.equal(other(waveforms, lengths), encoder(waveforms, lengths))


def test_options_decide_on_what_is_cached(tiny):
    one, two = tiny[0](hop=160), tiny[0](hop=80)
    assert one.settings != two.settings


def test_a_wrong_argument_is_pythons_error(tiny):
    with pytest.raises(TypeError, match="hopp"):
        tiny[0](hopp=1)


def test_families_cannot_be_taken():
    with pytest.raises(UserError, match=r"another encoder is called 'ecapa'"):

        class Mine(ECAPAEncoder, family="ecapa"):
            pass

    assert find("ecapa") is ECAPAEncoder


def test_a_class_may_be_renamed_and_defined_again():
    """As torch.export does with those that it derives."""
    for _ in range(2):
        proxy = type("Proxy", (ECAPAEncoder,), {"__module__": "torch.fx"})
        proxy.__qualname__ = "ECAPAEncoder"
        assert find("torch.fx.Proxy") is proxy


def test_built_in_encoders_describe_themselves_as_ever(small_encoder):
    """As in every config.json so far."""
    ecapa = ECAPAEncoder(width=16, n_mels=16, channels=16, attention_channels=8)
    assert ecapa.describe() == {
        "family": "ecapa",
        "options": {"width": 16, "n_mels": 16, "channels": 16, "attention_channels": 8},
    }
    source = small_encoder("wav2vec2")
    encoder = PretrainedEncoder(str(source), adaptation="lora", lora_rank=2)
    described = encoder.describe()
    assert list(described) == [
        "family", "options", "model_type", "source", "revision", "sha256", "input",
        "included",
    ]  # fmt: skip
    assert described["options"] == {
        "adaptation": "lora",
        "use_layers": "last",
        "lora_rank": 2,
        "lora_alpha": 16.0,
        "lora_targets": ["q_proj", "v_proj"],
        "adapter_width": 64,
        "adapted_layers": None,
    }
    assert (described["source"], described["revision"]) == (str(source), None)
    facts = {"normalise": True, "n_fft": None, "hop": None, "mels": None}
    assert described["input"] == facts
    # Frozen for use, it still knows what was trained.
    state = encoder.trained_state()
    encoder.requires_grad_(False)
    assert encoder.trained_state().keys() == state.keys() != set()
    assert encoder.describe() == described


def test_a_subclass_of_a_built_in_encoder_is_a_family_of_its_own(tmp_path):
    class Louder(ECAPAEncoder):
        def __init__(self, gain: float = 2.0):
            super().__init__(width=8, n_mels=20, channels=8)
            self.gain = gain

        def forward(self, waveforms, lengths):
            return super().forward(self.gain * waveforms.square(), lengths)

    folder, model = exported(tmp_path / "m", Louder(gain=3.0))
    expected = probabilities(model, WAVEFORMS)
    np.testing.assert_allclose(scores(folder), expected, atol=1e-5)


# --- Checkpoints


def test_a_checkpoint_holds_what_trains(tiny, small_encoder, tmp_path):
    for encoder, other in (
        (tiny[0](), tiny[0]()),
        (ECAPAEncoder(8, 20, 8), ECAPAEncoder(8, 20, 8)),
        *[[PretrainedEncoder(str(small_encoder("wavlm")), "paper") for _ in "ab"]],
    ):
        with torch.no_grad():
            for parameter in encoder.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter))
        save_trained(encoder, tmp_path / "encoder.ckpt")
        load_trained(other, tmp_path / "encoder.ckpt")
        before, after = encoder.state_dict(), other.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        saved = torch.load(tmp_path / "encoder.ckpt", weights_only=True)
        trains = {n for n, p in encoder.named_parameters() if p.requires_grad}
        pretrained = isinstance(encoder, PretrainedEncoder)
        assert saved.keys() == (trains if pretrained else before.keys())


# --- Exported models


def test_it_is_exported_and_loaded(tiny, tmp_path):
    folder, model = exported(tmp_path / "m", tiny[0](8))
    expected = probabilities(model, WAVEFORMS)
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(scores(folder), expected, atol=1e-5)
    held = load_file(folder / "model.safetensors")
    assert "encoder.filters.weight" in held
    card = (folder / "README.md").read_text()
    assert "the class `mylab_tiny.Tiny`, which is not part of XSER" in card


def test_without_its_module_it_is_refused(tiny, tmp_path):
    """And nothing is imported because a folder names it."""
    folder, _ = exported(tmp_path / "m", tiny[0]())
    soundfile.write(tmp_path / "a.wav", WAVEFORMS[0], 16000)
    done = run_xser(tiny[1], "predict", folder, tmp_path / "a.wav")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "the encoder is the class mylab_tiny.Tiny" in line
    assert "--import=mylab_tiny" in line
    assert "Traceback" not in done.stderr


def test_every_command_imports_what_it_is_asked_to(tiny, tmp_path):
    folder, model = exported(tmp_path / "m", tiny[0]())
    soundfile.write(tmp_path / "a.wav", WAVEFORMS[0], 16000, "FLOAT")
    option = "--import=mylab_tiny"
    done = run_xser(
        tiny[1], "predict", folder, tmp_path / "a.wav", "--format=csv", option
    )
    assert done.returncode == 0, done.stderr
    [row] = csv.DictReader(done.stdout.splitlines())
    [expected] = probabilities(model, WAVEFORMS[:1])
    found = [float(row[f"p_{label}"]) for label in json_of(folder)["labels"]]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    done = run_xser(tiny[1], "export", folder, option, "--whole", tmp_path / "w")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(scores(tmp_path / "w"), scores(folder))
    done = run_xser(
        tiny[1], "publish", folder, option, "--repo=me/x", "--dry-run",
        f"--output={tmp_path / 'p'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(scores(tmp_path / "p"), scores(folder))


def test_the_documented_encoder(tmp_path, monkeypatch):
    """The class of docs/inference.md, to the letter."""
    text = (ROOT / "docs/inference.md").read_text()
    (tmp_path / "mylab.py").write_text(
        re.search(r"```python\n(# mylab.py\n.+?)```", text, re.DOTALL)[1]
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "mylab", None)  # forgotten when the test ends
    del sys.modules["mylab"]
    import mylab

    folder, model = exported(tmp_path / "m", mylab.Bands(width=8))
    expected = probabilities(model, WAVEFORMS)
    np.testing.assert_allclose(scores(folder), expected, atol=1e-5)
    # Neither padding nor the batch has an effect.
    encoder, short = model.encoder, torch.from_numpy(WAVEFORMS[1])
    padded = torch.nn.functional.pad(short, (0, 9000))
    pair = torch.stack([padded, torch.rand(len(padded))])
    lengths = torch.tensor([len(short), len(padded)])
    alone = encoder(short[None], lengths[:1])
    torch.testing.assert_close(encoder(pair, lengths)[:1], alone, rtol=1e-4, atol=1e-6)


def json_of(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no module nowhere_at_all"),
        ("import nowhere_at_all_either", "No module named 'nowhere_at_all_either'"),
        ("1 / 0", "division by zero"),
        ("class", "invalid syntax"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(text, reason, tmp_path):
    if text is not None:
        (tmp_path / "nowhere_at_all.py").write_text(text)
    done = run_xser(tmp_path, "predict", "m", "a.wav", "--import=nowhere_at_all")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: --import=nowhere_at_all")
    assert reason in line


class Wrapping(Encoder):
    """Its arguments are no JSON values."""

    width, frame_rate = 4, 100.0

    def __init__(self, *networks: nn.Module, network: nn.Module | None = None):
        super().__init__()
        self.networks = nn.ModuleList([*networks, network])


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        (Wrapping(network=nn.Linear(2, 2)), "the argument network is a Linear"),
        (Wrapping(nn.Linear(2, 2)), "the argument *networks is a tuple"),
    ],
)
def test_an_encoder_that_cannot_be_described_costs_no_run(
    encoder, reason, tmp_path, caplog
):
    model = build(encoder)
    export(tmp_path / "model", model, False, some_record())
    assert not (tmp_path / "model").exists()
    [message] = caplog.messages
    assert reason in message
    assert "\n" not in message


def test_weights_of_another_shape_are_refused_before_it_is_built(tiny, tmp_path):
    from test_damaged_models import sign

    folder, _ = exported(tmp_path / "m", tiny[0]())
    config = json_of(folder)
    config["encoder"]["options"]["width"] = 2**40  # a petabyte of weights
    sign(folder, config)
    with pytest.raises(UserError, match=r"does not fit config.json: \d+ weights"):
        Classifier.from_pretrained(folder)


@pytest.mark.slow
def test_it_is_written_as_onnx(tiny, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is missing")
    pytest.importorskip("onnxscript", reason="the extra onnx is missing")
    from xser_brain.inference.to_onnx import export_onnx

    folder, model = exported(tmp_path / "m", tiny[0]())
    export_onnx(folder, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for samples in WAVEFORMS:
        batch = np.stack([samples, samples[::-1]])
        [found] = session.run(None, {"samples": batch})
        np.testing.assert_allclose(found, probabilities(model, [*batch]), atol=1e-4)


@pytest.mark.slow
def test_what_onnx_cannot_hold_is_named(tmp_path):
    pytest.importorskip("onnxscript", reason="the extra onnx is missing")
    from xser_brain.inference.to_onnx import export_onnx

    class Counting(Encoder):
        width, frame_rate = 2, 1.0

        def frames(self, waveforms, lengths):
            peaks = waveforms[waveforms > waveforms.mean()]
            if len(peaks) > waveforms.max():
                peaks = peaks.sort().values
            frames = peaks[None, None, :2, None].expand(len(waveforms), 1, 2, 2)
            return frames, lengths * 0 + 2

    folder, _ = exported(tmp_path / "m", Counting())
    with pytest.raises(
        UserError, match=r"torch.onnx cannot write the encoder"
    ) as error:
        export_onnx(folder, tmp_path / "m.onnx")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "m.onnx").exists()
