"""Nothing is asked of another machine: watched sockets, and no network at all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from models import exported, noise
from serving import serving
from watched import asked, environment

MODULES = (
    "data_prep data_prep.__main__ xser_brain xser_brain.cli xser_brain.inference "
    "xser_brain.training.run xser_brain.reports.html xser_brain.grids.cluster "
    "xser_brain.models.publish speechbrain transformers"
)
XSER = [sys.executable, "-m", "xser_brain"]
# Whoever runs this may have told the hub's client to be offline; users have not.
ONLINE = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}


@pytest.fixture
def model(tmp_path, small_encoder) -> Path:
    """With a pretrained encoder, in a folder of this machine."""
    return exported(tmp_path / "model", small_encoder("wav2vec2"))[0]


@pytest.fixture
def clip(tmp_path) -> Path:
    soundfile.write(tmp_path / "a.wav", noise(1.0), 16000)
    return tmp_path / "a.wav"


@pytest.fixture
def watch(tmp_path):
    """Run a command; what it asked of other machines."""
    variables = {**os.environ, **environment(tmp_path), **ONLINE}

    def run(*command: str) -> list[str]:
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return asked(tmp_path)

    return run


def test_the_watch_sees_what_is_asked(watch):
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 9), 0.1)\n"
    code += "except OSError: pass\ntry: socket.getaddrinfo('hub.invalid', 443)\n"
    code += "except OSError: pass\n"
    found = watch(sys.executable, "-c", code)
    assert any("192.0.2.1" in line for line in found)
    assert any("hub.invalid" in line for line in found)


def test_imports_ask_nobody(watch):
    code = "; ".join(f"import {name}" for name in MODULES.split())
    assert watch(sys.executable, "-c", code) == []


def test_predict_asks_nobody(watch, model, clip):
    assert watch(*XSER, "predict", str(model), str(clip)) == []


def with_encoder(argv, results: Path, source: Path) -> list[str]:
    """A run of seconds with a pretrained encoder of this machine."""
    changes = {"encoder": "wav2vec2", "encoder_source": source, "adaptation": "frozen"}
    return [*XSER, "train", *argv(results, **changes)]


@pytest.mark.slow
def test_training_asks_nobody(watch, argv, small_encoder, tmp_path):
    source = small_encoder("wav2vec2")
    assert watch(*with_encoder(argv, tmp_path / "results", source)) == []
    (record,) = (tmp_path / "results").rglob("run.json")
    assert json.loads(record.read_text())["encoder"]["source"] == str(source)


@pytest.mark.slow
def test_serve_asks_nobody_for_its_page_and_uploads(model, clip, tmp_path):
    pytest.importorskip("gradio", reason="Gradio is not installed (the extra `serve`)")
    from test_gate import UPLOAD, ask, multipart

    with serving(model, tmp_path, **environment(tmp_path), **ONLINE) as running:
        assert ask(running.url)[0] == 200
        body, headers = multipart(clip.read_bytes())
        assert ask(running.url, "POST", UPLOAD, body, headers)[0] == 200
        assert ask(running.url, path="/config")[0] == 200
        assert asked(tmp_path) == []


# --- Without a network


@pytest.fixture
def alone():
    """The beginning of a command that runs where there is no network."""
    unshare = shutil.which("unshare")
    for options in (["-n"], ["-rn"]):
        command = [unshare or "unshare", *options]
        if unshare and not subprocess.run([*command, "true"]).returncode:
            return command
    pytest.skip("no namespace without network can be had here (unshare -n)")


def test_predict_without_a_network(alone, model, clip):
    done = subprocess.run(
        [*alone, *XSER, "predict", str(model), str(clip)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "a.wav" in done.stdout


@pytest.mark.slow
def test_training_without_a_network(alone, argv, small_encoder, tmp_path):
    command = with_encoder(argv, tmp_path / "results", small_encoder("wav2vec2"))
    done = subprocess.run([*alone, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "results").rglob("run.json"))
