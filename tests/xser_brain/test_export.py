"""Exported models: what is in them, that they load anywhere, and after a kill."""

import csv
import json
import shutil

import huggingface_hub
import numpy as np
import pytest
import soundfile
import torch
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError
from models import build, exported, noise, probabilities
from models import record as some_record
from safetensors.torch import load_file, save_file
from speechbrain.inference.classifiers import EncoderClassifier
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from data_prep import audio, manifest
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain.cli import main as xser
from xser_brain.cli.train import main
from xser_brain.encoders.adapters import METHODS
from xser_brain.evaluation.summary import shown_interval
from xser_brain.inference import Classifier
from xser_brain.models.export import bundle, export

FILES = {"model.safetensors", "config.json", "README.md", "hyperparams.yaml"}


@pytest.fixture(scope="module")
def whispered(tmp_path_factory):
    """A folder of a small Whisper with random weights, decoder and all."""
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(5)
    sizes = {"d_model": 32, "vocab_size": 64, "pad_token_id": 0, "eos_token_id": 1}
    for part in ("encoder", "decoder"):
        sizes |= {f"{part}_layers": 2, f"{part}_attention_heads": 4}
        sizes |= {f"{part}_ffn_dim": 64}
    WhisperModel(WhisperConfig(**sizes)).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture
def utterances():
    return [noise(seconds, seed) for seed, seconds in enumerate((1.0, 0.4, 2.3, 1.7))]


@pytest.fixture
def source(small_encoder, whispered):
    """The pretrained encoder of a family; ECAPA has none."""

    def find(family):
        if family == "ecapa":
            return None
        return whispered if family == "whisper" else small_encoder(family)

    return find


def said(folder, waveforms, **options):
    """Probabilities by the Classifier: (utterances, emotions)."""
    results = Classifier.from_pretrained(folder, **options).classify(
        [(w, 16000) for w in waveforms]
    )
    return np.array([list(result.probabilities.values()) for result in results])


# --- What a run leaves


def test_a_run_leaves_a_model(finished, record):
    folder = finished / "model"
    assert {path.name for path in folder.iterdir()} == FILES
    assert not list(finished.glob("*.unfinished"))
    config, run = json.loads((folder / "config.json").read_text()), record(finished)
    assert config["schema"] == 1
    assert config["labels"] == list(EMOTIONS)
    assert config["training"]["languages"] == ["en", "ur", "zh"]
    assert config["training"]["corpora"] == ["esd", "ravdess", "urdu"]
    assert config["result"]["test"] == run["target_test"]
    assert config["result"]["all"] == run["target_all"]
    assert config["calibration"] == run["calibration"]


def test_only_what_was_trained_is_in_it(small_encoder, tmp_path):
    folder, model = exported(
        tmp_path / "m", small_encoder("wav2vec2"), adaptation="lora", lora_rank=2
    )
    tensors = load_file(folder / "model.safetensors")
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert tensors.keys() == trained | {"statistics"}
    everything = sum(p.numel() for p in model.parameters())
    assert sum(t.numel() for t in tensors.values()) < everything / 2


