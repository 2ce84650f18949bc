"""The page: in a real browser, on a server of its own, which leaves nothing behind."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from models import exported, noise
from serving import Server, serving

from data_prep.errors import UserError
from xser_brain.cli import main
from xser_brain.inference import Classifier, Result
from xser_brain.reports import palette
from xser_brain.serve import uploads
from xser_brain.serve.limits import Limits
from xser_brain.serve.quota import Quota
from xser_brain.serve.uploads import Uploads

pytest.importorskip("gradio", reason="Gradio is not installed (the extra `serve`)")
from xser_brain.serve import page, segments, texts, timeline

MOST = 3  # megabytes
LONGEST = 60  # seconds


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("model"))[0]


@pytest.fixture(scope="module")
def classifier(model) -> Classifier:
    return Classifier.from_pretrained(model)


# --- What is said


def test_a_model_of_stand_ins_says_so(classifier):
    assert "of real speech means nothing" in page.notice(classifier.config)
    assert "On synthetic German" in page.trust(classifier.config, 0.5)
    real = json.loads(json.dumps(classifier.config))
    real["training"]["standin"] = False
    assert "means nothing" not in page.notice(real)
    assert "On German" in page.trust(real, 0.5)


def test_notice_tells_what_the_model_knows(classifier):
    text = page.notice(classifier.config)
    assert (
        "English and Chinese (ESD Mandarin, RAVDESS; 48 utterances of 6 speakers)"
        in text
    )
    assert "neutral, happy, angry and sad" in text


def test_trust_has_figures_with_intervals(classifier):
    measured = classifier.config["result"]["test"]
    low, high = measured["ci95"]["uar"]
    text = page.trust(classifier.config, 0.4)
    assert f"{measured['uar']:.0f} %" in text
    assert f"95 % interval over utterances {low:.0f} to {high:.0f} %" in text
    assert "zero-shot, n = 8" in text
    assert "Below 40 % it says *unsure*" in text


def test_long_recordings_are_described():
    window = Result("a.wav", 0.0, 6.0, "sad", "sad", {"sad": 0.9, "angry": 0.1})
    whole = Result(
        "a.wav", 0.0, 95.0, "sad", "sad", window.probabilities, (window,) * 30
    )
    assert page.describe(whole, 0.5) == (
        "## sad\nProbability 90 %. 95 s of audio. The mean over 30 windows: see below."
    )


def recording(*emotions: str, length: float = 6.0, hop: float = 3.0) -> Result:
    """A recording of windows with these answers, and their mean."""
    windows = []
    for index, emotion in enumerate(emotions):
        sad = {"sad": 0.9, "angry": 0.1, "unsure": 0.55}[emotion]
        start, end = index * hop, index * hop + length
        of = {"sad": sad, "angry": 1 - sad}
        windows.append(Result("a", start, end, emotion, max(of, key=of.get), of))
    mean = np.mean([w.probabilities["sad"] for w in windows])
    of = {"sad": float(mean), "angry": float(1 - mean)}
    best = max(of, key=of.get)
    return Result("a.wav", 0.0, windows[-1].end, best, best, of, tuple(windows))


def test_segments_cover_the_recording_and_say_what_its_windows_say():
    result = recording("sad", "sad", "unsure", "angry", "angry", "angry")
    found = segments.segments(result)
    assert [(s.start, s.end, s.emotion) for s in found] == [
        (0.0, 7.5, "sad"), (7.5, 10.5, "unsure"), (10.5, 21.0, "angry")
    ]  # fmt: skip
    assert [round(s.probability, 2) for s in found] == [0.9, 0.55, 0.9]
    assert sum(segments.shares(found).values()) == pytest.approx(1)
    assert segments.segments(recording("sad"))[0].end == 6.0


def test_a_mixed_recording_is_answered_by_its_segments(classifier, kept):
    mixed = recording(*["sad"] * 5, *["angry"] * 5)
    text = page.describe(mixed, 0.5)
    assert text == (
        "## sad → angry\nIt changes: sad 50 %, angry 50 % of the time. See below. "
        "33 s of audio."
    )
    shown = page.Page(classifier, Limits(), kept, {})
    _, bars, line = shown._shown(mixed, "en")
    assert "Share of the time" in bars and read_bars(bars) == {"sad": 50, "angry": 50}
    assert line.count("<li ") == 2
    # One window among others is no change.
    alike = recording(*["sad"] * 5, "angry", *["sad"] * 5)
    assert page.describe(alike, 0.5).startswith("## sad\nProbability")
    _, bars, line = shown._shown(alike, "en")
    assert "Probabilities" in bars and line.count("<li ") == 3


def test_bars_and_time_line_have_the_colours_of_the_figures(classifier, kept):
    shown = page.Page(classifier, Limits(), kept, {})
    _, bars, line = shown._shown(recording(*["sad"] * 4, *["angry"] * 4), "en")
    for emotion in ("sad", "angry"):
        colour = palette.EMOTIONS[emotion][0]
        assert f"background: {colour}" in bars
        assert line.count(f"background: {colour}") == 2  # key, segment
        svg = base64.b64decode(re.search(r"base64,([^']+)'", line)[1]).decode()
        assert colour.lower() in svg.lower()


def test_labels_of_a_model_are_no_html():
    bars = timeline.draw_bars({"<b>": 1.0}, ["<b>"], "t", "en")
    assert "<b>" not in bars and "&lt;b&gt;" in bars


@pytest.mark.parametrize("language", [*texts.TEXTS])
def test_every_language_says_everything(language, classifier, kept):
    own, english = texts.TEXTS[language], texts.TEXTS["en"]
    assert {*own} == {*english}
    for name, text in english.items():
        fields = re.findall(r"{(\w+)", text)
        assert sorted(re.findall(r"{(\w+)", own[name])) == sorted(fields), name
    if language != "en":
        assert len(texts.LANGUAGES[language].split()) == len(texts.CODES)
        assert len(texts.EMOTIONS[language].split()) == len(texts.NAMED)
        for name in ("notice", "trust", "blank"):
            assert own[name] != english[name]
    mixed = recording(*["sad"] * 4, *["angry"] * 4)
    shown = page.Page(classifier, Limits(), kept, {"German, sad": "a.wav"})
    said = "".join([*shown._said(language).values(), *shown._shown(mixed, language)])
    assert not re.search(r"{\w", said)
    assert page.notice(classifier.config, language) in said
    lost = shown.accept(str(kept.folder / "none.wav"), language)[0]
    assert lost.startswith(f"## {own['none']}\nnone.wav: ")


def test_the_language_is_that_of_the_address_or_of_the_browser(classifier, kept):
    chosen = texts.chosen
    assert chosen({}, {}) == chosen({"lang": "xx"}, {"accept-language": "fr"}) == "en"
    assert chosen({}, {"accept-language": "zh-TW,zh;q=0.9,en;q=0.8"}) == "zh"
    assert chosen({}, {"accept-language": "fr;q=x, , ja-JP;q=0.3"}) == "ja"
    assert chosen({"lang": "DE"}, {"accept-language": "ja"}) == "de"
    shown = page.Page(classifier, Limits(), kept, {})
    request = SimpleNamespace(query_params={"lang": "ja"}, headers={})
    *said, language = shown.greet(request)
    assert language == "ja" and texts.TEXTS["ja"]["title"] in said[0]


def test_it_is_told_how_much_is_heard(kept, classifier):
    shown, told = page.Page(classifier, Limits(), kept, {}), []
    soundfile.write(sent := send(kept), noise(45.0), 16000)
    *_, seconds, claimed = shown.accept(str(sent))
    assert seconds == pytest.approx(45.0)
    classifier.batch_samples, before = 10 * 16000, classifier.batch_samples
    try:
        shown.answer(
            claimed, seconds, "de", lambda share, desc: told.append((share, desc))
        )
    finally:
        classifier.batch_samples = before
    shares = [share for share, _ in told]
    assert len(shares) > 5 and shares == sorted(shares)
    assert shares[0] == 0 and 0.9 < shares[-1] <= 1
    assert {desc for _, desc in told} == {"Hört zu …"}


@pytest.mark.parametrize("wrong", ["megabytes", "seconds", "at_once", "waiting"])
def test_limits_allow_something(wrong):
    with pytest.raises(UserError, match=f"--{wrong} is 0"):
        Limits(**{wrong: 0})


def test_gradio_is_asked_for(model, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "xser_brain.serve.page", None)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve", str(model)]) == 2
    assert "pip install 'xser-brain[serve]'" in capsys.readouterr().err


# --- Recordings and where they lie


def read_bars(text: str) -> dict[str, int]:
    """Percent by label, of bars as HTML."""
    found = re.findall(r"<th[^>]*>(.*?)</th><td>(\d+)%</td>", text)
    return {name: int(share) for name, share in found}


@pytest.fixture
def kept(tmp_path) -> Iterator[Uploads]:
    with Uploads(tmp_path) as made:
        yield made


def send(kept: Uploads, name: str = "a.wav", data: bytes = b"sound") -> Path:
    path = kept.folder / "hash" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def test_two_visitors_with_the_same_recording(kept):
    sent = send(kept)
    first, second = kept.claim(sent), kept.claim(sent)
    kept.release(first)
    assert second.read_bytes() == b"sound"
    assert not first.exists()
    kept.release(second)
    assert not second.parent.exists()


def test_what_nobody_takes_goes(kept, monkeypatch):
    example = send(kept, "example.wav")
    kept.keep()
    sent = send(kept)
    kept.sweep()
    assert sent.exists()
    claimed = kept.claim(sent)
    monkeypatch.setattr(uploads, "SENT", 0.0)
    kept.sweep()
    assert not sent.exists()
    assert example.exists()
    assert claimed.exists()
    monkeypatch.setattr(uploads, "CLAIMED", 0.0)
    kept.sweep()
    kept.sweep()  # the folder, which was not empty before
    assert not claimed.parent.exists()


def test_a_recording_that_is_gone(kept, classifier):
    shown = page.Page(classifier, Limits(), kept, {})
    soundfile.write(sent := send(kept), noise(1.0), 16000)
    expected = classifier(sent)
    claimed = shown.accept(str(sent))[-1]
    sent.unlink()
    _, bars, timeline = shown.answer(claimed)
    assert read_bars(bars) == percent(expected)
    assert timeline == ""
    text, *_, claimed = shown.accept(str(sent))
    assert text == "## No answer\na.wav: cannot be read: No such file or directory."
    assert claimed is None


def test_names_are_no_html(kept, classifier):
    sent = send(kept, "<img src=x onerror=alert(1)>.wav")
    text = page.Page(classifier, Limits(), kept, {}).accept(str(sent))[0]
    assert "&lt;img" in text
    assert "<img" not in text


def test_recordings_of_phones(kept, classifier, video):
    shown = page.Page(classifier, Limits(seconds=5), kept, {})
    for name in ("a.m4a", "a.webm", "a.mp4", "a.amr"):
        options = {"rate": 8000, "layout": "mono"} if name == "a.amr" else {}
        sent = video(kept.folder / name, seconds=2.0, **options)
        text, *_, claimed = shown.accept(str(sent))
        assert text == "Listening …", name
        text, bars, _ = shown.answer(claimed)
        assert text.startswith("## "), name
        assert set(read_bars(bars)) == set(classifier.labels)
        long = video(kept.folder / f"long{sent.suffix}", seconds=9.0, **options)
        text, *_, claimed = shown.accept(str(long))
        if claimed:  # as its header does not say how long it is
            text, *_ = shown.answer(claimed)
        assert re.search("over 5 s long|9.* s long, and at most 5 s", text), (
            name,
            text,
        )


def test_many_channels_of_videos_are_refused(kept, classifier, video):
    shown = page.Page(classifier, Limits(), kept, {})
    sent = video(kept.folder / "a.mp4", layout="5.1")
    assert "6 channels of 48000 Hz" in shown.accept(str(sent))[0]


def test_ffmpeg_is_asked_for_a_share_of_the_quota(kept, classifier, video):
    """Each time costs a process, also where it is not audio."""
    quota = Quota(2, 99, 99, 99)
    shown = page.Page(classifier, Limits(), kept, {}, quota)
    sent = kept.folder / "a.m4a"
    sent.write_text("This is a text.\n" * 99)
    texts = [shown.accept(str(sent))[0] for _ in range(3)]
    assert ["not an audio file" in text for text in texts] == [True, True, False]
    assert "at most 2 in 10 minutes" in texts[2]


def test_a_video_that_is_opened_for_ever_is_given_up(
    kept, classifier, video, monkeypatch
):
    shown = page.Page(classifier, Limits(), kept, {})
    sent = video(kept.folder / "a.mp4")
    monkeypatch.setattr(page, "OPENING", 0.0)
    assert "takes over 0 s" in shown.accept(str(sent))[0]
    shown._opening.acquire()
    assert "too many at once" in shown.accept(str(sent))[0]


def test_an_error_of_the_server_is_told_and_logged(
    kept, classifier, monkeypatch, caplog
):
    shown = page.Page(classifier, Limits(), kept, {})
    soundfile.write(sent := send(kept), noise(1.0), 16000)
    claimed = shown.accept(str(sent))[-1]
    monkeypatch.setattr(Classifier, "classify", lambda *a, **k: 1 / 0)
    assert "an error of the server's" in shown.answer(claimed)[0]
    assert "ZeroDivisionError" in caplog.text
    assert not Path(claimed).exists()


# --- The server


@pytest.fixture(scope="module")
def server(model, tmp_path_factory) -> Iterator[Server]:
    options = (f"--megabytes={MOST}", f"--seconds={LONGEST}")
    with serving(model, tmp_path_factory.mktemp("serve"), *options) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left(model, tmp_path, number):
    with serving(model, tmp_path) as running:
        assert os.listdir(running.scratch)
        assert running.stop(number) == 0
        assert os.listdir(running.scratch) == os.listdir(running.folder) == []


@pytest.mark.slow
def test_what_a_killed_server_left_goes_with_the_next(model, tmp_path):
    with serving(model, tmp_path) as killed:
        killed.stop(signal.SIGKILL)
    (left,) = os.listdir(killed.scratch)
    with serving(model, tmp_path) as running, serving(model, tmp_path) as other:
        found = os.listdir(running.scratch)
        assert len(found) == 2  # one each: the second has left the first's alone
        assert left not in found
        assert running.stop(signal.SIGINT) == other.stop(signal.SIGINT) == 0
    assert os.listdir(running.scratch) == []


@pytest.mark.slow
def test_an_address_that_cannot_be_had(server, model, capsys):
    port = server.url.rstrip("/").rpartition(":")[2]
    for options in ((f"--port={port}",), ("--host=192.0.2.1",)):
        done = subprocess.run(
            [sys.executable, "-m", "xser_brain", "serve", str(model), *options],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert re.match(
            r"error: cannot listen on \S+, port", done.stderr.splitlines()[-1]
        )
        assert "Traceback" not in done.stderr


def post(url: str, body: bytes | Iterator[bytes], kind: str, length: int | None = None):
    headers = {"Content-Type": kind}
    if length:
        headers["Content-Length"] = str(length)
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.slow
def test_no_file_of_the_machine_is_heard(server, tmp_path):
    """Who writes requests by hand can name any file."""
    soundfile.write(tmp_path / "private.wav", noise(1.0), 16000)
    with urllib.request.urlopen(f"{server.url}config") as answer:
        functions = json.load(answer)["dependencies"]
    file = {"path": str(tmp_path / "private.wav"), "meta": {"_type": "gradio.FileData"}}
    for function in functions:
        if not function["inputs"]:  # says what does not depend on a recording
            continue
        data = [file] * len(function["inputs"])
        body = json.dumps({"data": data, "fn_index": function["id"]}).encode()
        status, text = post(
            f"{server.url}gradio_api/run/predict", body, "application/json"
        )
        assert status >= 400, text
        assert b"happy" not in text
    for name in ("/etc/passwd", str(tmp_path / "private.wav")):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{server.url}gradio_api/file={name}")


@pytest.mark.slow
def test_too_much_is_refused_whoever_sends_it(server):
    """Without a browser, which would not even send it."""
    head = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
    )

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(500):
            yield bytes(10**6)
        yield b"\r\n--x--\r\n"

    try:
        status, _ = post(
            f"{server.url}gradio_api/upload", body(), "multipart/form-data; boundary=x"
        )
        assert status == 413
    except urllib.error.URLError as error:  # it did not wait for the end
        assert isinstance(error.reason, BrokenPipeError | ConnectionResetError)
    assert not any(os.path.getsize(path) > MOST * 2**20 for path in server.files())


# --- In a browser


@pytest.fixture
def visit(chromium, server):
    """Open the page; nothing is asked of any other host."""
    contexts, elsewhere = [], []

    def visitor(query="", blank=page.BLANK, **options):
        contexts.append(chromium.new_context(**options))
        tab = contexts[-1].new_page()
        own = (server.url, "blob:", "data:")
        tab.on(
            "request",
            lambda request: (
                request.url.startswith(own) or elsewhere.append(request.url)
            ),
        )
        tab.goto(server.url + query)
        tab.get_by_text(blank).wait_for()
        return tab

    yield visitor
    for context in contexts:
        context.close()
    assert not elsewhere


def answer(tab) -> str:
    """The heading, once there is one, and bars unless there is no answer."""
    tab.locator("#answer h2").wait_for(timeout=60_000)
    heading = tab.locator("#answer h2").inner_text()
    if heading != texts.TEXTS["en"]["none"]:
        tab.locator("#bars table").wait_for()
    return heading


def bars(tab) -> dict[str, int]:
    """Percent by emotion."""
    words = tab.locator("#bars").inner_text().split()
    pairs = zip(words, words[1:], strict=False)
    return {name: int(share[:-1]) for name, share in pairs if share.endswith("%")}


def percent(result: Result) -> dict[str, int]:
    return {name: round(100 * p) for name, p in result.probabilities.items()}


def choose(tab, path: Path) -> None:
    tab.set_input_files("#recording input[type=file]", str(path))


def same(shown: dict[str, int], expected: dict[str, int]) -> bool:
    # Half a percent may be rounded to either side.
    return shown.keys() == expected.keys() and all(
        abs(shown[name] - expected[name]) <= 1 for name in expected
    )


@pytest.mark.slow
def test_upload(visit, classifier, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(2.5, 1, 44100), 44100)
    tab = visit()
    choose(tab, tmp_path / "a.wav")
    expected = classifier(tmp_path / "a.wav")
    assert answer(tab) == expected.emotion
    assert same(bars(tab), percent(expected))
    assert "2.5 s of audio" in tab.locator("#answer").inner_text()
    assert tab.locator("#timeline img").count() == 0
    tab.get_by_label("Clear").click()
    tab.get_by_text(page.BLANK).wait_for()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["de", "ja", "zh"])
def test_the_page_speaks_the_visitors_language(visit, tmp_path, language):
    soundfile.write(tmp_path / "a.wav", noise(2.5, 1), 16000)
    own = texts.TEXTS[language]
    for query, options in ((f"?lang={language}", {}), ("", {"locale": language})):
        tab = visit(query, own["blank"], **options)
        tab.get_by_role("heading", name=own["title"]).wait_for()
        choose(tab, tmp_path / "a.wav")
        answer(tab)
        assert own["bars"] in tab.locator("#bars").inner_text()


@pytest.mark.slow
def test_on_a_phone_the_answer_is_before_the_examples(visit, tmp_path):
    tab = visit(viewport={"width": 390, "height": 844})
    tab.get_by_text("German, angry").wait_for()
    place = "(element) => element.getBoundingClientRect().top"
    answered = tab.locator("#answer").evaluate(place)
    assert answered < tab.get_by_text("German, angry").evaluate(place)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.m4a", "a.opus", "a.webm", "a.mp4"])
def test_upload_of_what_phones_and_browsers_record(
    name, visit, classifier, video, tmp_path
):
    video(tmp_path / name, samples=noise(2.5, 1, 48000))
    tab = visit()
    if name in ("a.m4a", "a.opus"):
        choose(tab, tmp_path / name)
    else:  # to a browser these are videos
        with tab.expect_file_chooser() as chooser:
            tab.locator("#other").click()
        chooser.value.set_files(tmp_path / name)
    expected = classifier(tmp_path / name)
    assert answer(tab) == expected.emotion
    assert same(bars(tab), percent(expected))


@pytest.mark.slow
def test_time_line_of_a_long_recording(visit, classifier, tmp_path):
    samples = np.concatenate([noise(10, seed) for seed in range(5)])
    soundfile.write(tmp_path / "long.flac", samples, 16000)
    tab = visit()
    choose(tab, tmp_path / "long.flac")
    expected = classifier(tmp_path / "long.flac")
    told = page.describe(expected, classifier.threshold)
    assert answer(tab) == told.splitlines()[0].removeprefix("## ")
    picture = tab.locator("#timeline img")
    picture.wait_for()
    assert picture.evaluate("(image) => image.naturalWidth") > 300
    said = picture.get_attribute("alt").split(", ")
    assert said == [
        f"{w.start:.0f}–{w.end:.0f} s {w.emotion}" for w in expected.timeline
    ]
    parts = segments.segments(expected)
    assert tab.locator("#timeline li").count() == len(parts)
    # A click plays from there, and the line moves with the sound.
    head = tab.locator("#timeline .playhead")
    assert head.is_hidden()
    tab.locator("#timeline .track").click(position={"x": 300, "y": 20})
    head.wait_for(state="visible")
    places = []
    for _ in range(3):
        places.append(head.evaluate("(line) => line.getBoundingClientRect().left"))
        time.sleep(0.7)
    left = tab.locator("#timeline .track").evaluate(
        "(t) => t.getBoundingClientRect().left"
    )
    assert places[0] < places[1] < places[2]
    assert abs(places[0] - left - 300) < 60
    assert tab.locator("#timeline li.now").count() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, write, reason",
    [
        (
            "text.wav",
            lambda path: path.write_text("This is a text.\n" * 99),
            "not an audio file that can be read",
        ),
        (
            "silent.wav",
            lambda path: soundfile.write(path, np.zeros(16000), 16000),
            "silent",
        ),
        (
            "long.flac",
            lambda path: soundfile.write(path, np.zeros(16000 * 90), 16000),
            "90 s long, and at most 60 s are taken",
        ),
    ],
)
def test_what_cannot_be_heard_is_told(visit, tmp_path, name, write, reason):
    write(tmp_path / name)
    tab = visit()
    choose(tab, tmp_path / name)
    assert answer(tab) == "No answer"
    assert f"{name}: {reason}." in tab.locator("#answer").inner_text()
    assert bars(tab) == {}


@pytest.mark.slow
def test_500_megabytes_are_refused(visit, server, tmp_path):
    with (tmp_path / "big.wav").open("wb") as stream:
        stream.truncate(500 * 10**6)
    tab = visit()
    choose(tab, tmp_path / "big.wav")
    tab.get_by_text(f"maximum allowed size of {MOST}.0 Mb").wait_for(timeout=60_000)
    assert not any(os.path.getsize(path) > MOST * 2**20 for path in server.files())


@pytest.mark.slow
def test_ten_visitors_at_once(visit, classifier, tmp_path):
    """Each gets the answer to its own recording; two of them send the same one."""
    paths = [tmp_path / f"{number}.wav" for number in range(9)]
    for number, path in enumerate(paths):
        soundfile.write(path, noise(12.0 + number, number), 16000)
    paths.append(paths[0])
    expected = [classifier(path) for path in paths]
    tabs = [visit() for _ in paths]
    for tab, path in zip(tabs, paths, strict=True):
        choose(tab, path)
    for tab, result in zip(tabs, expected, strict=True):
        assert answer(tab) == result.emotion
        assert f" {result.end:.0f} s of audio." in tab.locator("#answer").inner_text()
        assert same(bars(tab), percent(result))


@pytest.mark.slow
def test_examples_and_microphone(visit, server):
    tab = visit(permissions=["microphone"], color_scheme="dark")
    examples = tab.get_by_text(re.compile(r"^\w+, (neutral|happy|angry|sad)$"))
    examples.nth(7).wait_for()  # of the target's language and one of training
    assert examples.count() == 8
    examples.filter(has_text="German, angry").click()
    answer(tab)
    assert sum(bars(tab).values()) in range(98, 103)
    tab.get_by_label("Clear").click()
    tab.get_by_text(page.BLANK).wait_for()
    tab.get_by_label("Record audio").click()
    tab.get_by_role("button", name="Record", exact=True).click()
    time.sleep(2)
    tab.get_by_role("button", name="Stop", exact=True).first.click()
    answer(tab)
    assert sum(bars(tab).values()) in range(98, 103)


@pytest.mark.slow
def test_recordings_are_gone_within_a_minute(visit, server, tmp_path):
    soundfile.write(tmp_path / "short.wav", noise(1.0, 77), 16000)
    tab = visit()
    choose(tab, tmp_path / "short.wav")
    answer(tab)
    assert any("short.wav" in path for path in server.files())  # for the player
    deadline = time.time() + 60
    while server.files() and time.time() < deadline:
        time.sleep(1)
    assert server.files() == []
