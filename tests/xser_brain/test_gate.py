"""What strangers may do with the page: real requests, and a real browser."""

import base64
import http.client
import json
import os
import socket
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
from models import exported, noise
from serving import Server, serving
from watched import asked, environment

from data_prep.errors import UserError
from xser_brain.inference import Classifier
from xser_brain.serve import access
from xser_brain.serve.limits import Limits
from xser_brain.serve.quota import Quota, QuotaError
from xser_brain.serve.uploads import Uploads

pytest.importorskip("gradio", reason="Gradio is not installed (the extra `serve`)")
from xser_brain.serve import page
from xser_brain.serve.connections import WebServer
from xser_brain.serve.gate import Gate

UPLOAD = "/gradio_api/upload"


def multipart(*files: bytes) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an upload."""
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        + data
        + b"\r\n"
        for data in files
    ]
    kind = "multipart/form-data; boundary=x"
    return b"".join(parts) + b"--x--\r\n", {"Content-Type": kind}


def ask(url: str, method="GET", path="/", body=None, headers=None) -> tuple:
    """Status, headers and body of a request."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


# --- The gate alone, before an application that takes everything


async def open_house(scope, receive, send) -> None:
    """Read everything, answer "in"."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    kind = [(b"content-type", b"text/html" if scope["path"] == "/" else b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": kind})
    await send({"type": "http.response.body", "body": b"<script>in</script>"})


@contextmanager
def gated(folder: Path, idle: float = 30.0, names=(), passwords=None, **limits):
    """The address of a server."""
    limits = Limits(**limits)
    quota = Quota(
        limits.per_visitor,
        limits.in_all,
        limits.megabytes_per_visitor,
        limits.megabytes_in_all,
    )
    gate = Gate(open_house, limits, quota, (folder,), names, passwords)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with WebServer(gate, "127.0.0.1", port, idle):
        yield f"http://127.0.0.1:{port}"


def test_browsers_are_told_what_the_page_may_do(tmp_path):
    with gated(tmp_path) as url:
        status, headers, body = ask(url)
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "")
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert body == f'<script nonce="{nonce}">in</script>'.encode()
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1", 200),
        ("localhost:7860", 200),
        ("[::1]:7860", 200),
        ("emotions.example.org", 200),
        ("EMOTIONS.example.org.:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("", 421),
    ],
)
def test_only_the_names_of_the_server_are_answered(tmp_path, host, status):
    names = access.own_names("127.0.0.1", ["emotions.example.org"])
    with gated(tmp_path, names=names) as url:
        assert ask(url, headers={"Host": host})[0] == status


def test_no_other_page_asks(tmp_path):
    with gated(tmp_path) as url:
        body, headers = multipart(b"RIFF")
        for origin, status in (("http://evil.example", 403), ("null", 403), (url, 200)):
            answer = ask(url, "POST", UPLOAD, body, headers | {"Origin": origin})
            assert answer[0] == status


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://huggingface.co/x",
        "/gradio_api/file=http://huggingface.co/x",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/vibe-code/",
        "/gradio_api/deep_link",
        "/monitoring",
        "/docs",
        "//config",
    ],
)
def test_what_the_page_does_not_need_is_not_there(tmp_path, path):
    with gated(tmp_path) as url:
        assert ask(url, path=path)[0] in (403, 404)


def test_files_are_named_below_the_folders_only(tmp_path):
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "a.wav").write_bytes(b"RIFF")
    (sent / "link.wav").symlink_to("/etc/passwd")
    with gated(sent) as url:
        for name, status in (
            (str(sent / "a.wav"), 200),
            (str(sent / "link.wav"), 403),
            (f"{sent}/../x.wav", 403),
            ("/etc/passwd", 403),
            ("http://huggingface.co/a.wav", 403),
            ("HTTPS://huggingface.co/a.wav", 403),
            ("a\0.wav", 403),
            (7, 403),
            ([], 403),
        ):
            file = {"path": name, "meta": {"_type": "gradio.FileData"}}
            body = json.dumps({"data": [[{"deeper": file}]], "fn_index": 0})
            for path in ("/gradio_api/run/predict", "/gradio_api/queue/join"):
                assert ask(url, "POST", path, body)[0] == status, name


@pytest.mark.parametrize(
    "body, status",
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"a":' * 3000, 400),
        (b" " * 2**20, 413),
        (b'{"data": [null]}', 200),
    ],
)
def test_calls_are_read_with_care(tmp_path, body, status):
    with gated(tmp_path) as url:
        assert ask(url, "POST", "/gradio_api/queue/join", body)[0] == status


def test_recordings_of_one_visitor_and_of_all_are_counted(tmp_path):
    body, headers = multipart(b"RIFF")
    with gated(tmp_path, per_visitor=3) as url:
        found = [ask(url, "POST", UPLOAD, body, headers)[0] for _ in range(5)]
        assert found == [200, 200, 200, 429, 429]
        assert b"at most 3 in 10 minutes" in ask(url, "POST", UPLOAD, body, headers)[2]
        assert ask(url)[0] == 200
    with gated(tmp_path, in_all=2) as url:
        found = [ask(url, "POST", UPLOAD, body, headers)[0] for _ in range(3)]
        assert found == [200, 200, 429]


def test_megabytes_are_counted_as_they_come(tmp_path):
    body, headers = multipart(bytes(700_000))
    with gated(tmp_path, megabytes_per_visitor=1) as url:
        found = [ask(url, "POST", UPLOAD, body, headers)[0] for _ in range(2)]
        assert found == [200, 429]
    with gated(tmp_path, megabytes_in_all=1) as url:
        # Without a length, in pieces.
        pieces = (iter([body[:1000], body[1000:]]) for _ in range(2))
        found = [ask(url, "POST", UPLOAD, piece, headers)[0] for piece in pieces]
        assert found == [200, 429]
    with gated(tmp_path, megabytes=0.5) as url:
        assert ask(url, "POST", UPLOAD, body, headers)[0] == 413


def test_one_upload_is_one_recording(tmp_path):
    body, headers = multipart(*[b"RIFF"] * 1000)
    with gated(tmp_path) as url:
        status, _, text = ask(url, "POST", UPLOAD, body, headers)
    assert (status, text) == (413, b"send one recording at a time")


def test_a_quota_forgets(monkeypatch):
    quota = Quota(1, 2)
    quota.take("a")
    with pytest.raises(QuotaError, match="at most 1 in 10 minutes"):
        quota.take("a")
    quota.take("b")
    with pytest.raises(QuotaError, match="too many visitors"):
        quota.take("c")
    monkeypatch.setattr("xser_brain.serve.quota.PERIOD", 0.0)
    time.sleep(0.01)
    quota.take("a")


def test_what_is_refused_does_not_count():
    quota = Quota(9, 9, megabytes_per_visitor=1)
    with pytest.raises(QuotaError, match="at most 1 MB"):
        quota.take("a", 2**21)
    quota.take("a", 2**20)


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def test_passwords(tmp_path):
    with gated(tmp_path, passwords={"ann": "sé:cret"}) as url:
        status, headers, _ = ask(url)
        assert status == 401
        assert headers["WWW-Authenticate"].startswith("Basic ")
        for path in ("/config", "/assets/a.js", "/gradio_api/startup-events"):
            assert ask(url, path=path)[0] == 401
        assert ask(url, headers=basic("ann:sé:cret"))[0] == 200
        for wrong in ("ann:", "ann:x", "bob:sé:cret", ":", ""):
            assert ask(url, headers=basic(wrong))[0] == 401
        assert ask(url, headers={"Authorization": "Basic \xff!"})[0] == 401
        # Whoever guesses is stopped, and who knows it is not.
        found = {ask(url, headers=basic(f"ann:{i}"))[0] for i in range(30)}
        assert found == {401, 429}
        assert ask(url, headers=basic("ann:sé:cret"))[0] == 200


def test_passwords_of_a_file(tmp_path):
    (tmp_path / "users").write_text("ann:one\n\nbob:two:three\n")
    given = access.read_passwords(str(tmp_path / "users"))
    assert given == {"ann": "one", "bob": "two:three"}


@pytest.mark.parametrize("text", ["", "ann", "ann:", ":x"])
def test_wrong_passwords_are_one_line(tmp_path, text):
    with pytest.raises(UserError, match="--auth.*USER:PASSWORD"):
        access.read_passwords(text)
    (tmp_path / "users").write_text(f"ok:x\n{text}\n" if text else "\n")
    with pytest.raises(UserError, match="users.*USER:PASSWORD"):
        access.read_passwords(str(tmp_path / "users"))


@pytest.mark.parametrize("name", ["http://x.example", "x:80", "", "a b", "a\nb"])
def test_wrong_names_are_one_line(name):
    with pytest.raises(UserError, match="--host-name"):
        access.own_names("127.0.0.1", [name])


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST /gradio_api/upload HTTP/1.1\r\n"
    b"Host: localhost\r\nContent-Length: 99\r\nContent-Type: multipart/form-data; "
    b"boundary=x\r\n\r\n--x"])  # fmt: skip
def test_a_connection_on_which_nothing_comes_is_closed(tmp_path, sent):
    with gated(tmp_path, idle=1.0) as url:
        port = urllib.parse.urlsplit(url).port
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(sent)
            start = time.monotonic()
            while connection.recv(1000):
                pass
            assert time.monotonic() - start < 10


def test_connections_of_one_visitor_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("xser_brain.serve.connections.MOST_OF_ONE", 3)
    with gated(tmp_path) as url:
        port = urllib.parse.urlsplit(url).port
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one_more:
            assert one_more.recv(1) == b""
        for connection in held:
            connection.close()
        time.sleep(0.3)
        assert ask(url)[0] == 200


# --- The time that a recording takes


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("model"))[0]


@pytest.fixture
def shown(model, tmp_path) -> Iterator:
    """The page with some limits."""
    with Uploads(tmp_path) as uploads:
        yield lambda **limits: page.Page(
            Classifier.from_pretrained(model), Limits(**limits), uploads, {}
        )


def test_the_classifier_is_occupied_for_a_time_only(shown, tmp_path):
    soundfile.write(tmp_path / "long.flac", noise(500.0), 16000)
    short = shown(answer_seconds=0.2)
    *_, claimed = short.accept(str(tmp_path / "long.flac"))
    start = time.monotonic()
    text, *_ = short.answer(claimed)
    assert "long.flac: takes longer than 0.2 s: give a shorter one." in text
    assert time.monotonic() - start < 20
    assert not Path(claimed).exists()


def test_many_channels_of_high_rates_are_refused(shown, tmp_path):
    samples = noise(1.0)[:, None].repeat(8, 1)
    soundfile.write(tmp_path / "a.flac", samples, 48000)
    text, *_, claimed = shown().accept(str(tmp_path / "a.flac"))
    assert "8 channels of 48000 Hz, and at most 192000 samples a second" in text
    assert claimed is None


def test_what_was_sent_once_is_not_classified_without_end(shown, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1.0), 16000)
    limited = shown()
    limited.quota = Quota(2, 9)
    texts = [limited.accept(str(tmp_path / "a.wav"))[0] for _ in range(3)]
    assert texts[:2] == ["Listening …"] * 2
    assert "at most 2 in 10 minutes" in texts[2]


# --- The server as a visitor meets it


@pytest.fixture(scope="module")
def server(model, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    options = ("--auth=ann:secret", "--per_visitor=30", "--host-name=emotions.example")
    with serving(model, folder, *options, **environment(folder)) as running:
        running.home = folder
        yield running


@pytest.mark.slow
def test_no_url_is_fetched(server):
    """Of a host that Gradio's own guard against such requests lets pass."""
    known = basic("ann:secret")
    _, _, config = ask(server.url, path="/config", headers=known)
    url = "https://huggingface.co/front/assets/clip.wav"
    file = {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}
    for function in json.loads(config)["dependencies"]:
        data = [file] * len(function["inputs"])
        call = {"data": data, "fn_index": function["id"], "session_hash": "abc"}
        body = json.dumps(call)
        for path in ("run/predict", "queue/join", "call/accept", "api/predict"):
            path = f"/gradio_api/{path}"
            assert ask(server.url, "POST", path, body, known)[0] >= 400
    for path in ("file", "proxy"):
        assert (
            ask(server.url, path=f"/gradio_api/{path}={url}", headers=known)[0] >= 400
        )
    assert asked(server.home) == []