def test_the_card_says_what_it_is(finished, record):
    card = (finished / "model/README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["language"] == ["en", "ur", "zh"]
    assert front["pipeline_tag"] == "audio-classification"
    result = record(finished)["target_all"]
    (low, high), unit = shown_interval(result)
    assert f"| {result['uar']:.1f} | {low:.1f}-{high:.1f} over {unit} |" in card
    assert "stand-ins" in card
    assert "RAVDESS, speech | en | CC BY-NC-SA 4.0" in card
    for title in ("Limits", "Intended use and misuse", "What it was trained on"):
        assert f"## {title}" in card


def test_a_run_killed_while_it_exports_is_finished_by_the_next(
    argv, finished, record, monkeypatch, tmp_path
):
    results = tmp_path / "results"
    place = finished.relative_to(finished.parents[3])
    shutil.copytree(finished.parents[3], results)
    run, folder = results / place, results / place / "model"
    before = load_file(folder / "model.safetensors")
    (run / "run.json").unlink()
    shutil.rmtree(folder)

    def killed(*args):
        (folder / "config.json").parent.mkdir(exist_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xser_brain.models.export.card", killed)
        assert main(argv(results)) == 130
    assert not (run / "run.json").exists()
    assert (run / "model.unfinished").exists()
    assert main(argv(results)) == 0
    assert {path.name for path in folder.iterdir()} == FILES
    assert not (run / "model.unfinished").exists()
    after = load_file(folder / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    old, new = record(finished), record(run)
    assert old["target_all"] == new["target_all"]
    assert old["calibration"] == new["calibration"]


def test_a_run_beyond_what_loads_is_not_lost(tmp_path, caplog):
    model = build()
    export(tmp_path / "model", model, False, some_record(temperature=1e9))
    assert not (tmp_path / "model").exists()
    assert "temperature is 1000000000.0" in caplog.text


# --- The same scores everywhere


@pytest.mark.parametrize("adaptation", METHODS)
@pytest.mark.parametrize("whole", [False, True], ids=["trained", "whole"])
def test_every_adaptation_gives_the_same_scores(
    adaptation, whole, small_encoder, utterances, tmp_path
):
    folder, model = exported(
        tmp_path / "m", small_encoder("wav2vec2"), whole, adaptation=adaptation
    )
    expected = probabilities(model, utterances)
    assert np.ptp(expected, axis=0).max() > 0.01  # they do differ
    np.testing.assert_allclose(said(folder, utterances), expected, atol=1e-6)


@pytest.mark.parametrize(
    "family", ["hubert-layer-norm", "wavlm", "data2vec", "whisper"]
)
def test_every_family_gives_the_same_scores(family, source, utterances, tmp_path):
    folder, model = exported(
        tmp_path / "m", source(family), whole=True, adaptation="paper"
    )
    expected = probabilities(model, utterances)
    np.testing.assert_allclose(said(folder, utterances), expected, atol=1e-6)


def test_a_whole_model_needs_nothing_else(whispered, utterances, tmp_path):
    source = shutil.copytree(whispered, tmp_path / "source")
    folder, model = exported(tmp_path / "m", source, whole=True)
    shutil.rmtree(source)
    moved = folder.rename(tmp_path / "moved")
    names = {path.name for path in (moved / "encoder").iterdir()}
    assert names == {"config.json", "preprocessor_config.json", "model.safetensors"}
    tensors = load_file(moved / "encoder/model.safetensors")
    assert not [name for name in tensors if "decoder" in name]
    expected = probabilities(model, utterances)
    np.testing.assert_allclose(said(moved, utterances), expected, atol=1e-6)


def test_bundle_adds_the_encoder_later(small_encoder, utterances, tmp_path):
    source = shutil.copytree(small_encoder("wavlm"), tmp_path / "source")
    folder, model = exported(tmp_path / "m", source, adaptation="adapters")
    bundle(folder, tmp_path / "whole")
    shutil.rmtree(source)
    expected = probabilities(model, utterances)
    np.testing.assert_allclose(
        said(tmp_path / "whole", utterances), expected, atol=1e-6
    )
    with pytest.raises(UserError, match="--encoder_source"):
        said(folder, utterances)


def test_an_encoder_that_has_moved_is_named(small_encoder, utterances, tmp_path):
    source = shutil.copytree(small_encoder("hubert"), tmp_path / "source")
    folder, model = exported(tmp_path / "m", source)
    elsewhere = source.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"no pretrained encoder in .*--encoder_source"):
        said(folder, utterances)
    found = said(folder, utterances, encoder_source=str(elsewhere))
    np.testing.assert_allclose(found, probabilities(model, utterances), atol=1e-6)


def test_another_encoder_is_refused(small_encoder, whispered, tmp_path):
    folder, _ = exported(tmp_path / "m", small_encoder("wav2vec2"))
    changed = shutil.copytree(small_encoder("wav2vec2"), tmp_path / "changed")
    tensors = load_file(changed / "model.safetensors")
    next(iter(tensors.values())).view(-1)[0] += 1e-6
    save_file(tensors, changed / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="are not those that this model"):
        Classifier.from_pretrained(folder, encoder_source=str(changed))
    for other in (small_encoder("wav2vec2", do_normalize=False), whispered):
        with pytest.raises(UserError, match="reads audio in another way"):
            Classifier.from_pretrained(folder, encoder_source=str(other))


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_an_encoder_of_the_hub_is_pinned(
    weights, small_encoder, utterances, monkeypatch, tmp_path, caplog
):
    cached = shutil.copytree(small_encoder("wav2vec2"), tmp_path / "cached")
    model = build(cached)
    model.encoder.source = "someone/encoder"
    model.encoder.core.model.config._commit_hash = "c0ffee"
    export(tmp_path / "m", model, False, some_record())
    config = json.loads((tmp_path / "m/config.json").read_text())
    assert config["encoder"]["source"] == "someone/encoder"
    assert config["encoder"]["revision"] == "c0ffee"
    if weights == "pytorch_model.bin":
        torch.save(load_file(cached / "model.safetensors"), cached / weights)
        (cached / "model.safetensors").unlink()
    asked = []

    def snapshot_download(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns[-1]))
        return str(cached)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with caplog.at_level("INFO"):
        found = said(tmp_path / "m", utterances)
    np.testing.assert_allclose(found, probabilities(model, utterances), atol=1e-6)
    files = ["*.safetensors", "pytorch_model.bin"]
    files = files if weights == "pytorch_model.bin" else files[:1]
    assert asked == [("someone/encoder", "c0ffee", file) for file in files]
    assert "pretrained encoder: someone/encoder c0ffee" in caplog.text


def test_a_model_of_the_hub(tmp_path, utterances, monkeypatch):
    folder, model = exported(tmp_path / "m")

    def snapshot_download(name, revision, allow_patterns):
        assert (name, revision) == ("someone/model", "v1")
        assert not [p for p in allow_patterns if p.endswith((".bin", ".py", ".yaml"))]
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    found = said("someone/model", utterances, revision="v1")
    np.testing.assert_allclose(found, probabilities(model, utterances), atol=1e-6)


def test_a_model_that_is_not_there(tmp_path, monkeypatch):
    def snapshot_download(*args, **kwargs):
        raise LocalEntryNotFoundError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(
        UserError, match=r"cannot get someone/model from the hub \(no n"
    ):
        Classifier.from_pretrained("someone/model")
    with pytest.raises(UserError, match="no model /nowhere/at/all: pass the folder"):
        Classifier.from_pretrained("/nowhere/at/all")
    with pytest.raises(UserError, match=r"has no config.json"):
        Classifier.from_pretrained(tmp_path)


def test_a_model_of_another_version_is_named(tmp_path):
    folder, _ = exported(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"schema": 2}))
    with pytest.raises(UserError, match="is of version 2 and this program reads"):
        Classifier.from_pretrained(folder)


