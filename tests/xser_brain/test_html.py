"""The report is one page that tells what the artefacts hold, whatever they are named."""

import base64
import csv
import io
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure

from data_prep import manifest
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS, Row
from xser_brain.reports import html
from xser_brain.reports.render import Table
from xser_brain.reports.runs import find_runs, group_runs
from xser_brain.reports.tables import Report

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;</style>"
SPEAKERS = 6
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Elements of a page, with their attributes and their text."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert not self.open, "elements that are not closed"

    def handle_starttag(self, tag, attrs):
        """An element begins."""
        assert len(dict(attrs)) == len(attrs)
        element = {"tag": tag, "text": "", "inside": [*self.open], **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        """The last one to begin ends."""
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        """Text counts for all elements around it."""
        for element in self.open:
            element["text"] += data

    def all(self, *tags: str, within: dict | None = None) -> list[dict]:
        """Elements of these names, in a page or in one of its elements."""
        return [
            element
            for element in self.elements
            if element["tag"] in tags
            and (within is None or any(outer is within for outer in element["inside"]))
        ]

    def tables(self) -> dict[str, list[list[str]]]:
        """Caption to rows of texts, the header first."""
        return {
            self.text(self.all("caption", within=table)[0]): [
                [self.text(cell) for cell in self.all("th", "td", within=row)]
                for row in self.all("tr", within=table)
            ]
            for table in self.all("table")
        }

    @staticmethod
    def text(element: dict) -> str:
        """What is read, with single spaces."""
        return " ".join(element["text"].split())


def write_run(
    folder, system="proposed", seed=1, n=40, name="emodb-{}", labels=EMOTIONS, **changes
):
    """A made-up finished run; gives true and predicted emotions and probabilities."""
    rng = np.random.default_rng(seed)
    folder = folder / f"ravdess_to_emodb/{system}/whisper/{seed}"
    folder.mkdir(parents=True)
    true = np.arange(n) % len(labels)
    probabilities = rng.dirichlet(np.full(len(labels), 0.5), n).round(6)
    predicted = probabilities.argmax(1)
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        names = [f"p_{label}" for label in labels]
        writer.writerow(
            ["ID", "language", "speaker", "emotion", "predicted", *names, "subset"]
        )
        for i in range(n):
            writer.writerow(
                [name.format(f"{i:03}"), "de", f"emodb-{i % SPEAKERS}"]
                + [labels[true[i]], labels[predicted[i]], *probabilities[i]]
                + ["rest" if i >= 10 else "test"]
            )
    seen = {"corpora": ["ravdess"], "languages": ["en"]}
    record = {
        "setting": {
            "source": ["ravdess"],
            "non_target": ["esd"],
            "target": "emodb",
            "languages": {"train": ["en", "zh"], "target": "de"},
        },
        "system": system,
        "seed": seed,
        "standin": False,
        "encoder": {"name": "whisper", "source": "openai/whisper-base", "frozen": True},
        "protocol_sha256": f"plan-of-{system}",
        "hparams_sha256": "0123456789abcdef",
        "manifest_sha256": {"emodb": "fedcba9876543210"},
        "versions": {"torch": "2.14.1"},
        "options": {"precision": "fp32"},
        "device": "cpu",
        "steps": 1400 + seed,
        "seconds": 100.0 * seed,
        "peak_memory_mb": 1094.9,
        "zero_shot": system != "upper_bound",
        "target_test": {"n": 10, "labels": list(labels)},
        "target_all": {"n": n},
        "audit": {
            **dict.fromkeys(html.BEFORE_TEST, seen),
            "evaluation": {"corpora": ["emodb"], "languages": ["de"]},
        },
        **changes,
    }
    (folder / "run.json").write_text(json.dumps(record))
    return true, predicted, probabilities


def report_of(folder: Path, *tables: Table) -> Report:
    return Report(group_runs(find_runs(folder)), [], [], list(tables))


@pytest.fixture
def made(tmp_path):
    """Make a page of the runs that a test has written."""

    def make(*tables: Table, data_root=None) -> Page:
        return Page(html.page(report_of(tmp_path, *tables), data_root, draw=False))

    return make


TABLE = Table(
    "Table 2. Results",
    ["system", "ravdess_to_emodb", "average", "p", "gain"],
    [
        ["baseline1", "9.5 / 9.0", "9.5 / 9.0", "0.040", "−1.2 [−3.0, +0.6]"],
        ["paper", "88.1 / 87.0", "", "", ""],
        ["difference", "−78.6", "", "", ""],
        ["baseline2", "70.3 / 69.9", "70.3 / 69.9", "< 0.001", "+0.4"],
        ["proposed", "**78.1 / 76.0**†", "**78.1 / 76.0**", "", "−10.0"],
        ["paper", "94.6 / 94.4", "", "", ""],
    ],
    ["Only **bold** is <b>mark-up</b>."],
)


def test_every_cell_of_the_tables_is_there_and_bold_is_kept(tmp_path, made):
    write_run(tmp_path)
    other = Table("Other", ["a", "b"], [["1", "x & y"], ["2", ""]])
    page = made(TABLE, other)
    for table in (TABLE, other):
        expected = [
            [c.replace("**", "") for c in row] for row in [table.header, *table.rows]
        ]
        assert page.tables()[table.title] == expected
    bold = {page.text(e) for e in page.all("strong") if e["inside"][-1]["tag"] == "td"}
    assert {"78.1 / 76.0"} <= bold
    note = next(e for e in page.all("p") if "Only" in e["text"])
    assert page.text(note) == "Only bold is <b>mark-up</b>."


def test_columns_of_numbers_are_told_from_others():
    rows = [
        ["a", "1", "78.1 ± 3", "**< 0.001**", "−1.2 [−3, 1]", "3f", "4 utterances", ""],
        ["b", "", "**9**", "0.2", "+0.4", "3", "", ""],
    ]
    numeric = html._numeric(Table("t", ["h"] * 8, rows))
    assert numeric == [False, True, True, True, True, False, True, False]
    assert html._numeric(Table("t", ["h"], [])) == [False]


def test_nothing_is_fetched_and_no_script_but_the_pages_own_may_run(tmp_path, made):
    write_run(tmp_path)
    page = made(TABLE)
    for element in page.elements:
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
            address = element.get(name, "#")
            plain = element["tag"] == "a" and address.startswith("https://arxiv.org/")
            assert plain or address.startswith(("#", "data:")), element
    style, script = page.all("style"), page.all("script")
    assert len(style) == len(script) == 1
    assert not re.search(r"url\(|@import|https?:", style[0]["text"])
    assert not re.search(r"https?:|fetch|XMLHttp|import", script[0]["text"])
    policy = next(e["content"] for e in page.all("meta") if "http-equiv" in e)
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_foreign_text_stays_text(tmp_path, made):
    setting = {"source": [HOSTILE], "non_target": [f"{HOSTILE}2"], "target": "x**y**"}
    languages = {"train": ["en"], "target": "de"}
    write_run(
        tmp_path,
        name=HOSTILE + "{}",
        setting={**setting, "languages": languages},
        encoder={"name": HOSTILE, "source": HOSTILE},
        device=HOSTILE,
        versions={HOSTILE: HOSTILE},
        protocol_sha256=HOSTILE,
    )
    page = made(Table(HOSTILE, [HOSTILE] * 2, [[HOSTILE, f"**{HOSTILE}**"]], [HOSTILE]))
    counts = Counter(element["tag"] for element in page.elements)
    assert counts["script"] == counts["style"] == 1
    assert counts["img"] == 0
    for element in page.elements:
        assert not [name for name in element if name.startswith("on")]
    shown = " ".join(HOSTILE.split())
    assert page.tables()[shown][1] == [shown, shown]
    places = {e["tag"] for e in page.elements if shown in page.text(e)}
    assert {"h2", "td", "th", "p", "dd", "a"} <= places


def test_headings_captions_and_links_are_in_order(tmp_path, made):
    write_run(tmp_path)
    page = made(TABLE)
    levels = [int(e["tag"][1]) for e in page.all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    assert page.all("html")[0]["lang"] == "en"
    ids = [element["id"] for element in page.elements if "id" in element]
    assert len(set(ids)) == len(ids)
    links = [e["href"][1:] for e in page.all("a") if e["href"].startswith("#")]
    assert set(links) <= set(ids) and "content" in links
    for table in page.all("table"):
        assert len(page.all("caption", within=table)) == 1
        for cell in page.all("th", within=table):
            assert cell["scope"] in ("row", "col", "colgroup")


def test_confusions_and_recall_are_means_over_seeds(tmp_path, made):
    runs = [write_run(tmp_path, seed=seed, n=43) for seed in (1, 2, 3)]
    page = made()
    tables = page.tables()
    caption = next(name for name in tables if name.startswith("Proposed, UAR"))
    counts = np.zeros((3, 4, 4))
    for seed, (true, predicted, _) in enumerate(runs):
        for t, p in zip(true, predicted, strict=True):
            counts[seed, t, p] += 1
    recall = counts.diagonal(axis1=1, axis2=2) / counts.sum(2) * 100
    assert caption == (
        f"Proposed, UAR {recall.mean():.1f} %; 43 utterances of the whole target"
    )
    mean = counts.mean(0)
    for t, row in enumerate(tables[caption][2:]):
        assert row[0] == EMOTIONS[t]
        for p, cell in enumerate(row[1:]):
            share = 100 * mean[t, p] / mean[t].sum()
            count = f"{mean[t, p]:.1f}".removesuffix(".0")
            assert cell == f"{share:.0f} %{count}"
    found = tables["How many utterances of each emotion are recognised"][1]
    values = [f"{value:.1f}" for value in [*recall.mean(0), recall.mean()]]
    assert found == ["Proposed", *values, "3", "43", "the whole target"]
    framed = [e for e in page.all("td") if "right" in e.get("class", "").split()]
    assert len(framed) == len(EMOTIONS)


def test_a_system_and_labels_that_nobody_knows(tmp_path, made):
    labels = ("calm", "boredom", "pride")
    own = {
        "labels": labels, "label_set": "mild", "trains_on": "all",
        "objectives": ["emotion", "spread"],
    }  # fmt: skip
    write_run(tmp_path, "mine", **own)
    write_run(tmp_path, "bound", zero_shot=False, **own)
    page = made()
    assert any(
        "label set mild (calm, boredom, pride)" in page.text(e) for e in page.all("h2")
    )
    tables = page.tables()
    head, *rows = tables["How many utterances of each emotion are recognised"]
    assert head[1:4] == [*labels] and [row[0] for row in rows] == ["Bound", "Mine"]
    caption = next(name for name in tables if name.startswith("Mine, UAR"))
    assert [row[0] for row in tables[caption][2:]] == [*labels]
    assert {row[1] for row in tables["Runs"][1:]} == {"Bound", "Mine"}
    assert "Most confidently wrong, Mine" in tables
    text = zero_shot(page)
    assert "1 record of 1 zero-shot run confirms it" in text
    assert "Bound is trained on the target's own training part" in text
    facts = {page.text(element) for element in page.all("dd")}
    assert {"emotion, spread", "all"} <= facts


def test_a_system_that_heard_the_target_is_scored_on_its_test_part(tmp_path, made):
    write_run(tmp_path)
    write_run(tmp_path, "upper_bound", n=10, target_all=None)
    tables = made().tables()
    rows = tables["How many utterances of each emotion are recognised"][1:]
    assert [row[0] for row in rows] == ["Proposed", "Upper bound"]
    assert rows[1][-2:] == ["10", "the target's test part"]


def test_letters_on_shaded_cells_can_be_read():
    source = Path(html.__file__).with_name("templates") / "report.css"
    pattern = r"color-mix\(in srgb, #(\w{6}) var\(--share\), #(\w{6})\)"
    ends = re.search(pattern, source.read_text()).groups()
    dark, light = (np.array([*bytes.fromhex(end)]) / 255 for end in ends)
    share = np.arange(101)
    colour = light + share[:, None] / 100 * (dark - light)
    linear = np.where(
        colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    white, black = 1.05 / luminance, luminance / 0.05
    assert np.where(share > html.DARK_ABOVE, white, black).min() >= 4.5  # WCAG 2, AA


def test_surest_mistakes(tmp_path, made):
    runs = [write_run(tmp_path, seed=seed) for seed in (1, 2, 3)]
    write_run(tmp_path, "baseline1")
    page = made()
    rows = page.tables()["Most confidently wrong, Proposed"]
    assert rows[0][-1] == "seeds that agree"  # no data_root, no sound
    expected = []
    for i, true in enumerate(runs[0][0]):
        mean = sum(probabilities[i] for _, _, probabilities in runs) / 3
        guess = int(np.argmax(mean))
        if guess != true:
            agree = sum(predicted[i] == guess for _, predicted, _ in runs)
            expected.append((mean[guess], i, true, guess, agree))
    expected.sort(key=lambda item: (-item[0], item[1]))
    assert rows[1:] == [
        [f"emodb-{i:03}", f"emodb-{i % SPEAKERS}", EMOTIONS[true], EMOTIONS[guess],
         f"{100 * probability:.1f} %", f"{agree} of 3"]
        for probability, i, true, guess, agree in expected[:8]
    ]  # fmt: skip
    text = " ".join(page.all("main")[0]["text"].split())
    assert f"Proposed has {len(expected)} wrong by its mean probabilities" in text
    assert "pass --data_root=DIR" in text


def test_without_probabilities_it_says_so(tmp_path, made):
    write_run(tmp_path)
    path = next(tmp_path.rglob("predictions.csv"))
    rows = list(csv.DictReader(path.open()))
    with path.open("w", newline="") as stream:
        names = ["ID", "speaker", "emotion", "predicted", "subset"]
        writer = csv.DictWriter(stream, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    page = made()
    assert any("kept no probabilities" in note["text"] for note in page.all("p"))


def test_damaged_probabilities_are_refused(tmp_path, made):
    write_run(tmp_path)
    path = next(tmp_path.rglob("predictions.csv"))
    path.write_text(re.sub(r"0\.\d{4,}", "none", path.read_text(), count=1))
    with pytest.raises(UserError, match="predictions.csv is damaged"):
        made()


def rows_of(names, **changes) -> list[Row]:
    return [
        Row(
            **{
                "ID": name, "duration": 1.0, "wav": f"$data_root/emodb/{name}.wav",
                "sample_rate": 16000, "corpus": "emodb", "language": "de",
                "speaker": "emodb-1", "emotion": "happy", "native_emotion": "F",
                "split": "test", **changes,
            }
        )
        for name in names
    ]  # fmt: skip


@pytest.fixture
def sounding(tmp_path, tone):
    """A run, its manifest, and audio of all utterances: two notes for 14 s, at 8 kHz."""
    write_run(tmp_path)
    rows = rows_of([f"emodb-{i:03}" for i in range(40)])
    manifest.write(tmp_path / "manifests/emodb.csv", rows, {"corpus": "emodb"})
    tone(tmp_path / "corpora/emodb/short.wav", rate=48000, channels=2)
    for row in rows:
        path = Path(row.path(tmp_path / "corpora"))
        shutil.copy(tmp_path / "corpora/emodb/short.wav", path)
    return tmp_path / "corpora"


def clips(page: Page) -> list[bytes]:
    sources = [element["src"] for element in page.all("audio")]
    kind = "data:audio/flac;base64,"
    assert all(source.startswith(kind) for source in sources)
    return [base64.b64decode(source.removeprefix(kind)) for source in sources]


def test_surest_mistakes_can_be_heard(sounding, made):
    page = made(data_root=sounding)
    found = clips(page)
    assert len(found) == 8
    for clip in found:
        samples, rate = soundfile.read(io.BytesIO(clip))
        assert rate == 16000 and samples.ndim == 1
        assert len(samples) == 8000
        spectrum = np.abs(np.fft.rfft(samples))
        assert abs(spectrum.argmax() * 2 - 440) <= 2  # as the fixture has it
    table = page.tables()["Most confidently wrong, Proposed"]
    assert {row[-1] for row in table[1:]} == {""}
    assert [e["aria-label"] for e in page.all("audio")] == [r[0] for r in table[1:]]


def test_long_utterances_are_cut_and_it_says_so(sounding, made):
    for path in sounding.rglob("emodb-*.wav"):
        soundfile.write(path, np.zeros(12 * 16000) + 1e-3, 16000)
    page = made(data_root=sounding)
    assert {soundfile.info(io.BytesIO(c)).duration for c in clips(page)} == {10}
    table = page.tables()["Most confidently wrong, Proposed"]
    assert {row[-1] for row in table[1:]} == {"the first 10 s"}


def test_sound_is_left_out_when_the_page_grows_too_large(sounding, made, monkeypatch):
    size = len(base64.b64encode(clips(made(data_root=sounding))[0]))
    monkeypatch.setattr(html, "SOUND_MB", 3.5 * size / 10**6)
    page = made(data_root=sounding)
    assert len(clips(page)) == 3
    table = page.tables()["Most confidently wrong, Proposed"]
    assert [bool(row[-1]) for row in table[1:]] == [False] * 3 + [True] * 5
    assert table[-1][-1] == "left out, to keep the page small"


def test_what_cannot_be_heard_is_said(sounding, made):
    ids = [row[0] for row in made().tables()["Most confidently wrong, Proposed"][1:]]
    (sounding / f"emodb/{ids[0]}.wav").unlink()
    (sounding / f"emodb/{ids[1]}.wav").write_bytes(b"noise")
    rows = rows_of(ids[:2]) + rows_of(ids[2:3], sample_rate=0) + rows_of(ids[4:])
    path = sounding.parent / "manifests/emodb.csv"
    manifest.write(path, rows, {"corpus": "emodb"})
    page = made(data_root=sounding)
    table = page.tables()["Most confidently wrong, Proposed"]
    assert table[1][-1].startswith("cannot be read: No such file")
    assert table[2][-1].startswith("not an audio file")
    assert table[3][-1] == table[4][-1] == "not on disk"
    assert len(clips(page)) == 4
    assert any("has changed since" in note["text"] for note in page.all("p"))


@pytest.mark.parametrize("damage", ["no file", "no sidecar", "damaged"])
def test_without_a_sound_manifest_there_is_no_sound(sounding, made, damage):
    path = sounding.parent / "manifests/emodb.csv"
    if damage == "no file":
        path.unlink()
    elif damage == "no sidecar":
        path.with_suffix(".json").unlink()
    else:
        path.write_text("ID\n")
    page = made(data_root=sounding)
    assert not page.all("audio")
    assert any("There is no sound: " in note["text"] for note in page.all("p"))


def test_every_run_is_told_with_its_whole_hashes(tmp_path, made):
    for seed in (1, 2):
        write_run(tmp_path, seed=seed)
    page = made()
    head, *rows = page.tables()["Runs"]
    for seed, row in zip((1, 2), rows, strict=True):
        cells = dict(zip(head, row, strict=True))
        assert cells["setting"] == "RAVDESS to EMO-DB"
        assert cells["system"] == "Proposed" and cells["encoder"] == "whisper"
        assert cells["seed"] == str(seed) and cells["steps"] == str(1400 + seed)
        assert cells["time"] == ["1 min 40 s", "3 min 20 s"][seed - 1]
        assert cells["memory [MB]"] == "1095" and cells["device"] == "cpu"
        assert cells["plan"] == "plan-of-" and cells["hyperparameters"] == "01234567"
        full = next(
            page.text(element)
            for element in page.all("details")
            if element["text"]
            .strip()
            .startswith(f"RAVDESS to EMO-DB, Proposed, whisper, seed {seed}")
        )
        for whole in ("plan-of-proposed", "0123456789abcdef", "fedcba9876543210",
                      "openai/whisper-base", "torch 2.14.1", "precision fp32"):  # fmt: skip
            assert whole in full
    titles = {element.get("title") for element in page.all("code")}
    assert {"plan-of-proposed", "0123456789abcdef"} <= titles
    assert "2 runs of 1 system in 1 setting" in page.text(page.all("header")[0])
    assert "5 min 00 s of training" in page.text(page.all("header")[0])


def test_what_a_run_has_not_written_is_left_empty(tmp_path, made):
    names = ("steps", "seconds", "peak_memory_mb", "device", "versions", "options")
    write_run(tmp_path)
    path = next(tmp_path.rglob("run.json"))
    record = json.loads(path.read_text())
    kept = {key: value for key, value in record.items() if key not in names}
    path.write_text(json.dumps(kept))
    page = made()
    row = dict(zip(*page.tables()["Runs"], strict=True))
    assert {row[name] for name in ("steps", "time", "memory [MB]")} == {""}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7260, "2 h 01 min")],
)
def test_time_is_told_in_words(seconds, text):
    assert html._time(seconds) == text


def zero_shot(page: Page) -> str:
    section = next(e for e in page.all("section") if e["id"] == "zero-shot")
    return page.text(section)


def test_zero_shot_is_stated_from_the_runs_records(tmp_path, made):
    for seed in (1, 2):
        write_run(tmp_path, seed=seed)
    write_run(tmp_path, "upper_bound", n=10, target_all=None)
    text = zero_shot(made())
    assert "2 records of 2 zero-shot runs confirm it" in text
    assert "Upper bound is trained on the target's own training part" in text
    assert "Not zero-shot" not in text


@pytest.mark.parametrize("stage", html.BEFORE_TEST)
@pytest.mark.parametrize("what", ["corpora", "languages"])
def test_a_run_that_heard_its_target_is_named(tmp_path, made, stage, what):
    write_run(tmp_path)
    write_run(tmp_path, seed=2)
    path = sorted(tmp_path.rglob("run.json"))[1]
    record = json.loads(path.read_text())
    shared = record["audit"]["evaluation"][what]
    record["audit"][stage] = {**record["audit"][stage], what: ["other", *shared]}
    path.write_text(json.dumps(record))
    text = zero_shot(made())
    assert "1 record of 2 zero-shot runs confirms it" in text
    assert f"Not zero-shot after all: by their own records, {path.parent} saw" in text


def test_runs_without_a_record_are_counted(tmp_path, made):
    write_run(tmp_path, audit=None)
    text = zero_shot(made())
    assert "1 run kept no such record" in text and "confirm" not in text


@pytest.mark.parametrize("standin", [True, False])
def test_stand_ins_are_told_of(tmp_path, made, standin):
    write_run(tmp_path, standin=standin)
    page = made()
    banners = [e["text"] for e in page.all("p") if e.get("class") == "banner"]
    assert len(banners) == 2 * standin
    assert all("stand-ins" in banner for banner in banners)
    assert standin == any("synthetic stand-ins" in e["text"] for e in page.all("h2"))


def score(**changes) -> SimpleNamespace:
    """What a figure needs of a ``Score``."""
    return SimpleNamespace(
        **{
            "setting": "ravdess_to_emodb", "encoder": "whisper", "system": "proposed",
            "subset": "target_all", "standin": False, "n": 40,
            "uar": 70.0, "uar_low": 60.0, "uar_high": 80.0, "unit": "speakers",
            "zero_shot": True, "label_set": "", "classes": 4, "absent": "",
            "incomplete": "", **changes,
        }
    )  # fmt: skip


def fake_figures(monkeypatch) -> list[tuple]:
    """Replace what draws; gives the calls."""
    calls = []

    def draw(name):
        def call(*args):
            calls.append((name, *args))
            figure = Figure(figsize=(2, 1))
            figure.subplots().set_title(HOSTILE)
            return None if name == "layer_weights" else figure

        return call

    drawn = (
        "uar",
        "projection",
        "curves",
        "probes",
        "layer_weights",
        "compared",
        "against",
    )
    for name in drawn:
        monkeypatch.setattr(html.figures, f"draw_{name}", draw(name))
    monkeypatch.setattr(html, "probe_rows", lambda runs: [run["seed"] for run in runs])
    return calls


def test_figures_are_in_the_page_with_words_for_all(tmp_path, monkeypatch):
    for seed in (1, 2):
        write_run(tmp_path, seed=seed)
    calls = fake_figures(monkeypatch)
    report = report_of(tmp_path)
    report.scores[:] = [
        score(),
        score(subset="target_test", n=10, uar=50.0, uar_low=None, uar_high=None),
    ]
    page = Page(html.page(report))
    title, systems = report.groups[0].title, report.groups[0].systems
    bars = {
        "setting": "ravdess_to_emodb",
        "system": "proposed",
        "zero_shot": True,
        "low": 60.0,
        "high": 80.0,
        "chance": 25.0,
        "unit": "speakers",
    }
    over, calls = calls[:2], calls[2:]
    assert [name for name, _ in over] == ["compared", "against"]
    assert over[0][1] is over[1][1]
    assert [point.value for point in over[0][1].uars] == [70.0]
    assert calls == [
        ("uar", [{**bars, "uar": 70.0, "n": 40}], "whisper, the whole target"),
        (
            "uar",
            [{**bars, "uar": 50.0, "n": 10, "low": None, "high": None}],
            "whisper, the target's test part",
        ),
        ("projection", systems, title),
        ("curves", systems, title),
        ("probes", [1, 2], title),
        ("layer_weights", systems, title),
    ]
    images = page.all("img")
    assert len(images) == 7
    for image in images:
        data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        assert data.startswith(b"\x89PNG")
        assert (image["width"], image["height"]) == ("260", "130")
        assert "whisper" in image["alt"] and "<script>" in image["alt"]
    assert len(page.all("figcaption")) == 7
    notes = [page.text(e) for e in page.all("p") if e.get("class") == "note"]
    assert any(n.startswith("Layers of the encoder: these runs weigh") for n in notes)


def test_without_figures_it_says_so(tmp_path, monkeypatch, made):
    write_run(tmp_path)
    calls = fake_figures(monkeypatch)
    page = made()
    assert not calls and not page.all("img")
    notes = [page.text(e) for e in page.all("p") if e.get("class") == "note"]
    assert notes.count("Figures were left out, as was asked.") == 3


def test_two_settings_and_encoders_have_sections_of_their_own(tmp_path, made):
    write_run(tmp_path)
    write_run(tmp_path / "b", encoder={"name": "ecapa"})
    languages = {"train": ["en"], "target": "de"}
    paper = {"source": ["meld"], "non_target": ["esd", "urdu", "cafe"]}
    setting = {**paper, "target": "emodb", "languages": languages}
    write_run(tmp_path / "c", setting=setting)
    page = made()
    titles = [page.text(element) for element in page.all("h2")]
    assert "RAVDESS to EMO-DB, ecapa" in titles
    assert "RAVDESS to EMO-DB, whisper" in titles
    assert "EN-DE: MELD to EMO-DB, whisper" in titles
    told = {page.text(element) for element in page.all("p")}
    assert "MELD (+ ESD Mandarin, URDU, CaFE) to EMO-DB." in told
    assert {"setting-1", "setting-2", "setting-3"} <= {
        e.get("id") for e in page.all("section")
    }


def test_the_page_is_small(tmp_path):
    for system in ("baseline1", "baseline2", "proposed"):
        for seed in range(10):
            write_run(tmp_path, system, seed)
    assert len(html.page(report_of(tmp_path), draw=False)) < 150_000


@pytest.fixture
def gathered(tmp_path, monkeypatch):
    """Let ``write`` take what a test has written, without statistics."""
    write_run(tmp_path / "results")
    monkeypatch.setattr(html, "gather", lambda results: report_of(results, TABLE))
    return tmp_path / "results"


def test_the_file_is_written_whole(gathered, tmp_path):
    out = tmp_path / "new/report.html"
    assert html.write(gathered, out, draw=False) == out
    text = out.read_text(encoding="utf-8")
    assert TABLE.title in Page(text).tables()
    assert html.write(gathered, out, draw=False) == out  # over an old one
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_wrong_use_is_told_in_one_line(gathered, tmp_path):
    with pytest.raises(UserError, match="no folder .*: pass the one that holds"):
        html.write(gathered, tmp_path / "a.html", tmp_path / "absent")
    with pytest.raises(UserError, match="cannot write"):
        html.write(gathered, gathered, draw=False)
    assert not (tmp_path / "a.html").exists()


@pytest.fixture
def opened(chromium, tmp_path):
    """Open a page from disk; no request, complaint or dialog may come of it."""
    contexts, wrong = [], []

    def open_page(text: str, **options):
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        contexts.append(chromium.new_context(offline=True, **options))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: (wrong.append("dialog"), dialog.dismiss()))
        tab.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:")) or wrong.append(request.url)
            ),
        )
        tab.goto(path.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def shown(tab, title: str, column: int) -> list[str]:
    table = tab.locator("table", has=tab.locator("caption", has_text=title))
    rows = table.locator("tbody tr")
    return [row.locator("th, td").nth(column).inner_text() for row in rows.all()]


@pytest.mark.slow
def test_a_click_sorts_in_a_browser(tmp_path, opened):
    write_run(tmp_path)
    tab = opened(html.page(report_of(tmp_path, TABLE), draw=False))
    heads = tab.locator("table", has_text="Table 2. Results").locator("thead th")
    written = ["baseline1", "paper", "difference", "baseline2", "proposed", "paper"]
    down = ["proposed", "paper", "baseline2", "baseline1", "paper", "difference"]
    assert shown(tab, TABLE.title, 0) == written
    score = heads.nth(1).get_by_role("button")
    # 9.5 < 70.3 < 78.1 as numbers; a system keeps the rows beside it
    for names, order in ((written, "ascending"), (down, "descending"), (written, None)):
        score.click()
        assert shown(tab, TABLE.title, 0) == names
        assert heads.nth(1).get_attribute("aria-sort") == order
    score.click()
    p = heads.nth(3).get_by_role("button")
    p.focus()
    tab.keyboard.press("Enter")
    assert heads.nth(1).get_attribute("aria-sort") is None
    # < 0.001 first, what is empty last, in both directions
    order = ["< 0.001", "0.040", "", "", "", ""]
    assert shown(tab, TABLE.title, 3) == order
    tab.keyboard.press("Space")
    assert [cell for cell in shown(tab, TABLE.title, 3) if cell] == ["0.040", "< 0.001"]
    assert shown(tab, TABLE.title, 0)[-2:] == ["proposed", "paper"]
    heads.nth(4).get_by_role("button").click()
    gains = [cell for cell in shown(tab, TABLE.title, 4) if cell]
    assert gains == ["−10.0", "−1.2 [−3.0, +0.6]", "+0.4"]
    name = heads.nth(0).get_by_role("button")
    name.click()
    name.click()
    assert shown(tab, TABLE.title, 0)[0] == "proposed"


@pytest.mark.slow
def test_sound_plays_in_a_browser(sounding, made, tmp_path, opened):
    tab = opened(html.page(report_of(tmp_path), sounding, draw=False))
    assert tab.locator("audio").count() == 8
    tab.wait_for_function(
        "[...document.querySelectorAll('audio')].every((s) => s.readyState || s.error)"
    )
    durations = tab.evaluate(
        "[...document.querySelectorAll('audio')].map((sound) => sound.duration)"
    )
    assert durations == pytest.approx([0.5] * 8, abs=0.01)


@pytest.mark.slow
def test_foreign_text_is_inert_in_a_browser(tmp_path, opened, monkeypatch):
    setting = {"source": [HOSTILE], "non_target": [], "target": "emodb"}
    languages = {"train": ["en"], "target": "de"}
    write_run(
        tmp_path, name=HOSTILE + "{}", setting={**setting, "languages": languages}
    )
    fake_figures(monkeypatch)
    table = Table(HOSTILE, [HOSTILE] * 2, [[HOSTILE, "1"]], [HOSTILE])
    tab = opened(html.page(report_of(tmp_path, table)))
    assert tab.evaluate("document.scripts.length") == 1
    assert tab.evaluate("[...document.images].every((i) => i.src.startsWith('data:'))")
    assert HOSTILE in tab.locator("h2").all_inner_texts()[4]


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_no_wider_than_the_window(sounding, tmp_path, opened, width):
    text = html.page(report_of(tmp_path, TABLE), sounding, draw=False)
    tab = opened(text, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for details in tab.locator("summary").all():
        details.click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_no_column_is_cut(tmp_path, opened):
    """Table 2 of nine settings, and claims, in a usual window."""
    write_run(tmp_path)
    settings = [f"RAVDESS + IEMOCAP to EMO-DB {i}" for i in range(9)]
    rows = [["without SupCon", *["**78.1 / 76.0**†"] * 9, "78.1 / 76.0"]]
    wide = Table("Wide", ["system", *settings, "average"], rows)
    claim = [
        *("without SupCon > Baseline 2", "RAVDESS to Emozionalmente"),
        *("−10.2 [−13.2, −7.2]", "< 0.001", "**< 0.001**", "0.123", "−0.52"),
        *("3469 utterances", "utterances"),
    ]
    head = ["claim", "setting", "UAR difference [95 % interval]", "p", "p (Holm)",
            "p over seeds", "effect", "n", "exchanged"]  # fmt: skip
    report = report_of(tmp_path, wide, Table("Claims", head, [claim]))
    text = html.page(report, draw=False)
    tab = opened(text, viewport={"width": 1400, "height": 900})
    cut = "(table) => table.scrollWidth - table.clientWidth"
    assert all(table.evaluate(cut) <= 0 for table in tab.locator(".wide").all())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_readers_colours(tmp_path, opened, scheme):
    write_run(tmp_path)
    text = html.page(report_of(tmp_path, TABLE), draw=False)
    tab = opened(text, color_scheme=scheme)
    colour = "getComputedStyle(document.body)[{!r}].match(/\\d+/g).map(Number)"
    page, ink = (tab.evaluate(colour.format(n)) for n in ("backgroundColor", "color"))
    assert (sum(page) > sum(ink)) == (scheme == "light")
