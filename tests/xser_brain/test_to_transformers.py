"""A folder that transformers loads by itself says what the model says."""

import json
import subprocess
import sys

import numpy as np
import pytest
from models import build, exported, noise, probabilities, record
from small import FAMILIES

from data_prep.errors import UserError
from xser_brain.cli import main
from xser_brain.inference import Classifier
from xser_brain.inference import config as schema
from xser_brain.models.export import export
from xser_brain.models.to_transformers import export_transformers

SECONDS = (0.03, 0.5, 1.7, 8.0)
LABELS = ("happy", "sad", "angry", "neutral", "fear", "disgust")
# In a process that can import none of ours, and no code of the folder either.
PIPELINE = """
import json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("xser_brain", "data_prep", "speechbrain"):
            raise ImportError(f"{name} is refused here")

sys.meta_path.insert(0, Refuse())
try:
    import xser_brain
except ImportError:
    pass
else:
    raise SystemExit("xser_brain can be imported")
import numpy as np
from transformers import pipeline

folder, waveforms = sys.argv[1:]
classifier = pipeline("audio-classification", model=folder, top_k=None, device="cpu")
found = [classifier(samples) for samples in np.load(waveforms).values()]
print(json.dumps([{item["label"]: item["score"] for item in row} for row in found]))
print(type(classifier.model).__module__, file=sys.stderr)
"""


@pytest.fixture
def through_pipeline(tmp_path):
    """Probabilities that transformers' pipeline gives to waveforms, by label."""

    def run(folder, waveforms):
        np.savez(tmp_path / "waveforms.npz", *waveforms)
        done = subprocess.run(
            [sys.executable, "-I", "-c", PIPELINE, folder, tmp_path / "waveforms.npz"],
            cwd=tmp_path, capture_output=True, text=True, timeout=170,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stderr.splitlines()[-1].startswith("transformers.models.")
        return json.loads(done.stdout)

    return run


def linear(folder, source, labels=LABELS, norm=False, **options):
    """Export a model whose head has no layer norm; the folder and the model."""
    model = build(source, labels=labels, norm=norm, **options)
    export(folder, model, False, record(labels=labels))
    return folder, model


CASES = [
    ("wav2vec2", {"adaptation": "lora", "lora_rank": 2, "projection": 0}),
    ("wav2vec2", {}),  # frozen: all layers weighted, and a projection
    ("wav2vec2", {"projection": 0}),
    ("wav2vec2", {"adaptation": "full", "use_layers": "all"}),
    *((family, {}) for family in FAMILIES if family != "wav2vec2"),
]


@pytest.mark.parametrize(
    ("family", "options"),
    [CASES[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])],
)
def test_equal_scores(family, options, small_encoder, through_pipeline, tmp_path):
    folder, model = linear(tmp_path / "m", small_encoder(family), **options)
    assert main(["export", str(folder), "--format=transformers",
                 f"--output={tmp_path / 'out'}"]) == 0  # fmt: skip
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "README.md", "config.json", "preprocessor_config.json", "model.safetensors"
    }  # fmt: skip
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert "auto_map" not in config
    waveforms = [noise(length, seed) for seed, length in enumerate(SECONDS)]
    found = through_pipeline(tmp_path / "out", waveforms)
    assert all(set(row) == set(LABELS) for row in found)
    found = [[row[label] for label in LABELS] for row in found]
    expected = probabilities(model, waveforms)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.01  # they tell utterances apart
    # And so says the model's own folder.
    ours = [Classifier.from_pretrained(folder)(w, 16000) for w in waveforms]
    shares = [[result.probabilities[label] for label in LABELS] for result in ours]
    np.testing.assert_allclose(found, shares, atol=1e-5)