def test_a_run_is_predicted_again_in_a_fresh_process(
    finished, standins, python, tmp_path
):
    """Labels equal, probabilities to 1e-5; also after the folder has moved."""
    moved = shutil.copytree(finished / "model", tmp_path / "elsewhere/model")
    rows = {
        row.ID: row
        for row in manifest.read(finished.parents[3] / "manifests/emodb.csv")
    }
    with (finished / "predictions.csv").open(newline="") as stream:
        expected = [row for row in csv.DictReader(stream) if row["subset"] == "test"]
    paths = [rows[row["ID"]].path(standins) for row in expected]
    code = "import sys; from xser_brain.cli import main; sys.exit(main())"
    options = "--format=csv", "--noprogressbar"
    for model in (finished, moved):
        done = python(code, "predict", str(model), *paths, *options, HF_HUB_OFFLINE="1")
        assert done.returncode == 0, done.stderr
        found = list(csv.DictReader(done.stdout.splitlines()))
        assert [row["path"] for row in found] == paths
        for row, wanted in zip(found, expected, strict=True):
            assert row["predicted"] == wanted["predicted"]
            for emotion in EMOTIONS:
                ours, theirs = row[f"p_{emotion}"], wanted[f"p_{emotion}"]
                assert float(ours) == pytest.approx(float(theirs), abs=1e-5)


