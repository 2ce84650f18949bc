"""Labelled tables and data sets of Hugging Face as corpora."""

import io
import logging
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep import corpus, exchange, manifest
from data_prep.__main__ import main
from data_prep.columns import COLUMNS
from data_prep.errors import UserError
from data_prep.exchange import hf_tables, plain_tables

EMOTIONS = ("anger", "happiness", "neutral", "sadness")
HEADER = "path,emotion,speaker,language"


@pytest.fixture()
def mine(tmp_path):
    """Twelve different recordings of four speakers, below data/mine."""
    rng, files = np.random.default_rng(0), {}
    for speaker in "abcd":
        for emotion in EMOTIONS:
            file = f"{speaker}/{speaker}_{emotion}.wav"
            path = tmp_path / "data/mine" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.normal(0, 0.1, 4000), 16000)
            files[file] = speaker, emotion
    return files


@pytest.fixture()
def write(tmp_path):
    """Write a table beside the recordings; its lines are joined as they are."""

    def write(lines, name="data/mine/labels.csv", encoding="utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("\n".join([*lines, ""]).encode(encoding))
        return path

    return write


def lines(files, mark=",", header=HEADER):
    yield header.replace(",", mark)
    for file, (speaker, emotion) in files.items():
        yield mark.join((file, emotion, speaker, "German"))


def load(tmp_path, table, name="mine", **options):
    """The manifest of a table, imported."""
    (path,) = exchange.import_rows("csv", table, name, tmp_path / "m", **options)
    return manifest.read(path)


def told(capsys, *args) -> str:
    """The one line of a refusal."""
    capsys.readouterr()
    assert main(list(map(str, args))) == 2
    out, err = capsys.readouterr()
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert not out
    return line


def test_a_table_is_a_corpus(mine, write, tmp_path, capsys):
    table = write(lines(mine))
    args = ["import", "csv", table, f"--save_folder={tmp_path}/m", "--name=mine"]
    assert main(list(map(str, args))) == 0
    expected = f"(mine) with --manifests={tmp_path}/m --data_root={tmp_path}/data\n"
    assert capsys.readouterr().out.endswith(f"train on it by name {expected}")
    rows = manifest.read(tmp_path / "m/mine.csv")
    assert len(rows) == 16
    row = next(row for row in rows if row.ID == "mine-a_anger")
    assert row.wav == "$data_root/mine/a/a_anger.wav"
    assert (row.corpus, row.language, row.speaker) == ("mine", "de", "mine-a")
    assert (row.emotion, row.native_emotion) == ("angry", "anger")
    assert row.audio_sha256 and row.sample_rate == 16000
    held = {split: {r.speaker for r in rows if r.split == split} for split in
            manifest.SPLITS}  # fmt: skip
    assert all(held.values()) and not held["train"] & (held["valid"] | held["test"])
    item = exchange.lookup("mine", tmp_path / "m")
    assert item.locate(tmp_path / "data") == tmp_path / "data/mine"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_delimiters_and_byte_order_marks(mine, write, tmp_path, mark, encoding):
    table = write(lines(mine, mark), encoding=encoding)
    assert len(load(tmp_path, table)) == 16


def test_a_delimiter_of_ones_own(mine, write, tmp_path):
    table = write(lines(mine, "#"))
    with pytest.raises(UserError, match="known to hold the path.*--path_column"):
        load(tmp_path, table)
    assert len(load(tmp_path, table, delimiter="#")) == 16
    with pytest.raises(UserError, match="is no delimiter"):
        load(tmp_path, table, delimiter="##")


def test_columns_by_name_and_by_option(mine, write, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    table = write(lines(mine, header="File Name,Label,Actor_ID,LANG"))
    rows = load(tmp_path, table)
    assert {row.speaker for row in rows} == {f"mine-{name}" for name in "abcd"}
    assert "path = File Name, emotion = Label, speaker = Actor_ID" in caplog.text
    table = write(lines(mine, header="a,emotion,speaker,b"))
    columns = {"path": "a", "language": "b"}
    assert load(tmp_path, table, columns=columns) == rows
    table = write(lines(mine, header="path,mood,emotion,lang"))
    columns = {"emotion": "mood", "speaker": "emotion"}
    assert load(tmp_path, table, columns=columns) == rows


def test_all_columns(mine, write, tmp_path):
    head = "wav,emotion,speaker,language,split,transcription,Sex,license"
    parts = {"a": "Train", "b": "training", "c": "dev", "d": "eval"}
    table = write(
        [head]
        + [
            f'{f},{e},{s},de-AT,{parts[s]},"Ja, {s}",F,CC BY 4.0'
            for f, (s, e) in mine.items()
        ]
    )
    rows = load(tmp_path, table, splits="official")
    assert {(r.speaker[-1], r.split) for r in rows} == {
        ("a", "train"), ("b", "train"), ("c", "valid"), ("d", "test")
    }  # fmt: skip
    assert {row.text for row in rows} == {f"Ja, {name}" for name in "abcd"}
    assert {row.gender for row in rows} == {"female"}
    assert manifest.read_sidecar(tmp_path / "m/mine.csv")["licence"] == "CC BY 4.0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,emotion\n", "holds no row"),
        ("", "holds no row"),
        ("emotion,x\na,b\n", "known to hold the path: name it by --path_column; there"),
        ("path,x\na,b\n", "known to hold the emotion: name it by --emotion_column"),
        ("path,emotion\na,b,c\n", "line 2: 3 values for 2 columns"),
        ("path,path\na,b\n", "two columns have one name"),
        ("path,emotion\nx.wav,joy\n", "none of the 1 files.*x.wav.*--data_folder"),
        ("path,emotion\n../../x.wav,joy\n", "none of the 1 files"),
    ],
)
def test_mistakes_in_a_table(mine, write, tmp_path, capsys, text, message):
    import re

    table = write([text])
    line = told(capsys, "import", "csv", table, f"--save_folder={tmp_path}/m")
    assert re.search(message, line)
    assert not (tmp_path / "m").exists()


