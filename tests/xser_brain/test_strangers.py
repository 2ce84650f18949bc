"""Results folders, grids and names that somebody else made: what they could reach."""

import csv
import io
import json
import os
import shutil

import numpy as np
import pytest
import soundfile
from small import RECIPE, ROOT
from test_html import write_run as write_html_run

from data_prep import hashes, manifest
from data_prep.errors import UserError
from data_prep.manifest import Row
from xser_brain import artefacts
from xser_brain.cli import main
from xser_brain.cli.writers import WRITERS
from xser_brain.features import store
from xser_brain.inference import Result
from xser_brain.reports import html, tables
from xser_brain.reports.figures import draw_all
from xser_brain.reports.runs import find_runs
from xser_brain.training import folder as folders
from xser_brain.training import hparams

EVIL = "\x1b[2J\x9b31m<img src=x onerror=alert(1)>\n| a | [x](javascript:1)\u202e"


COUNTS = {"train": 9, "speakers": 8, "valid": 7, "test": 10, "target_all": 40}


def write_run(folder, system="proposed", **changes):
    """A run, and then what its run.json says instead."""
    write_html_run(folder, counts=COUNTS)
    (path,) = folder.rglob("run.json")
    record = json.loads(path.read_text()) | {"system": system} | changes
    path.write_text(json.dumps(record))


def secret(path):
    """A recording that is nobody's business; its samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).normal(0, 0.1, 16000)
    soundfile.write(path, samples, 16000)
    return path


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Make results whose manifest names these recordings."""

    def make(*wavs):
        results = tmp_path / "results"
        write_run(results)
        rows = [
            Row(
                ID=f"emodb-{i:03}",
                duration=1.0,
                wav=wavs[i % len(wavs)],
                sample_rate=16000,
                corpus="emodb",
                language="de",
                speaker=f"emodb-{i % 4}",
                emotion="sad",
                native_emotion="sad",
                split="test",
            )
            for i in range(40)
        ]
        with monkeypatch.context() as patch:  # a stranger need not write as we do
            patch.setattr(manifest, "validate", lambda *_: None)
            manifest.write(results / "manifests/emodb.csv", rows, {"corpus": "emodb"})
        return results

    return make


def test_a_report_holds_no_recording_from_elsewhere(stranger, tmp_path):
    secret(tmp_path / "private/diary.wav")
    root = tmp_path / "corpora"
    (root / "emodb").mkdir(parents=True)
    (root / "emodb/link.wav").symlink_to(tmp_path / "private/diary.wav")
    wavs = (
        str(tmp_path / "private/diary.wav"),
        "$data_root/../private/diary.wav",
        "$data_root/emodb/link.wav",
    )
    results = stranger(*wavs)
    path = html.write(results, tmp_path / "report.html", root, draw=False)
    text = path.read_text()
    assert "data:audio" not in text
    assert "fLaC" not in text


def test_a_report_holds_the_recordings_of_the_corpora(stranger, tmp_path):
    secret(tmp_path / "corpora/emodb/a.wav")
    results = stranger("$data_root/emodb/a.wav")
    path = html.write(results, tmp_path / "r.html", tmp_path / "corpora", draw=False)
    assert "data:audio" in path.read_text()


@pytest.mark.parametrize("name", [artefacts.RUN, artefacts.PREDICTIONS])
def test_links_of_a_run_lead_nowhere_else(tmp_path, name):
    write_run(tmp_path / "results")
    (path,) = (tmp_path / "results").rglob(name)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="leads out of the folder of its run"):
        tables.gather(tmp_path / "results")


def test_figures_are_written_below_their_folder_only(tmp_path):
    write_run(tmp_path / "results", encoder={"name": "../../../gone/x"})
    with pytest.raises(UserError, match="stands in a run.json as a name"):
        draw_all(find_runs(tmp_path / "results"), tmp_path / "out/figures")
    assert not (tmp_path / "gone").exists()


def test_no_manifest_of_another_name_is_read(tmp_path):
    setting = {
        "source": ["a"],
        "non_target": [],
        "target": "../private/x",
        "languages": {"train": ["en"], "target": "de"},
    }
    write_run(tmp_path, setting=setting)
    text = html.page(tables.gather(tmp_path), tmp_path, draw=False)
    assert "There is no sound: &#39;../private/x&#39; stands in" in text


