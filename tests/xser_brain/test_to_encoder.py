"""The encoder that a run has adapted, as one that other runs begin with."""

import json
import os
import shutil

import pytest
import torch
from models import exported, noise
from small import FAMILIES

from data_prep.errors import UserError
from xser_brain.cli import main
from xser_brain.cli.train import main as train
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.encoders.weights import check_encoder
from xser_brain.models.to_encoder import export_encoder
from xser_brain.models.to_transformers import export_transformers
from xser_brain.protocol.guard import guard_encoder

LORA = {"adaptation": "lora", "lora_rank": 2}
CORPORA = ["esd", "ravdess"]  # of ``models.record``


def vectors(encoder) -> torch.Tensor:
    """Of three utterances of several lengths: (3, layers, width)."""
    waveforms = [torch.from_numpy(noise(s, i)) for i, s in enumerate((0.4, 1.0, 2.3))]
    with torch.no_grad():
        rows = [encoder(w[None], torch.tensor([len(w)]))[0] for w in waveforms]
    return torch.stack(rows)


def assert_same_encoder(folder, model, out):
    assert main(["export", str(folder), "--format=encoder", f"--output={out}"]) == 0
    check_encoder(out)
    written = PretrainedEncoder(str(out), use_layers="last").eval()
    assert list(written.adapted_on) == CORPORA
    torch.testing.assert_close(
        vectors(written), vectors(model.encoder), atol=1e-4, rtol=1e-4
    )
    return written


@pytest.mark.parametrize("family", FAMILIES)
def test_the_encoder_as_it_was_adapted(family, small_encoder, tmp_path):
    folder, model = exported(tmp_path / "m", small_encoder(family), **LORA)
    written = assert_same_encoder(folder, model, tmp_path / "out")
    before = PretrainedEncoder(str(small_encoder(family)), use_layers="last").eval()
    assert (vectors(written) - vectors(before)).abs().max() > 0.01


def test_whisper(whisper, tmp_path):
    """Its weights lie there in half precision, and those that adapted do not."""
    folder, model = exported(tmp_path / "m", whisper, **LORA)
    assert_same_encoder(folder, model, tmp_path / "out")


def test_all_layers_trained_and_written_once_more(small_encoder, tmp_path):
    source = small_encoder("wav2vec2")
    folder, model = exported(tmp_path / "m", source, adaptation="full")
    for _ in range(2):  # what is replaced is an encoder
        assert_same_encoder(folder, model, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "as it was, for it was frozen"),
        ({"adaptation": "paper"}, "bottleneck adapters.* train with --adaptation=lora"),
        (None, "family ecapa, not a pretrained one"),
    ],
)
def test_what_is_refused(options, message, small_encoder, tmp_path):
    source = small_encoder("wav2vec2") if options is not None else None
    folder, _ = exported(tmp_path / "m", source, **options or {})
    with pytest.raises(UserError, match=message):
        export_encoder(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_stays(small_encoder, tmp_path):
    folder, _ = exported(tmp_path / "m", small_encoder("wav2vec2"), **LORA)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something else"):
        export_encoder(folder, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


# --- In runs


@pytest.fixture(scope="module")
def adapted(argv, small_encoder, tmp_path_factory):
    """The encoder that a run of ravdess, esd and urdu has adapted."""
    results = tmp_path_factory.mktemp("adapted")
    options = {
        **LORA,
        "encoder": "wav2vec2",
        "encoder_source": small_encoder("wav2vec2"),
    }
    options |= {"system": "baseline2", "steps": 4, "validate_every": 2}
    assert train(argv(results, **options)) == 0
    export_encoder(
        results / "ravdess_to_emodb/baseline2/wav2vec2-lora/1/model", results / "out"
    )
    return results / "out"


def test_robust_on_it(adapted, argv, tmp_path, record):
    options = {"encoder": "wav2vec2", "system": "robust", "encoder_source": adapted}
    assert train(argv(tmp_path, **options)) == 0
    told = record(tmp_path / "ravdess_to_emodb/robust/wav2vec2/1")
    assert told["encoder"]["adapted_on"] == ["esd", "ravdess", "urdu"]
    assert told["zero_shot"] and "choice" in told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": "emodb", "non_target": "[ravdess, esd]", "target": "urdu"},
            "not zero-shot: the encoder was adapted to the target urdu",
        ),
        ({"non_target": "[esd]"}, "adapted to urdu, which this run does not train on"),
        ({"system": "baseline1"}, "adapted to esd, which this run does not train on"),
    ],
)
def test_it_is_refused_where_it_has_heard_more(
    changes, message, adapted, argv, tmp_path, capsys
):
    options = {"encoder": "wav2vec2", "system": "baseline2", "encoder_source": adapted}
    assert train(argv(tmp_path, **{**options, **changes})) == 2
    [line] = [x for x in capsys.readouterr().err.splitlines() if "error" in x]
    assert message in line
    assert not [*tmp_path.rglob("run.json")]


def test_what_is_written_for_transformers_says_it_too(small_encoder, tmp_path):
    folder, _ = exported(
        tmp_path / "m", small_encoder("wav2vec2"), projection=0, **LORA
    )
    export_transformers(folder, tmp_path / "out")
    assert list(PretrainedEncoder(str(tmp_path / "out")).adapted_on) == CORPORA


def test_what_was_frozen_is_as_it_was(small_encoder, tmp_path):
    folder, _ = exported(tmp_path / "m", small_encoder("wav2vec2"), norm=False)
    export_transformers(folder, tmp_path / "out")
    assert PretrainedEncoder(str(tmp_path / "out")).adapted_on == ()


def test_a_spoilt_list_is_refused(adapted, tmp_path):
    for path in adapted.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "adapted_on": "urdu"}))
    with pytest.raises(UserError, match="adapted_on of its config.json is no list"):
        PretrainedEncoder(str(tmp_path))


def test_weights_cut_short_are_one_line(adapted, argv, tmp_path, capsys):
    source = tmp_path / "cut"
    shutil.copytree(adapted, source)
    os.truncate(source / "model.safetensors", 5000)
    options = {"encoder": "wav2vec2", "system": "baseline2", "encoder_source": source}
    assert train(argv(tmp_path / "results", **options)) == 2
    error = capsys.readouterr().err
    assert f"cannot load the encoder '{source}'" in error and "Traceback" not in error


def test_an_encoder_of_the_same_corpora_will_do():
    guard_encoder(["urdu"], ["ravdess", "urdu"], "emodb")
    guard_encoder([], ["ravdess"], "emodb")