def test_a_table_in_another_encoding(mine, write, tmp_path, capsys):
    table = write(["path,emotion", "a/ä.wav,joy"], encoding="latin-1")
    line = told(capsys, "import", "csv", table, f"--save_folder={tmp_path}/m")
    assert "no text in UTF-8: save it as CSV in UTF-8" in line


def test_no_such_column(mine, write, tmp_path, capsys):
    args = "import", "csv", write(lines(mine)), "--speaker_column=who"
    assert "no column 'who', which --speaker_column names: there are path" in told(
        capsys, *args
    )


# --- Where the files lie


def test_paths_from_elsewhere(mine, write, tmp_path):
    """The table need not lie with its files."""
    table = write(lines(mine), "tables/labels.csv")
    expected = load(tmp_path, write(lines(mine)))
    assert load(tmp_path, table, data_folder=tmp_path / "data/mine") == expected
    assert load(tmp_path, table, data_root=tmp_path / "data") == expected
    below = {f"mine/{file}": about for file, about in mine.items()}
    table = write(lines(below), "tables/labels.csv")
    assert load(tmp_path, table, name="other", data_root=tmp_path / "data") == load(
        tmp_path, write(lines(mine)), name="other"
    )
    whole = {str(tmp_path / "data/mine" / file): mine[file] for file in mine}
    table = write(lines(whole), "tables/labels.csv")
    assert load(tmp_path, table, data_root=tmp_path / "data") == expected


def test_a_corpus_lies_in_one_folder(mine, write, tmp_path):
    table = write(lines(mine))
    with pytest.raises(UserError, match=r"\{a,b,c\}.*pass --data_root=.*/data, here"):
        load(tmp_path, table, data_root=tmp_path / "data/mine")
    soundfile.write(tmp_path / "data/x.wav", np.ones(4000) / 9, 16000)
    table = write([HEADER, "x.wav,joy,a,de"], "labels.csv")
    with pytest.raises(UserError, match="--data_root"):
        load(tmp_path, table, data_root=tmp_path / "data")
    with pytest.raises(UserError, match="not below .*--data_root that holds them"):
        load(tmp_path, write(lines(mine)), data_root=tmp_path / "m")


