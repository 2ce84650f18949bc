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


def classified(url: str, clip: Path) -> str:
    """Have a recording classified by the requests that the page makes; its heading."""
    from test_gate import UPLOAD, ask, multipart

    def call(path: str, function: dict, *data: object) -> dict:
        data = [*data, *[None] * (len(function["inputs"]) - len(data))]  # as a browser
        call = {"data": data, "fn_index": function["id"], "session_hash": "abc"}
        head = {"Content-Type": "application/json"}
        body = json.dumps(call)
        status, _, text = ask(url, "POST", f"/gradio_api/{path}", body, head)
        assert status == 200, text
        return json.loads(text)

    assert ask(url)[0] == 200
    functions = json.loads(ask(url, path="/config")[2])["dependencies"]
    (accept,) = [f for f in functions if [t for _, t in f["targets"]] == ["change"]]
    (answer,) = [f for f in functions if f["trigger_after"] == accept["id"]]
    (sent,) = json.loads(ask(url, "POST", UPLOAD, *multipart(clip.read_bytes()))[2])
    file = {"path": sent, "meta": {"_type": "gradio.FileData"}}
    assert "Listening" in call("run/predict", accept, file)["data"][0]
    call("queue/join", answer)
    _, _, events = ask(url, path="/gradio_api/queue/data?session_hash=abc")
    found = [json.loads(line[5:]) for line in events.splitlines() if line.strip()]
    (done,) = [event for event in found if event["msg"] == "process_completed"]
    return done["output"]["data"][0]


@pytest.mark.slow
def test_serve_asks_nobody(model, clip, tmp_path):
    pytest.importorskip("gradio", reason="Gradio is not installed (the extra `serve`)")
    with serving(model, tmp_path, **environment(tmp_path), **ONLINE) as running:
        assert "1 s of audio" in classified(running.url, clip)
        assert asked(tmp_path) == []


# --- Whatever language the code is in


@pytest.fixture
def traced(tmp_path):
    """Run a command; the Internet addresses that its processes connect to."""
    command = ["strace", "-f", "-qq", "-e", "trace=connect", "-o", tmp_path / "calls"]
    if not shutil.which("strace") or subprocess.run([*command, "true"]).returncode:
        pytest.skip("no system calls can be watched here (strace)")

    def run(*arguments: str) -> list[str]:
        environment = {**os.environ, **ONLINE}
        done = subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        calls = (tmp_path / "calls").read_text().splitlines()
        return [call for call in calls if "AF_INET" in call]

    return run


def test_the_trace_sees_what_is_called(traced):
    code = "import socket as s; a = s.socket(); a.settimeout(0.1)"
    code += "; a.connect_ex(('192.0.2.1', 9))"
    (call,) = traced(sys.executable, "-c", code)
    assert "192.0.2.1" in call


@pytest.mark.slow
def test_predict_connects_to_nobody(traced, model, clip):
    assert traced(*XSER, "predict", str(model), str(clip)) == []


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


def test_where_there_is_no_network_nobody_is_reached(alone):
    code = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
    done = subprocess.run([*alone, sys.executable, "-c", code], capture_output=True)
    assert b"Network is unreachable" in done.stderr


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


@pytest.mark.slow
def test_serving_without_a_network(alone):
    """The test of above, where this machine can call nobody but itself."""
    pytest.importorskip("gradio", reason="Gradio is not installed (the extra `serve`)")
    if not shutil.which("ip"):
        pytest.skip("no address of its own can be had there (ip)")
    start = [*alone, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    test = f"{__file__}::{test_serve_asks_nobody.__name__}"
    done = subprocess.run(
        [*start, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