@pytest.mark.slow
def test_without_normalisation(small_encoder, through_pipeline, tmp_path):
    source = small_encoder("wav2vec2", do_normalize=False)
    folder, model = linear(tmp_path / "m", source)
    export_transformers(folder, tmp_path / "out")
    waveforms = [0.1 * noise(1.0), 3 * noise(1.0)]
    found = through_pipeline(tmp_path / "out", waveforms)
    found = [[row[label] for label in LABELS] for row in found]
    np.testing.assert_allclose(found, probabilities(model, waveforms), atol=1e-5)


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("wav2vec2", {"norm": True}, r"no layer norm .*--training.head.norm=False"),
        ("wav2vec2", {"pooling": "attentive"}, r"another pooling .*--pooling=mean"),
        ("wav2vec2", {"hidden": 6}, r"no hidden layer .*--hidden=0"),
        ("wav2vec2", {"adaptation": "adapters"}, r"adapters: train with .*=lora"),
        ("wav2vec2", {"adaptation": "paper"}, r"adapters: train with .*=lora"),
        (None, {}, r"no encoder of the family ecapa: train with --encoder=wav2vec2"),
    ],
)
def test_what_it_cannot_hold(family, options, message, small_encoder, tmp_path):
    source = small_encoder(family) if family else None
    folder, _ = linear(tmp_path / "m", source, **options)
    with pytest.raises(UserError, match=message) as error:
        export_transformers(folder, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_whisper_is_refused(whisper, tmp_path):
    folder, _ = linear(tmp_path / "m", whisper)
    with pytest.raises(UserError, match="hears 30 s of padding") as error:
        export_transformers(folder, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_other_files_stay(small_encoder, tmp_path):
    folder, _ = linear(tmp_path / "m", small_encoder("wav2vec2"))
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something else"):
        export_transformers(folder, out)
    assert (out / "thesis.tex").read_text() == "years of work"
    (out / "thesis.tex").unlink()
    export_transformers(folder, out)
    export_transformers(folder, out)  # its own is replaced


def test_its_card_says_how_to_load_it(small_encoder, tmp_path):
    folder, _ = linear(tmp_path / "m", small_encoder("wav2vec2"))
    export_transformers(folder, tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text()
    assert "library_name: transformers" in text
    assert 'pipeline("audio-classification"' in text
    assert "xser_brain" not in text


def test_output_needs_a_format(capsys, small_encoder, tmp_path):
    folder, _ = exported(tmp_path / "m", small_encoder("wav2vec2"))
    given = ["export", str(folder), f"--whole={tmp_path / 'w'}", "--output=x"]
    assert main(given) == 2
    assert "--output goes with --format" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_without_layer_norm(
    argv, record, small_encoder, through_pipeline, tmp_path
):
    """Trained, exported, and as sure of its target as in its predictions.csv."""
    from xser_brain.cli.train import main as train

    changes = {"encoder": "wav2vec2", "encoder_source": small_encoder("wav2vec2")}
    given = argv(tmp_path, **changes, **{"training.head.norm": False, "steps": 6})
    assert train(given) == 0
    [run] = tmp_path.glob("*/proposed/wav2vec2/1")
    config = json.loads((run / "model/config.json").read_text())
    assert config["norm"] is False
    export_transformers(run / "model", tmp_path / "out")
    waveforms = [noise(1.0), noise(2.0, 1)]
    found = through_pipeline(tmp_path / "out", waveforms)
    ours = [Classifier.from_pretrained(run)(w, 16000) for w in waveforms]
    for row, result in zip(found, ours, strict=True):
        assert row == pytest.approx(result.probabilities, abs=1e-5)


@pytest.mark.parametrize("value", ["no", 1, None, []])
def test_a_norm_that_is_none_is_refused(value, small_encoder, tmp_path):
    folder, _ = linear(tmp_path / "m", small_encoder("wav2vec2"))
    config = schema.read(folder)
    schema.check({**config, "norm": False}, "m")
    with pytest.raises(UserError, match="norm"):
        schema.check({**config, "norm": value}, "m")