@pytest.mark.slow
def test_the_component_fetches_nothing_by_itself(server):
    for kind in (page.gradio.Audio, page.gradio.UploadButton):
        recording = page.without_urls(kind(render=False))
        with pytest.raises(ValueError, match="nothing is fetched"):
            recording.move_resource_to_block_cache("https://huggingface.co/a.wav")


@pytest.mark.slow
def test_doors_of_the_real_server(server):
    assert ask(server.url)[0] == 401
    known = basic("ann:secret")
    assert ask(server.url, headers=known)[0] == 200
    assert ask(server.url, headers=known | {"Host": "emotions.example"})[0] == 200
    assert ask(server.url, headers=known | {"Host": "evil.example"})[0] == 421
    body, headers = multipart(b"RIFF")
    found = [
        ask(server.url, "POST", UPLOAD, body, headers | known)[0] for _ in range(32)
    ]
    assert set(found) == {200, 429}


@pytest.mark.slow
def test_the_page_works_behind_its_gate(chromium, server, tmp_path):
    """With a password, under the policy, of which no browser complains."""
    soundfile.write(tmp_path / "a.flac", noise(40.0), 16000)
    said = []
    context = chromium.new_context(
        http_credentials={"username": "ann", "password": "secret"}
    )
    tab = context.new_page()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(server.url)
    tab.get_by_text(page.BLANK).wait_for()
    assert not [text for text in said if "Security Policy" in text or "Error" in text]
    context.close()