def test_backslashes_and_unicode_forms(tmp_path, tone, write):
    """As Windows and macOS write names: on disk they are of one form or the other."""
    name = "Gefühl/café.wav"
    forms = {form: unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    assert forms["NFC"] != forms["NFD"]
    for on_disk, in_table in (("NFC", "NFD"), ("NFD", "NFC")):
        root = tmp_path / on_disk
        file = tone(root / "mine" / forms[on_disk])
        written = forms[in_table].replace("/", "\\")
        table = write([HEADER, f"{written},joy,a,de"], f"{on_disk}/mine/labels.csv")
        (row,) = load(tmp_path / on_disk, table)
        assert Path(row.path(root)) == file
        assert row.has_audio


def test_files_that_are_missing_or_elsewhere(mine, write, tmp_path, tone, caplog):
    tone(tmp_path / "data/private.wav")
    extra = ["gone.wav,joy,a,de", "../private.wav,joy,a,de", "a/a_anger.wav,anger,a,de"]
    table = write([*lines(mine), *extra])
    rows = load(tmp_path, table)
    assert [row.ID for row in rows if not row.has_audio] == ["mine-gone"]
    reasons = {
        entry["path"]: entry["reason"]
        for entry in manifest.read_sidecar(tmp_path / "m/mine.csv")["rejected"]
    }
    assert reasons == {
        "../private.wav": "lies outside the corpus' folder",
        "a/a_anger.wav": "a second row of the same file",
    }
    assert "audio of 1 utterances is not on disk" in caplog.text


def test_one_file_of_two_emotions(mine, write, tmp_path):
    table = write([*lines(mine), "a/a_anger.wav,joy,a,de"])
    with pytest.raises(UserError, match="1 file.* two emotions.* is anger and joy"):
        load(tmp_path, table)


# --- Emotions, languages, speakers, parts


def test_unknown_emotions_are_told_and_can_be_given(mine, write, tmp_path, caplog):
    odd = {f: (s, e.replace("anger", "hot temper")) for f, (s, e) in mine.items()}
    table = write(lines(odd))
    rows = load(tmp_path, table)
    assert {r.category for r in rows if r.native_emotion == "hot temper"} == {"other"}
    assert "mine: 4 utterances of the unknown emotion 'hot temper'" in caplog.text
    assert "--map 'hot temper=EMOTION'" in caplog.text
    args = ["import", "csv", str(table), f"--save_folder={tmp_path}/m", "--name=mine"]
    assert main([*args, "--map", "hot temper=angry"]) == 0
    rows = manifest.read(tmp_path / "m/mine.csv")
    assert {r.emotion for r in rows if r.native_emotion == "hot temper"} == {"angry"}


@pytest.mark.parametrize(
    ("languages", "given", "kept"),
    [
        ("German", "", "de"),
        ("deu", "", "de"),
        ("de_CH", "de", "de"),
        ("German", "German", "de"),
        ("Klingon", "de", "de"),
        ("", "deu", "de"),
    ],
)
def test_languages(mine, write, tmp_path, languages, given, kept):
    table = write(line.replace("German", languages) for line in lines(mine))
    rows = load(tmp_path, table, language=given)
    assert {row.language for row in rows} == {kept} and len(rows) == 16


def test_languages_that_are_unclear(mine, write, tmp_path):
    table = write(line.replace("German", "Klingon") for line in lines(mine))
    with pytest.raises(UserError, match="no ISO 639-1 code is known.*'Klingon'"):
        load(tmp_path, table)
    table = write(line.replace("_joy", "") for line in lines(mine))
    with pytest.raises(UserError, match="no utterance in en, only de"):
        load(tmp_path, table, language="en")
    table = write(line.rpartition(",")[0] for line in lines(mine))
    with pytest.raises(UserError, match="none that its table tells.*--language"):
        load(tmp_path, table)


def test_without_speakers(mine, write, tmp_path, caplog):
    """Held-out parts could share speakers with train: there are none."""
    table = write(line.replace(",speaker", ",x") for line in lines(mine))
    rows = load(tmp_path, table)
    assert {(row.speaker, row.split) for row in rows} == {("", "train")}
    assert "does not tell who speaks: parts of it could share speakers" in caplog.text
    with pytest.raises(UserError, match="mine does not tell who speaks"):
        load(tmp_path, table, splits="speaker")


def test_some_speakers_unknown(mine, write, tmp_path, caplog):
    odd = {f: (s.replace("d", "Unknown"), e) for f, (s, e) in mine.items()}
    rows = load(tmp_path, write(lines(odd)))
    assert {r.split for r in rows if not r.speaker} == {"train"}
    assert "4 of 16 utterances name no speaker" in caplog.text


def test_unknown_parts(mine, write, tmp_path, caplog):
    table = write(
        line.replace("language", "split").replace("German", "fold1")
        for line in lines(mine)
    )
    load(tmp_path, table, language="de")
    assert "16 rows of unknown parts (fold1)" in caplog.text
    with pytest.raises(UserError, match="no official parts"):
        load(tmp_path, table, language="de", splits="official")


def test_several_corpora_in_one_table(mine, write, tmp_path):
    table = write(
        [HEADER + ",set"]
        + [
            f"{f},{e},{s},{'de' if s < 'c' else 'French'},{'A-1' if s < 'c' else 'Bé'}"
            for f, (s, e) in mine.items()
        ]
    )
    paths = exchange.import_rows(
        *("csv", table, "mine", tmp_path / "m"), columns={"corpus": "set"}
    )
    assert [path.stem for path in paths] == ["mine_a_1", "mine_be"]
    for path, language in zip(paths, ("de", "fr"), strict=True):
        rows = manifest.read(path)
        assert len(rows) == 8
        assert {row.language for row in rows} == {language}
        assert {row.corpus for row in rows} == {path.stem}
        assert exchange.lookup(path.stem, tmp_path / "m").folder == "mine"
    table.write_text(table.read_text().replace(",A-1", ","))
    columns = {"corpus": "set"}
    again = exchange.import_rows("csv", table, "mine", tmp_path / "m", columns=columns)
    assert [path.stem for path in again] == ["mine", "mine_be"]
    text = table.read_text().replace(",de,", ",de,bE")
    table.write_text(text)
    with pytest.raises(UserError, match="'bE' and 'Bé' would both be mine_be"):
        exchange.import_rows(
            *("csv", table, "mine", tmp_path / "m"), columns={"corpus": "set"}
        )


def test_a_table_with_damaged_files_is_incomplete(mine, write, tmp_path):
    """As a copy of any corpus is that lacks an emotion."""
    table = write(lines(mine))
    for file in mine:
        if "anger" in file:
            (tmp_path / "data/mine" / file).write_bytes(b"")
    load(tmp_path, table)
    census = manifest.read_sidecar(tmp_path / "m/mine.csv")["census"]
    assert census["utterances"] == [16, 12]
    assert census["emotions"]["angry"] == [4, 0]


def test_recordings_that_changed_since(mine, write, tmp_path):
    load(tmp_path, write(lines(mine)))
    path, root = tmp_path / "m/mine.csv", tmp_path / "data"
    exchange.require_unchanged(path, root)
    file = root / "mine/a/a_anger.wav"
    soundfile.write(file, np.ones(4000) / 9, 16000)
    with pytest.raises(UserError, match="1 of 16 recordings of mine changed since"):
        exchange.require_unchanged(path, root)
    file.unlink()
    with pytest.raises(UserError, match="1 of 16 .*cannot be read.*--data_root"):
        exchange.require_unchanged(path, root)


def test_every_column_is_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    text = capsys.readouterr().out
    assert all(f"--{key}_column" in text for key in COLUMNS)


# --- Data sets


@pytest.fixture()
def pa():
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def clip(number: int, kind: str = "WAV") -> bytes:
    """A recording of its own."""
    samples = np.random.default_rng(number).normal(0, 0.1, 3200)
    stream = io.BytesIO()
    soundfile.write(stream, samples, 16000, format=kind)
    return stream.getvalue()


def columns_of(count: int = 16, **changes) -> dict:
    """Columns of a data set: four speakers, four emotions."""
    found = {
        "audio": [
            {"bytes": clip(i, ("WAV", "FLAC")[i % 2]), "path": f"x/{i}.bin"}
            for i in range(count)
        ],
        "emotion": [EMOTIONS[i % 4] for i in range(count)],
        "speaker_id": [i // 4 for i in range(count)],
        "language": ["Polish"] * count,
        "age": [31.0, None] * (count // 2),
        "license": ["CC BY 4.0"] * count,
        "tokens": [[1, 2]] * count,
    }
    return {k: v for k, v in {**found, **changes}.items() if v is not None}


def save(pa, path: Path, columns: dict, metadata: dict | None = None) -> Path:
    """As Parquet, or as the stream that ``datasets`` keeps."""
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).replace_schema_metadata(metadata)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=5)
    else:
        with pa.OSFile(str(path), "wb") as stream:
            writer = pa.ipc.new_stream if path.stem != "file" else pa.ipc.new_file
            with writer(stream, table.schema) as out:
                out.write_table(table)
    return path


def load_set(tmp_path, source, name="set", **options):
    paths = exchange.import_rows(
        *("datasets", str(source), name, tmp_path / "m"),
        data_root=tmp_path / "root",
        **options,
    )
    return [row for path in paths for row in manifest.read(path)]


@pytest.mark.parametrize("file", ["data/train-00000-of-00001.parquet", "x.arrow",
                                  "file.arrow"])  # fmt: skip
def test_a_data_set_is_a_corpus(pa, tmp_path, file):
    save(pa, tmp_path / "hf" / file, columns_of())
    (tmp_path / "hf/hf.py").write_text("raise SystemExit('a script ran')")
    rows = load_set(tmp_path, tmp_path / "hf")
    assert len(rows) == 16
    assert {row.language for row in rows} == {"pl"}
    assert {row.speaker for row in rows} == {f"set-{i}" for i in range(4)}
    suffixes = {Path(row.wav).suffix for row in rows}
    assert suffixes == {".wav", ".flac"}
    for row in rows:
        number = int(Path(row.wav).stem)
        assert Path(row.path(tmp_path / "root")).read_bytes() == clip(
            number, ("WAV", "FLAC")[number % 2]
        )
    # What else the rows say lies beside the recordings, and can be imported again.
    table = (tmp_path / "root/set/metadata.csv").read_text().splitlines()
    assert table[0] == "file_name,split,emotion,speaker_id,language,age,license"
    assert table[1].endswith("anger,0,Polish,31,CC BY 4.0")
    assert load(tmp_path, tmp_path / "root/set/metadata.csv", name="set") == rows
    sidecar = manifest.read_sidecar(tmp_path / "m/set.csv")
    assert sidecar["licence"] == "CC BY 4.0"


def test_what_datasets_itself_writes(pa, tmp_path, monkeypatch):
    """A DatasetDict on disk, with a column of class labels, and Parquet of the same."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names = ["sadness", "anger", "happiness", "neutral"]
    features = datasets.Features(
        {
            "audio": datasets.Audio(decode=False),
            "label": datasets.ClassLabel(names=names),
            "speaker_id": datasets.Value("int32"),
        }
    )
    given = columns_of(language=None, age=None, license=None, tokens=None)
    given["label"] = [names.index(name) for name in given.pop("emotion")]
    # By `from_dict`, torchcodec would be asked to encode what is encoded already.
    table = pa.table(given).select(list(features)).cast(features.arrow_schema)
    whole = datasets.Dataset(datasets.table.InMemoryTable(table))
    parts = {"train": range(8), "validation": range(8, 12), "test": range(12, 16)}
    both = datasets.DatasetDict({k: whole.select(v) for k, v in parts.items()})
    both.save_to_disk(str(tmp_path / "disk"))
    for name, part in both.items():
        part.to_parquet(str(tmp_path / f"pq/data/{name}-00000-of-00001.parquet"))
    found = [
        load_set(tmp_path / str(i), source, language="pl", splits="official")
        for i, source in enumerate((tmp_path / "disk", tmp_path / "pq"))
    ]
    assert found[0] == found[1]
    assert {(row.native_emotion, row.split) for row in found[0]} == {
        (emotion, split) for emotion in EMOTIONS for split in manifest.SPLITS
    }


def test_a_second_import_writes_nothing_anew(pa, tmp_path):
    source = save(pa, tmp_path / "x.parquet", columns_of())
    load_set(tmp_path, source)
    files = sorted((tmp_path / "root").rglob("*.[wf]*"))
    before = [path.stat().st_mtime_ns for path in files]
    load_set(tmp_path, source)
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.parametrize(
    "name", ["../../evil.wav", "/etc/evil.wav", "..\\evil", "", None]
)
def test_names_of_recordings_lead_nowhere_else(pa, tmp_path, name):
    sounds = [{"bytes": clip(i), "path": name} for i in range(16)]
    source = save(pa, tmp_path / "x.parquet", columns_of(audio=sounds))
    rows = load_set(tmp_path, source)
    assert len({row.wav for row in rows}) == 16
    assert not [*tmp_path.rglob("evil*")] or all(
        path.is_relative_to(tmp_path / "root/set") for path in tmp_path.rglob("evil*")
    )


def test_recordings_beside_a_data_set(pa, tmp_path, tone):
    """By path only: those below its folder are taken, no others."""
    tone(tmp_path / "hf/in/a.wav")
    tone(tmp_path / "private.wav", rate=8000)
    names = ["in/a.wav", str(tmp_path / "private.wav"), "../private.wav", "gone.wav"]
    sounds = [{"bytes": None, "path": name} for name in names]
    columns = {k: v[:4] for k, v in columns_of(audio=None).items()}
    source = save(pa, tmp_path / "hf/x.parquet", {"audio": sounds, **columns})
    (row,) = load_set(tmp_path, source)
    assert row.wav == "$data_root/set/x/a.wav"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"audio": ["a.wav"] * 16}, "holds no recordings, only .*import csv"),
        ({"emotion": None}, "known to hold the emotion.*--emotion_column"),
        (
            {"audio": [{"bytes": b"x", "path": "a.wav"}] * 16},
            "no recording in a format",
        ),
        ({"language": None}, "none that its table tells"),
    ],
)
def test_mistakes_in_a_data_set(pa, tmp_path, columns, message):
    source = save(pa, tmp_path / "x.parquet", columns_of(**columns))
    with pytest.raises(UserError, match=message):
        load_set(tmp_path, source)
    assert not (tmp_path / "root").exists() and not (tmp_path / "m").exists()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 500, None])
def test_damaged_data_sets(pa, tmp_path, suffix, data):
    source = save(pa, tmp_path / f"x.{suffix}", columns_of())
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2] if data is None else data)
    with pytest.raises(UserError, match="no sound Parquet or Arrow file.*get it anew"):
        load_set(tmp_path, source)


def test_where_recordings_go_must_be_said(pa, tmp_path, capsys):
    source = save(pa, tmp_path / "x.parquet", columns_of())
    assert "--data_root=DIR" in told(capsys, "import", "datasets", source)
    line = told(capsys, "import", "datasets", tmp_path / "gone", "--data_root=x")
    assert "no file or folder here, and cannot be had from the hub" in line
    (tmp_path / "empty").mkdir()
    line = told(capsys, "import", "datasets", tmp_path / "empty", "--data_root=x")
    assert "no Parquet or Arrow file" in line and "scripts are not run" in line


def test_a_data_set_of_the_hub(pa, tmp_path, monkeypatch):
    """What the hub has in another format is taken from its own conversion to Parquet."""
    import huggingface_hub

    (tmp_path / "main").mkdir()
    (tmp_path / "main/README.md").touch()
    save(pa, tmp_path / "converted/default/train/0000.parquet", columns_of())
    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options["repo_type"], options["allow_patterns"]))
        return str(tmp_path / ("converted" if options["revision"] else "main"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert len(load_set(tmp_path, "lab/emotions", splits="speaker")) == 16
    assert asked == [("lab/emotions", "dataset", ["*.parquet"])] * 2


def test_names_of_tables():
    assert hf_tables._split_of(Path("d/data/crema_d-00000-of-00002.parquet"), Path("d"))
    assert plain_tables.choose(["audio", "class"], {}, "x") == {
        "path": "audio", "emotion": "class"
    }  # fmt: skip
    assert corpus.registry().keys().isdisjoint({"mine", "set"})