def test_tables_hold_no_escape_and_no_html(tmp_path, capsys):
    write_run(tmp_path, system=EVIL.replace("/", ""), encoder={"name": EVIL})
    for form in ("markdown", "latex", "csv"):
        capsys.readouterr()
        assert main(["tables", str(tmp_path), f"--format={form}"]) == 0
        text = capsys.readouterr().out
        assert "\x1b" not in text and "\x9b" not in text and "\u202e" not in text
    capsys.readouterr()
    main(["tables", str(tmp_path)])
    text = capsys.readouterr().out
    assert "\\<img" in text and "<img" not in text.replace("\\<img", "")
    assert "](javascript" not in text
    assert all(line.count("alert(1)") <= 2 for line in text.splitlines())


def test_errors_hold_no_escape(tmp_path, capsys):
    assert main(["tables", str(tmp_path / "\x1b[2J\nerror: gone")]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert error.count("\n") == 1


def test_no_spreadsheet_runs_what_a_name_says(tmp_path):
    write_run(tmp_path, system="=cmd|' /C calc'!A0", encoder={"name": "@SUM(A1)"})
    (row,) = csv.DictReader(
        io.StringIO(tables.as_csv(tables.gather(tmp_path).scores[:1]))
    )
    assert row["system"] == "'=cmd|' /C calc'!A0"
    assert row["encoder"] == "'@SUM(A1)"
    stream = io.StringIO()
    labels = ("sad", "angry")
    write = WRITERS["csv"](stream, labels, False, "")
    write(Result("=1+1.wav", 0.0, 1.0, "sad", "sad", {"sad": 0.9, "angry": 0.1}))
    write(Result("-2+3.wav", 0.0, 0.0, "", "", {}, (), "@no"))
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert [row["path"] for row in rows] == ["'=1+1.wav", "'-2+3.wav"]
    assert rows[1]["error"] == "'@no"
    assert rows[0]["p_sad"] == "0.900000"


@pytest.mark.parametrize("form", ["text", "json"])
def test_predictions_do_not_write_to_a_terminal(form):
    stream = io.StringIO()
    name = "a\x1b]0;gone\x07\x9b2J\nb.wav: happy 100 %"
    result = Result(name, 0.0, 1.0, "sad", "sad", {"sad": 0.9, "angry": 0.1})
    WRITERS[form](stream, ("sad", "angry"), False, "")(result)
    text = stream.getvalue()
    assert not set(text) & {"\x1b", "\x07", "\x9b"}
    assert text.count("\n") == 1
    if form == "json":
        assert json.loads(text)["path"] == name


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "1"},
        {"seed": 10**30},
        {"system": None},
        {"labels": []},
        {"labels": ["a", "a"]},
        {"labels": {"a": 1}},
        {"setting": {"source": "a", "non_target": [], "target": "b"}},
        {"target_test": {"n": "10"}},
        {"target_all": []},
        {"seconds": float("nan")},
        {"seconds": "1"},
        {"audit": {"training": 1}},
        {"metrics": {"war": 1}},
        {"trains_on": "anything"},
        {"layer_weights": [None]},
        {"manifest_sha256": {"a": 1}},
    ],
    ids=str,
)
def test_mistyped_records_are_one_line(tmp_path, capsys, change):
    write_run(tmp_path, **change)
    for command in (["tables"], ["report", "--no_figures"]):
        capsys.readouterr()
        assert main([command[0], str(tmp_path), *command[1:]]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "run.json, the record of a run, is damaged" in error


def test_what_a_record_lacks_is_one_line(tmp_path):
    write_html_run(tmp_path)
    with pytest.raises(UserError, match="says nothing of counts: delete it"):
        tables.gather(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "\ud800", "{"])
