"""ONNX graphs say what the model says, for any length of an utterance."""

import json
import sys

import numpy as np
import pytest
from models import exported, noise, probabilities

from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain.inference.to_onnx import export_onnx

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is missing")
pytest.importorskip("onnxscript", reason="the extra onnx is missing")
SECONDS = (0.025, 0.31, 1.0, 2.718, 29.9)


def compare(folder, model, path, seconds=SECONDS):
    """Alone, and several of one length at once."""
    export_onnx(folder, path)
    session = onnxruntime.InferenceSession(path)
    for seed, length in enumerate(seconds):
        for batch in (1, 3):
            waveforms = [noise(length, 10 * seed + i) * 3**i for i in range(batch)]
            found = session.run(None, {"samples": np.stack(waveforms)})[0]
            expected = probabilities(model, waveforms)
            np.testing.assert_allclose(found, expected, atol=1e-4)
    return session


@pytest.mark.slow
def test_ecapa(tmp_path):
    session = compare(*exported(tmp_path / "m"), tmp_path / "new/m.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == list(EMOTIONS)
    assert (metadata["sample_rate"], metadata["threshold"]) == ("16000", "0.5")
    [entry] = session.get_inputs()
    assert (entry.name, entry.type, len(entry.shape)) == ("samples", "tensor(float)", 2)
    assert all(isinstance(size, str) for size in entry.shape)  # free


@pytest.mark.slow
@pytest.mark.parametrize("family", ["wav2vec2", "wavlm-layer-norm", "data2vec"])
@pytest.mark.parametrize("adaptation", ["frozen", "paper"])
def test_families(family, adaptation, small_encoder, tmp_path):
    made = exported(tmp_path / "m", small_encoder(family), adaptation=adaptation)
    compare(*made, tmp_path / "m.onnx")


@pytest.mark.slow
def test_a_hidden_layer(small_encoder, tmp_path):
    made = exported(tmp_path / "m", small_encoder("wav2vec2"), hidden=6)
    compare(*made, tmp_path / "m.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["wav2vec2", "wavlm"])
@pytest.mark.parametrize("adaptation", ["frozen", "lora"])
def test_attentive_pooling(family, adaptation, small_encoder, tmp_path):
    made = exported(
        tmp_path / "m",
        small_encoder(family),
        adaptation=adaptation,
        pooling="attentive",
    )
    compare(*made, tmp_path / "m.onnx")


@pytest.mark.slow
def test_the_real_whisper(whisper, tmp_path):
    compare(*exported(tmp_path / "m", whisper), tmp_path / "m.onnx", (0.025, 1.0, 31.0))


def test_what_is_lacking_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"pip install 'xser-brain\[onnx\]'"):
        export_onnx(tmp_path, tmp_path / "m.onnx")