# --- SpeechBrain's way


@pytest.mark.parametrize("family", ["ecapa", "wav2vec2", "whisper"])
def test_speechbrain_gives_the_same_scores(family, source, utterances, tmp_path):
    folder, model = exported(tmp_path / "m", source(family))
    moved = folder.rename(tmp_path / "moved")
    classifier = EncoderClassifier.from_hparams(source=str(moved))
    expected = probabilities(model, utterances)
    padded = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(w) for w in utterances], batch_first=True
    )
    lengths = torch.tensor([len(w) / padded.shape[1] for w in utterances])
    log_posteriors, score, index, labels = classifier.classify_batch(padded, lengths)
    np.testing.assert_allclose(log_posteriors.exp(), expected, atol=1e-5)
    assert index.tolist() == expected.argmax(-1).tolist()
    assert labels == [EMOTIONS[i] for i in expected.argmax(-1)]
    np.testing.assert_allclose(score.exp(), expected.max(-1), atol=1e-5)


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (8000, 1)])
def test_speechbrain_classifies_files_alike(rate, channels, tmp_path):
    folder, model = exported(tmp_path / "m")
    path = tmp_path / "clip.wav"
    samples = np.stack([noise(1.5, seed, rate) for seed in range(channels)], axis=1)
    soundfile.write(path, samples, rate)
    classifier = EncoderClassifier.from_hparams(source=str(folder))
    log_posteriors, _, index, [label] = classifier.classify_file(str(path))
    expected = probabilities(model, [audio.load(path)])
    np.testing.assert_allclose(log_posteriors.exp(), expected, atol=1e-5)
    assert label == EMOTIONS[expected.argmax()] == EMOTIONS[int(index)]
    result = Classifier.from_pretrained(folder)(path)
    assert result.predicted == label
    np.testing.assert_allclose([*result.probabilities.values()], expected[0], atol=1e-5)


def test_a_run_leaves_a_whole_model_if_told(argv, tmp_path, small_encoder, standins):
    """It loads when the encoder's own folder is gone."""
    encoder = tmp_path / "encoder"
    shutil.copytree(small_encoder("wav2vec2"), encoder)
    options = {"encoder": "wav2vec2", "encoder_source": encoder, "steps": 3}
    assert main(argv(tmp_path / "results", whole=True, **options)) == 0
    shutil.rmtree(encoder)
    run = tmp_path / "results/ravdess_to_emodb/proposed/wav2vec2/1"
    assert (run / "model/encoder/model.safetensors").is_file()
    with (run / "predictions.csv").open(newline="") as stream:
        row = next(csv.DictReader(stream))
    rows = manifest.read(tmp_path / "results/manifests/emodb.csv")
    path = next(r.path(standins) for r in rows if row["ID"] == r.ID)
    found = Classifier.from_pretrained(run)(path)
    for emotion in EMOTIONS:
        assert found.probabilities[emotion] == pytest.approx(
            float(row[f"p_{emotion}"]), abs=1e-5
        )


@pytest.mark.parametrize("held", ["notes.txt", "run.json"])
def test_a_folder_that_holds_something_else_is_left_alone(held, tmp_path, capsys):
    """As the folder of all results: what a command writes there it would replace."""
    folder, _ = exported(tmp_path / "model")
    other = tmp_path / "other"
    other.mkdir()
    (other / held).write_text("{}")
    assert xser(["export", str(folder), f"--whole={other}"]) == 2
    error = capsys.readouterr().err
    assert f"{other} holds something else than a model, as {held}" in error
    assert (other / held).read_text() == "{}"
    assert [path.name for path in other.iterdir()] == [held]
    # An older model, or nothing, is replaced.
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "new"):
        for _ in range(2):
            assert xser(["export", str(folder), f"--whole={place}"]) == 0