def test_deep_json_is_one_line(tmp_path, text):
    write_run(tmp_path)
    (path,) = tmp_path.rglob("run.json")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match="run.json, the record of a run, is damaged"):
        find_runs(tmp_path)
    (path.parent / "identity.json").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="identity.json.*is damaged"):
        artefacts.read_identity(path.parent)
    assert not folders.is_finished(path.parent, {})
    with pytest.raises(UserError, match="identity.json.*is damaged"):
        folders.begin(path.parent, {"hparams": {}, "options": {}}, False)


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": None},
        {"audio": "x"},
        {"audio": {"emodb": 1}},
        {"seed": "1"},
        {"processes": []},
    ],
    ids=str,
)
def test_mistyped_beginnings_are_one_line(tmp_path, change):
    """Of a run that a stranger began, to be continued here."""
    now = {"hparams": {}, "options": {}, "protocol": "p", "seed": 1}
    now |= {"processes": 1, "audio": {"emodb": "0" * 64}}
    (tmp_path / "identity.json").write_text(json.dumps(now | change))
    with pytest.raises(UserError, match="identity.json.*is damaged"):
        folders.begin(tmp_path, now, False)


def test_a_beginning_that_lacks_something_is_one_line(tmp_path):
    now = {"hparams": {}, "options": {}, "protocol": "p", "seed": 1}
    now |= {"processes": 1, "audio": {}}
    (tmp_path / "identity.json").write_text('{"hparams": {}, "options": {}}')
    with pytest.raises(UserError, match="lacks 'protocol'"):
        folders.begin(tmp_path, now, False)


def test_what_features_say_of_themselves_is_not_believed(tmp_path):
    for name, about in (
        ("a", "[1]"),
        ("b", "[" * 9999),
        ("c", '{"source": "\\u001b"}'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "about.json").write_text(about)
    text = store.table(store.groups(tmp_path))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 4
    (tmp_path / hashes.MEMORY).write_text('{"/x": 1}')
    recording = secret(tmp_path / "a.wav")
    assert len(hashes.AudioHashes(tmp_path).of([str(recording)])) == 1
    stat = os.stat(recording)
    state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    for wrong in ([7, 7], ["a"], ["a", 7]):
        text = json.dumps({str(recording): [*state, *wrong]})
        (tmp_path / hashes.MEMORY).write_text(text)
        (found,) = hashes.AudioHashes(tmp_path).of([str(recording)]).values()
        assert [len(digest) for digest in found] == [64, 64]


def test_no_log_is_written_to_where_a_link_leads(tmp_path):
    """Of a run that a stranger began, to be continued here."""
    run = tmp_path / "results/a_to_b/proposed/ecapa/1"
    run.mkdir(parents=True)
    own = tmp_path / ".bashrc"
    own.write_text("export A=1\n")
    (run / "log.txt").symlink_to(own)
    with pytest.raises(UserError, match="log.txt leads out of the folder of its run"):
        folders.begin(run, {"hparams": {}, "options": {}}, False)


# --- Recipes are programs, which is said


def test_code_of_a_recipe_runs_after_it_was_named(python, tmp_path):
    """The process ends while references are resolved: what was said before counts."""
    shutil.copytree(ROOT / "recipes/common", tmp_path / "common")
    path = tmp_path / "en_de/hparams/mine\x1b.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(RECIPE.read_text() + "\nzzz: !apply:os._exit [7]\n")
    code = "import sys; from xser_brain.cli import main; sys.exit(main(sys.argv[1:]))"
    done = python(code, "train", str(path), f"--results={tmp_path / 'results'}")
    assert done.returncode == 7
    (line,) = [line for line in done.stderr.splitlines() if "are programs" in line]
    assert "/en_de/hparams/mine\\x1b.yaml" in line
    assert "/common/run.yaml" in line
    assert "\x1b" not in done.stderr


def test_a_recipe_of_the_package_is_not_named(caplog):
    from xser_brain.training import spec

    spec._name_foreign.cache_clear()
    spec.describe(RECIPE, {})
    assert "are programs" not in caplog.text
    composed = hparams.compose(RECIPE, {})
    assert composed.foreign() == []


def test_a_system_of_ones_own_is_named_once(caplog, tmp_path):
    from xser_brain.training import spec

    spec._name_foreign.cache_clear()
    path = tmp_path / "mine.yaml"
    path.write_text(
        "trains_on: all\nsampler: random\n"
        "objectives:\n  emotion: !new:xser_brain.objectives.CrossEntropy\n"
    )
    for _ in range(2):
        spec.describe(RECIPE, {"system": str(path)})
    assert caplog.text.count(str(path)) == 1


def test_the_help_says_that_recipes_are_programs(capsys):
    assert main(["train", "--help"]) == 0
    assert "A recipe is a program" in capsys.readouterr().out
