"""Labels are a value of the model: any names, in every output."""

import base64
import csv
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from models import exported, noise, probabilities
from speechbrain.inference.classifiers import EncoderClassifier
from test_damaged_models import sign

from data_prep.errors import UserError
from xser_brain.cli import main
from xser_brain.inference import Classifier
from xser_brain.inference.config import are_labels
from xser_brain.reports.palette import label_colours

SIX = ("angry", "disgust", "fear", "happy", "neutral", "sad")
OLD = Path(__file__).with_name("data") / "old_model.zip"
# What the version that exported it said of noise(1.0, 0), noise(0.4, 1), noise(2.3, 2).
OLD_SCORES = [
    [0.49253299832344055, 0.2694818377494812, 0.11042705178260803, 0.12755806744098663],
    [0.4517810344696045, 0.28501051664352417, 0.11420875787734985, 0.14899973571300507],
    [0.5104967355728149, 0.25952333211898804, 0.10834693163633347, 0.12163294851779938],
]  # fmt: skip


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """A model of six labels: its folder, and the model in it."""
    return exported(tmp_path_factory.mktemp("six") / "model", labels=SIX)


@pytest.fixture
def clip(tmp_path):
    soundfile.write(tmp_path / "clip.wav", noise(9.0, 4), 16000, "FLOAT")
    return tmp_path / "clip.wav"


def test_the_classifier_has_them(six, clip):
    classifier = Classifier.from_pretrained(six[0])
    result = classifier(clip)
    [expected] = probabilities(six[1], [noise(9.0, 4)])
    assert classifier.labels == SIX == tuple(result.probabilities)
    np.testing.assert_allclose([*result.probabilities.values()], expected, atol=1e-6)
    assert result.predicted == SIX[expected.argmax()]


@pytest.mark.parametrize("form", ["csv", "json", "text"])
def test_predict_writes_them(form, six, clip, capsys):
    assert main(["predict", str(six[0]), str(clip), f"--format={form}"]) == 0
    out = capsys.readouterr().out
    [expected] = probabilities(six[1], [noise(9.0, 4)])
    if form == "csv":
        [row] = csv.DictReader(io.StringIO(out))
        columns = [name for name in row if name.startswith("p_")]
        assert columns == [f"p_{label}" for label in SIX]
        found = [float(row[name]) for name in columns]
    elif form == "json":
        found = list(json.loads(out)["probabilities"].values())
    else:
        assert all(label in out for label in SIX)
        return
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_error_has_as_many_columns(six, tmp_path, capsys):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    assert main(["predict", str(six[0]), str(tmp_path), "--format=csv"]) == 1
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert len(header) == len(row)


def test_speechbrain_has_them(six):
    classifier = EncoderClassifier.from_hparams(source=str(six[0]))
    found = classifier.hparams.label_encoder.decode_ndim(list(range(6)))
    assert tuple(found) == SIX


def test_card_names_them(six):
    card = (six[0] / "README.md").read_text()
    assert "Tells angry, disgust, fear, happy, neutral and sad apart" in card
    assert "as one of 6 labels" in card


def test_the_page_shows_them(six, clip):
    pytest.importorskip("gradio", reason="the extra serve is missing")
    from xser_brain.serve.page import notice, trust
    from xser_brain.serve.segments import segments
    from xser_brain.serve.timeline import draw_timeline

    classifier = Classifier.from_pretrained(six[0])
    result = next(classifier.classify([clip], timeline=True))
    assert len(result.timeline) > 1
    line = draw_timeline(result, segments(result), "en")
    drawn = base64.b64decode(re.search(r"base64,([^']+)'", line)[1]).decode()
    assert all(f"</i>{label}</span>" in line for label in SIX)
    assert all(f'fill="{colour}"' in drawn for colour in label_colours(SIX))
    assert "angry, disgust, fear, happy, neutral and sad" in notice(classifier.config)
    assert "guessing: 17 %" in trust(classifier.config, 0.5)


@pytest.mark.slow
def test_onnx_has_them(six, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is missing")
    pytest.importorskip("onnxscript", reason="the extra onnx is missing")
    from xser_brain.inference.to_onnx import export_onnx

    export_onnx(six[0], tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == list(SIX)
    samples = noise(1.0)
    [found] = session.run(None, {"samples": samples[None]})
    np.testing.assert_allclose(found, probabilities(six[1], [samples]), atol=1e-4)


@pytest.mark.parametrize(
    "labels",
    [
        ["one"], [], "angry", None, ["a", "a"], ["a", ""], ["a", 1], ["a", "x" * 51],
        ["a", "b\n"], ["a", "<b>"], ["a", "_b"], ["a", "$b$"], ["a", "unsure"],
        [f"l{i}" for i in range(65)],
    ],
)  # fmt: skip
def test_what_cannot_be_labels(labels, six, tmp_path):
    assert not are_labels(labels)
    folder = tmp_path / "m"
    folder.mkdir()
    for path in six[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    sign(folder, config | {"labels": labels})
    with pytest.raises(UserError, match="labels is "):
        Classifier.from_pretrained(folder)


def test_what_can_be_labels():
    assert are_labels(["low", "high"])
    assert are_labels(["fear/anxiety", "très triste", "1"])
    assert are_labels([f"label {i}" for i in range(64)])


def test_labels_and_weights_must_fit(six, tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    for path in six[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    sign(folder, config | {"labels": list(SIX[:5])})
    with pytest.raises(UserError, match=r"does not fit config.json"):
        Classifier.from_pretrained(folder)


def test_colours_differ_and_stay():
    colours = label_colours(SIX)
    assert len(set(colours)) == 6
    four = ("neutral", "happy", "angry", "sad")
    assert label_colours(four) == [colours[SIX.index(label)] for label in four]
    assert len(label_colours([f"l{i}" for i in range(64)])) == 64


def test_a_model_exported_before_loads_with_equal_scores(tmp_path):
    """The folder was written by the version before encoders described themselves."""
    with zipfile.ZipFile(OLD) as archive:
        archive.extractall(tmp_path)
    classifier = Classifier.from_pretrained(tmp_path)
    waveforms = [noise(s, i) for i, s in enumerate((1.0, 0.4, 2.3))]
    results = classifier.classify([(w, 16000) for w in waveforms])
    found = [list(result.probabilities.values()) for result in results]
    np.testing.assert_allclose(found, OLD_SCORES, atol=1e-6)
    assert classifier.labels == ("neutral", "happy", "angry", "sad")
    classifier = EncoderClassifier.from_hparams(source=str(tmp_path))
    tags = classifier.hparams.label_encoder.decode_ndim([0, 1, 2, 3])
    assert tags == ["neutral", "happy", "angry", "sad"]