# A recording that has been classified is kept until the file GO is there.
PAUSE = """
import os, sys, time

def pause(event, args):
    if event == "shutil.rmtree" and "/claimed/" in str(args[0]):
        while not os.path.exists(os.environ["GO"]):
            time.sleep(0.05)

sys.addaudithook(pause)
"""


@pytest.mark.slow
def test_who_waits_is_told_the_place(model, chromium, tmp_path):
    """One is classified at a time; the others see how many are before them."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(PAUSE)
    path = os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")])
    soundfile.write(tmp_path / "a.flac", noise(2.0), 16000)
    go = tmp_path / "go"
    with serving(model, tmp_path, PYTHONPATH=path, GO=str(go)) as running:
        context = chromium.new_context()
        tabs = [context.new_page() for _ in range(3)]
        for tab in tabs:
            tab.goto(running.url)
            tab.get_by_text(page.BLANK).wait_for()
            tab.set_input_files("#recording input[type=file]", str(tmp_path / "a.flac"))
            tab.get_by_text("Listening …", exact=True).wait_for()
            time.sleep(1)
        tabs[1].get_by_text("queue: 1/").wait_for()
        tabs[2].get_by_text("queue: 2/2").wait_for()
        go.touch()
        for tab in tabs:
            tab.get_by_text("2 s of audio").wait_for()
        context.close()
