"""Round trips through audformat, Lhotse and datasets, with the real libraries."""

import contextlib
import dataclasses
import gzip
import json
import logging
import os
import pickle
import subprocess
import sys

import pytest
import soundfile

from data_prep import corpus, exchange, manifest, prepare
from data_prep.corpus import Corpus, Utterance
from data_prep.errors import UserError
from data_prep.exchange import Found, Table
from data_prep.vocabulary import WIDE

# Texts that a CSV, a YAML or a guess at a column's type may spoil.
TEXTS = ("NA", "null", 'say "x", y', "two\nlines", "007", "1e5", "", "é 中 😀", "True")


@pytest.fixture()
def audformat():
    return pytest.importorskip("audformat", reason="audformat is not installed")


@pytest.fixture()
def lhotse():
    return pytest.importorskip("lhotse", reason="lhotse is not installed")


@pytest.fixture()
def datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    module = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(module.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return module


@pytest.fixture(scope="module")
def emodb(restored, tmp_path_factory):
    """The manifest of the real EMO-DB."""
    out = tmp_path_factory.mktemp("manifests")
    return prepare.prepare(corpus.get("emodb"), restored / "emodb", out, "paper")


@pytest.fixture()
def odd(tmp_path, tone):
    """The manifest of a corpus with odd texts, no gender, and every column in use."""
    utterances = []
    for i in range(27):
        part, text = ("train", "valid", "test")[i % 3], TEXTS[i // 3]
        path = f"{part}/0{i}, {'é' * (i % 2)}.wav"
        tone(tmp_path / "root/odd one" / path, channels=1 + i % 2, rate=8000 << i % 3)
        emotion = ("joy", "elation", "Wut", "sad", "calm")[i % 5]
        utterances.append(
            Utterance(
                f"0{i}", path, "0" * (i % 4), emotion, part, "", str(i % 2), text,
                f"0{i % 5}", f"{i / 9:.3f}", "-1.50", "3",
            )
        )  # fmt: skip
    declared = Corpus(
        name="odd", title="Odd", language="sw", licence="none", homepage="", layout="",
        emotions={"joy": "happy", "elation": "excitement", "Wut": "angry", "sad": "sad",
                  "calm": "calm"},
        merge={"excitement": "happy"},
        utterances=lambda folder: iter(utterances), speakers=3, parts=True,
    )  # fmt: skip
    folder = tmp_path / "root/odd one"
    return prepare.prepare(declared, folder, tmp_path / "m", "official")


def rows_of(path):
    return sorted(manifest.read(path), key=lambda row: row.ID)


# --- audformat ---


def test_emodb_through_audformat(audformat, emodb, restored, tmp_path):
    folder = exchange.export_manifest("audformat", emodb, restored, tmp_path / "a")
    assert folder == tmp_path / "a/emodb"
    back = exchange.import_table(
        "audformat", folder, "emodb", tmp_path / "b", splits="official"
    )
    assert manifest.read(back) == manifest.read(emodb)
    sidecar, first = manifest.read_sidecar(back), manifest.read_sidecar(emodb)
    assert sidecar["counts"] == first["counts"]
    assert sidecar["sha256"] == first["sha256"]


def test_every_column_through_audformat(audformat, odd, tmp_path):
    folder = exchange.export_manifest("audformat", odd, tmp_path / "root", tmp_path)
    back = exchange.import_table(
        "audformat", folder, "odd", tmp_path / "b", splits="official"
    )
    rows = rows_of(odd)
    assert {row.text for row in rows} == set(TEXTS)
    assert {row.emotion for row in rows} == {"happy", "angry", "sad", ""}
    assert rows_of(back) == rows


def test_what_nkululeko_reads(audformat, emodb, restored, tmp_path):
    """As its ``Dataset.load`` and ``split_strategy = database`` do."""
    root = exchange.export_manifest("audformat", emodb, restored, tmp_path)
    database = audformat.Database.load(str(root))
    assert database.languages == ["deu"]
    database.map_files(lambda name: os.path.join(root, name))
    frame = database.get("emotion", ["speaker", "gender"])
    rows = {row.path(restored): row for row in manifest.read(emodb) if row.emotion}
    assert len(frame) == len(rows) == 339
    for file, emotion, speaker, gender in frame.itertuples():
        row = rows[os.path.realpath(file)]
        assert (emotion, f"emodb-{speaker}") == (row.emotion, row.speaker)
        assert gender == row.gender
        assert soundfile.info(file).samplerate == row.sample_rate
    for part, size in (("train", 266), ("dev", 35), ("test", 38)):
        assert len(database.tables[f"emotion.{part}"].df) == size
        assert database.splits[part].type == part
        assert len(database.get("emotion", splits=[part])) == size


def test_audb_publishes_what_was_exported(audformat, odd, tmp_path, monkeypatch):
    audb = pytest.importorskip("audb", reason="audb is not installed")
    folder = exchange.export_manifest("audformat", odd, tmp_path / "root", tmp_path)
    (tmp_path / "host/local").mkdir(parents=True)
    place = audb.Repository("local", str(tmp_path / "host"), "file-system")
    monkeypatch.setattr(audb.config, "REPOSITORIES", [place])
    audb.publish(str(folder), "1.0.0", place, verbose=False)
    there = tmp_path / "there/odd one"
    audb.load_to(
        str(there), "odd", version="1.0.0", verbose=False, cache_root=str(tmp_path)
    )
    back = exchange.import_table("audformat", there, "odd", tmp_path / "b")
    assert len(rows_of(back)) == 27
    for row in rows_of(odd):
        ours, theirs = row.path(tmp_path / "root"), row.path(tmp_path / "there")
        with open(ours, "rb") as first, open(theirs, "rb") as second:
            assert first.read() == second.read()


def test_export_into_the_corpus_itself(audformat, odd, tmp_path):
    folder = exchange.export_manifest(
        "audformat", odd, tmp_path / "root", tmp_path / "root"
    )
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    again = exchange.export_manifest(
        "audformat", odd, tmp_path / "root", tmp_path / "root"
    )
    assert again == folder == tmp_path / "root/odd one"


def test_a_stale_link_is_mended(audformat, odd, tmp_path):
    (tmp_path / "out/odd one").mkdir(parents=True)
    (tmp_path / "out/odd one/test").symlink_to(tmp_path / "gone")
    folder = exchange.export_manifest(
        "audformat", odd, tmp_path / "root", tmp_path / "out"
    )
    assert (folder / "test").is_dir()


@pytest.fixture()
def foreign(audformat, tmp_path, tone):
    """A database in the manner of audb's emodb, to be spoilt by each test."""
    import pandas

    files = [f"wav/{s:02}_{e}.wav" for s in (3, 8, 9, 10) for e in "ahnsbx"]
    for file in files:
        tone(tmp_path / "data/mine" / file)
    words = {"a": "anger", "h": "happiness", "n": "neutral", "s": "Sad", "b": "bliss"}
    database = audformat.Database("mine", languages=["german"], source="http://x.org")
    database.schemes["emotion"] = audformat.Scheme("str")
    database.schemes["age"] = audformat.Scheme("int")
    speakers = pandas.Index([3, 8, 9, 10], dtype="Int64", name="speaker")
    database["speaker"] = audformat.MiscTable(speakers)
    for column, values in (("gender", ["male", "F", "other", None]), ("age", [31] * 4)):
        database["speaker"][column] = audformat.Column()
        database["speaker"][column].set(values)
    database.schemes["speaker"] = audformat.Scheme("int", labels="speaker")
    database.schemes["transcription"] = audformat.Scheme(labels={"a": "Der Lappen"})
    index = audformat.filewise_index(files)
    database["files"] = audformat.Table(index)
    for column, values in (
        ("speaker", [int(file[4:6]) for file in files]),
        ("transcription", ["a"] * len(files)),
    ):
        database["files"][column] = audformat.Column(scheme_id=column)
        database["files"][column].set(values)
    database["emotion"] = audformat.Table(index)
    database["emotion"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion"]["emotion"].set([words.get(file[7]) for file in files])
    return database


def save(database, tmp_path):
    database.save(str(tmp_path / "data/mine"))
    return tmp_path / "data/mine"


def test_a_database_of_ones_own(foreign, tmp_path, caplog):
    folder = save(foreign, tmp_path)
    path = exchange.import_table("audformat", folder, "my_db", tmp_path / "m")
    rows = manifest.read(path)
    assert len(rows) == 20
    row = next(row for row in rows if row.ID == "my_db-08_h")
    assert row.wav == "$data_root/mine/wav/08_h.wav"
    assert os.path.isfile(row.path(tmp_path / "data"))
    assert (row.corpus, row.language, row.speaker) == ("my_db", "de", "my_db-8")
    assert (row.emotion, row.native_emotion) == ("happy", "happiness")
    assert (row.category, row.text) == ("happy", "Der Lappen")
    assert {r.speaker: r.gender for r in rows} == {
        "my_db-3": "male",
        "my_db-8": "female",
        "my_db-9": "",
        "my_db-10": "",
    }
    parts = {
        split: {row.speaker for row in rows if row.split == split}
        for split in manifest.SPLITS
    }
    assert not parts["train"] & (parts["valid"] | parts["test"])
    assert all(parts.values())
    assert {row.category for row in rows if row.native_emotion == "bliss"} == {"other"}
    assert "4 utterances of the unknown emotion 'bliss' count as other" in caplog.text
    sidecar = manifest.read_sidecar(path)
    assert (sidecar["corpus"], sidecar["title"]) == ("my_db", "mine")
    assert sidecar["speaker_disjoint"] is True
    assert {entry["reason"] for entry in sidecar["rejected"]} == {"no emotion label"}
    assert len(sidecar["rejected"]) == 4


def test_labels_can_be_given(foreign, tmp_path, caplog):
    path = exchange.import_table(
        *("audformat", save(foreign, tmp_path), "mine", tmp_path / "m"),
        labels={"bliss": "happy", "Sad": "calm"},
    )
    rows = manifest.read(path)
    assert {r.emotion for r in rows if r.native_emotion == "bliss"} == {"happy"}
    assert {r.category for r in rows if r.native_emotion == "Sad"} == {"calm"}
    assert "unknown emotion" not in caplog.text


def add_parts(database, audformat, parts):
    index = database["emotion"].index
    for part, wanted in parts.items():
        database.splits[part] = audformat.Split(part)
        chosen = index[[wanted in file for file in index]]
        table = audformat.Table(chosen, split_id=part)
        database[f"emotion.{part}"] = table
        table["emotion"] = audformat.Column(scheme_id="emotion")
        table["emotion"].set(database["emotion"]["emotion"].get(chosen))


def test_official_parts(foreign, audformat, tmp_path):
    add_parts(foreign, audformat, {"train": "0", "dev": "03", "test": "10"})
    # "0" is in all names: what two parts claim is in none.
    folder = save(foreign, tmp_path)
    with pytest.raises(UserError, match="mine has no official parts"):
        exchange.import_table(
            *("audformat", folder, "mine", tmp_path / "m"), splits="official"
        )
    foreign.drop_tables(["emotion.train", "emotion.dev", "emotion.test"])
    add_parts(foreign, audformat, {"train": "03", "dev": "_", "test": "_"})
    foreign.drop_tables(["emotion.train", "emotion.dev"])
    folder = save(foreign, tmp_path)
    path = exchange.import_table(
        *("audformat", folder, "mine", tmp_path / "m"), splits="official"
    )
    assert {row.split for row in manifest.read(path)} == {"test"}


def test_tables_that_contradict_each_other(foreign, audformat, tmp_path):
    index = foreign["emotion"].index
    foreign["desired"] = audformat.Table(index)
    foreign["desired"]["emotion"] = audformat.Column(scheme_id="emotion")
    foreign["desired"]["emotion"].set("anger")
    folder = save(foreign, tmp_path)
    args = ("audformat", folder, "mine", tmp_path / "m")
    with pytest.raises(
        UserError, match="contradict each other about emotion.*--tables"
    ):
        exchange.import_table(*args)
    rows = manifest.read(exchange.import_table(*args, tables=["desired"]))
    assert {row.emotion for row in rows} == {"angry"}
    assert len(rows) == 24
    foreign["files"]["arousal"] = audformat.Column()
    foreign["files"]["arousal"].set(1)
    foreign["emotion"]["arousal"] = audformat.Column()
    foreign["emotion"]["arousal"].set(2)
    save(foreign, tmp_path)
    rows = manifest.read(exchange.import_table(*args, tables=["desired"]))
    assert {row.arousal for row in rows} == {""}


def test_another_column(foreign, audformat, tmp_path):
    foreign["emotion"].columns["emotion"].description = "renamed"
    foreign["files"]["mood"] = audformat.Column()
    foreign["files"]["mood"].set("Trauer")
    folder = save(foreign, tmp_path)
    args = ("audformat", folder, "mine", tmp_path / "m")
    rows = manifest.read(exchange.import_table(*args, label="mood"))
    assert {row.native_emotion for row in rows} == {"Trauer"}
    with pytest.raises(
        UserError, match="no 'feeling' in the tables.*there are emotion, mood"
    ):
        exchange.import_table(*args, label="feeling")


def test_segments(audformat, tmp_path, tone):
    """A segment becomes a file of its own, with what the filewise tables say of it."""
    for name in ("a", "b"):
        tone(tmp_path / f"data/talk/{name}.wav", rate=16000)
    database = audformat.Database("talk", languages=["eng"])
    index = audformat.segmented_index(
        ["a.wav", "a.wav", "b.wav"], ["0s", "0.25s", "0s"], ["0.25s", "0.5s", None]
    )
    database["emotion"] = audformat.Table(index)
    database["emotion"]["emotion"] = audformat.Column()
    database["emotion"]["emotion"].set(["anger", "joy", "neutral"])
    database["files"] = audformat.Table(audformat.filewise_index(["a.wav", "b.wav"]))
    database["files"]["speaker"] = audformat.Column()
    database["files"]["speaker"].set(["A", "B"])
    folder = tmp_path / "data/talk"
    database.save(str(folder))
    path = exchange.import_table("audformat", folder, "talk", tmp_path / "m")
    rows = rows_of(path)
    assert [(row.ID, row.duration, row.speaker, row.emotion) for row in rows] == [
        ("talk-a_0.000_0.250", 0.25, "talk-A", "angry"),
        ("talk-a_0.250_0.500", 0.25, "talk-A", "happy"),
        ("talk-b", 0.5, "talk-B", "neutral"),
    ]
    for row in rows:
        assert (
            soundfile.info(row.path(tmp_path / "data")).frames == 16000 * row.duration
        )


def test_names_that_repeat(audformat, tmp_path, tone):
    for name in ("x/1.wav", "y/1.wav"):
        tone(tmp_path / "db" / name)
    database = audformat.Database("db", languages=["eng"])
    database["e"] = audformat.Table(audformat.filewise_index(["x/1.wav", "y/1.wav"]))
    database["e"]["emotion"] = audformat.Column()
    database["e"]["emotion"].set("joy")
    database.save(str(tmp_path / "db"))
    path = exchange.import_table("audformat", tmp_path / "db", "db", tmp_path / "m")
    assert [row.ID for row in rows_of(path)] == ["db-x/1", "db-y/1"]
    assert {row.split for row in rows_of(path)} == {"train"}


def test_files_elsewhere_and_missing(audformat, tmp_path, tone):
    there = [tone(tmp_path / name) for name in ("out.wav", "db/in.wav")]
    files = [*map(str, there), "gone.wav"]
    database = audformat.Database("db", languages=["eng"])
    database["e"] = audformat.Table(audformat.filewise_index(files))
    database["e"]["emotion"] = audformat.Column()
    database["e"]["emotion"].set("joy")
    database.save(str(tmp_path / "db"))
    path = exchange.import_table("audformat", tmp_path / "db", "db", tmp_path / "m")
    assert [(row.ID, row.has_audio) for row in rows_of(path)] == [
        ("db-gone", False),
        ("db-in", True),
    ]
    (rejected,) = manifest.read_sidecar(path)["rejected"]
    assert "lies outside" in rejected["reason"]


@pytest.mark.parametrize("name", ["yaml", "emotion.train.parquet", "files.parquet"])
@pytest.mark.parametrize("data", [b"", b"\xff\xfe\0", b"a: [", b"x,y\n1", None])
def test_broken_databases(audformat, odd, tmp_path, name, data):
    folder = exchange.export_manifest("audformat", odd, tmp_path / "root", tmp_path)
    if data is None:
        (folder / f"db.{name}").unlink()
    else:
        (folder / f"db.{name}").write_bytes(data)
    with pytest.raises(UserError, match="odd one"):
        exchange.import_table("audformat", folder, "odd", tmp_path / "b")


class Payload:
    """What runs code when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("beside", ["csv", "parquet", "nothing", "a newer csv"])
def test_a_pickle_is_never_loaded(foreign, tmp_path, beside):
    """By audformat it is preferred to the table that it lies beside."""
    kind = beside if beside == "parquet" else "csv"
    foreign.save(str(tmp_path / "data/mine"), storage_format=kind)
    folder, mark = tmp_path / "data/mine", tmp_path / "it ran"
    table = folder / f"db.emotion.{kind}"
    (folder / "db.emotion.pkl").write_bytes(pickle.dumps(Payload(mark)))
    os.utime(table, (1, 1) if "newer" not in beside else (2e9, 2e9))
    if beside == "nothing":
        table.unlink()
        with pytest.raises(UserError, match="db.emotion.pkl is a pickle.*as CSV"):
            exchange.import_table("audformat", folder, "mine", tmp_path / "m")
    else:
        path = exchange.import_table("audformat", folder, "mine", tmp_path / "m")
        assert len(manifest.read(path)) == 20
    assert not mark.exists()


def test_a_header_runs_no_code(foreign, tmp_path):
    folder, mark = save(foreign, tmp_path), tmp_path / "it ran"
    with (folder / "db.yaml").open("a") as stream:
        stream.write(f"meta: !!python/object/apply:os.mkdir ['{mark}']\n")
    with pytest.raises(UserError, match="no audformat database"):
        exchange.import_table("audformat", folder, "mine", tmp_path / "m")
    assert not mark.exists()


def test_a_header_that_unfolds_without_end(foreign, tmp_path):
    folder = save(foreign, tmp_path)
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with (folder / "db.yaml").open("a") as stream:
        stream.write("\n".join(["a0: &a0 x", *lines, ""]))
    with pytest.raises(UserError, match="over 1,000,000 values"):
        exchange.import_table("audformat", folder, "mine", tmp_path / "m")


def test_a_table_elsewhere(foreign, tmp_path):
    """Neither by its name nor by a link."""
    folder = save(foreign, tmp_path)
    table, private = folder / "db.emotion.parquet", tmp_path / "data/private.parquet"
    table.rename(private)
    args = ("audformat", folder, "mine", tmp_path / "m")
    table.symlink_to(private)
    with pytest.raises(UserError, match="leads by a link out"):
        exchange.import_table(*args)
    table.unlink()
    header = (folder / "db.yaml").read_text()
    bad = header.replace(
        "\n  emotion:\n    type: f", "\n  x/../../private:\n    type: f"
    )
    assert bad != header
    (folder / "db.yaml").write_text(bad)
    with pytest.raises(UserError, match="lies outside|no audformat database"):
        exchange.import_table(*args)


def test_links_out_of_a_corpus_are_not_followed(audformat, tmp_path, tone):
    """But a link right in its folder is its owner's, as exports make them."""
    for name in ("private/a.wav", "private/b.wav", "db/in/c.wav"):
        tone(tmp_path / name)
    (tmp_path / "db/in/a.wav").symlink_to(tmp_path / "private/a.wav")
    (tmp_path / "db/a.wav").symlink_to(tmp_path / "private/a.wav")
    (tmp_path / "db/linked").symlink_to(tmp_path / "private")
    database = audformat.Database("db", languages=["eng"])
    files = ["in/a.wav", "a.wav", "in/c.wav", "linked/b.wav"]
    database["e"] = audformat.Table(audformat.filewise_index(files))
    database["e"]["emotion"] = audformat.Column()
    database["e"]["emotion"].set("joy")
    database.save(str(tmp_path / "db"))
    path = exchange.import_table("audformat", tmp_path / "db", "db", tmp_path / "m")
    assert {row.wav.partition("/db/")[2] for row in manifest.read(path)} == {
        "in/c.wav",
        "linked/b.wav",
    }


# --- Lhotse ---


def test_emodb_through_lhotse(lhotse, emodb, restored, tmp_path):
    folder = exchange.export_manifest("lhotse", emodb, restored, tmp_path / "l")
    back = exchange.import_table(
        *("lhotse", folder, "emodb", tmp_path / "b"),
        data_folder=restored / "emodb",
        splits="official",
    )
    assert manifest.read(back) == manifest.read(emodb)


def test_every_column_through_lhotse(lhotse, odd, tmp_path):
    folder = exchange.export_manifest("lhotse", odd, tmp_path / "root", tmp_path / "l")
    back = exchange.import_table(
        *("lhotse", folder, "odd", tmp_path / "b"),
        data_folder=tmp_path / "root/odd one",
        splits="official",
    )
    assert rows_of(back) == rows_of(odd)


def test_what_lhotse_reads(lhotse, odd, tmp_path):
    folder = exchange.export_manifest("lhotse", odd, tmp_path / "root", tmp_path / "l")
    found = lhotse.recipes.utils.read_manifests_if_cached(
        ["train", "dev", "test"], folder, prefix="odd"
    )
    assert set(found) == {"train", "dev", "test"}
    rows = {row.ID: row for row in manifest.read(odd)}
    for part in found.values():
        lhotse.validate_recordings_and_supervisions(**part)
        cuts = lhotse.CutSet.from_manifests(**part)
        for cut in cuts:
            (supervision,) = cut.supervisions
            row = rows[supervision.id]
            assert cut.duration == pytest.approx(row.duration, abs=1e-4)
            assert cut.sampling_rate == row.sample_rate
            assert supervision.custom.get("emotion", "") == row.emotion
            assert cut.load_audio().shape[-1] == cut.num_samples


@pytest.fixture()
def talk(lhotse, tmp_path, tone):
    """Recordings and supervisions that a test may change before they are written."""
    files = {"a": tone(tmp_path / "data/talk/a.wav")}
    files["b"] = tone(tmp_path / "data/talk/b.wav", channels=2)
    files["out"] = tone(tmp_path / "out.wav")
    recordings = [
        lhotse.Recording.from_file(path, recording_id=name)
        for name, path in files.items()
    ]
    new = lhotse.SupervisionSegment
    kinds = {"speaker": "A", "language": "en-US", "custom": {"emotion": "Anger"}}
    supervisions = [
        new("a1", "a", 0.0, 0.25, gender="F", text="left", **kinds),
        new("a2", "a", 0.25, 0.25, gender="m", **kinds),
        new("b1", "b", 0.0, 0.5, channel=[0, 1], **kinds),
        new("b2", "b", 0.0, 0.5, channel=1, **kinds),
        new("gone", "z", 0.0, 0.5, **kinds),
        new("out", "out", 0.0, 0.5, **kinds),
        new("mute", "a", 0.0, 0.5, speaker="A"),
    ]
    folder = tmp_path / "manifests"
    folder.mkdir()
    sets = (
        lhotse.RecordingSet.from_recordings(recordings),
        lhotse.SupervisionSet.from_segments(supervisions),
    )
    sets[0].to_file(folder / "recordings.jsonl.gz")
    sets[1].to_file(folder / "supervisions_test.jsonl")
    return folder


def test_recordings_of_ones_own(talk, tmp_path):
    path = exchange.import_table(
        *("lhotse", talk, "talk", tmp_path / "m"),
        data_folder=tmp_path / "data/talk",
        splits="official",
    )
    rows = rows_of(path)
    assert [(r.ID, r.duration, r.gender, r.text) for r in rows] == [
        ("talk-a1", 0.25, "female", "left"),
        ("talk-a2", 0.25, "male", ""),
        ("talk-b1", 0.5, "", ""),
    ]
    assert {(row.emotion, row.language, row.split) for row in rows} == {
        ("angry", "en", "test")
    }
    assert rows[0].wav == "$data_root/talk/a/a1.wav"
    assert soundfile.info(rows[0].path(tmp_path / "data")).duration == 0.25
    reasons = {
        entry["path"].removeprefix("supervision "): entry["reason"]
        for entry in manifest.read_sidecar(path)["rejected"]
    }
    assert set(reasons) == {"b2", "gone", "out", "mute"}
    assert reasons["b2"].startswith("one channel of several")
    assert reasons["gone"] == "no recording z"
    assert "lies outside" in reasons["out"]
    assert "no emotion" in reasons["mute"]


@pytest.mark.parametrize("data", [b"", b"{}", b'{"id": 1}', b"\x1f\x8b", None])
def test_broken_lhotse_manifests(talk, tmp_path, data):
    broken = talk / "recordings.jsonl.gz"
    if data is None:
        broken.unlink()
    else:
        broken.write_bytes(data if data[:1] == b"\x1f" else gzip.compress(data))
    with pytest.raises(UserError):
        exchange.import_table("lhotse", talk, "talk", tmp_path / "m")


def lhotse_manifests(folder, source, **changes):
    """A recording and its supervision, as JSON."""
    folder.mkdir(exist_ok=True)
    sources = [{"type": "file", "channels": [0], "source": source}]
    recording = {"id": "a", "sources": sources, "sampling_rate": 16000}
    recording |= {"num_samples": 8000, "duration": 0.5}
    supervision = {
        **{"id": "a", "recording_id": "a", "start": 0.0, "duration": 0.5, "channel": 0},
        **{"language": "en", "custom": {"emotion": "joy"}},
        **changes,
    }
    (folder / "recordings.jsonl").write_text(json.dumps(recording))
    (folder / "supervisions.jsonl").write_text(json.dumps(supervision))
    return folder


@pytest.mark.parametrize("name", ["a.m3u8", "a.mp4", "a.mkv"])
def test_a_playlist_brings_no_other_recording(tmp_path, tone, name):
    pytest.importorskip("av", reason="PyAV is not installed")
    private = tone(tmp_path / "private/secret.mp3")
    folder = lhotse_manifests(tmp_path / "talk", name)
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:0.5,", str(private)]
    (folder / name).write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    with pytest.raises(UserError, match="none of 1 files can be used.*does not decode"):
        exchange.import_table("lhotse", folder, "talk", tmp_path / "m")
    assert not list(folder.glob("*.wav"))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 7},
        {"recording_id": []},
        {"start": "0"},
        {"duration": None},
        {"channel": {}},
        {"custom": "joy"},
        {"text": ["x"]},
        {"start": float("nan")},
        {"duration": float("inf")},
        {"start": -1.0},
        {"duration": 10**400},
        {"id": "a\0b"},
        {"id": "\ud800"},
        {"custom": {"emotion": {"a": [[]]}}},
        {"custom": {"emotion": "joy", "session": "\ud800"}},
    ],
)
def test_supervisions_of_other_types(tmp_path, tone, changes):
    tone(tmp_path / "talk/a.wav")
    folder = lhotse_manifests(tmp_path / "talk", "a.wav", **changes)
    with contextlib.suppress(UserError):
        path = exchange.import_table("lhotse", folder, "talk", tmp_path / "m")
        assert len(manifest.read(path)) == 1


def test_a_lhotse_manifest_that_unpacks_without_end(tmp_path, monkeypatch):
    folder = lhotse_manifests(tmp_path / "talk", "a.wav")
    (folder / "recordings.jsonl").unlink()
    (folder / "recordings.jsonl.gz").write_bytes(gzip.compress(bytes(300_000_000)))
    with pytest.raises(UserError, match="unpacks to over 268,435,456 bytes"):
        exchange.import_table("lhotse", folder, "talk", tmp_path / "m")


# --- datasets ---


def test_emodb_as_datasets(datasets, emodb, restored):
    parts = exchange._module("datasets").to_datasets(emodb, restored, decode=False)
    rows = manifest.read(emodb)
    assert {name: len(part) for name, part in parts.items()} == {
        "train": sum(row.split == "train" for row in rows),
        "validation": sum(row.split == "valid" for row in rows),
        "test": sum(row.split == "test" for row in rows),
    }
    found = [dict(row) for part in parts.values() for row in part]
    files = [row.pop("audio")["path"] for row in found]
    assert files == [manifest.Row(**row).path(restored) for row in found]
    assert sorted(found, key=lambda row: row["ID"]) == [
        dataclasses.asdict(row) for row in rows_of(emodb)
    ]


def test_odd_texts_as_datasets(datasets, odd, tmp_path):
    parts = exchange._module("datasets").to_datasets(
        odd, tmp_path / "root", decode=False
    )
    found = datasets.concatenate_datasets(list(parts.values())).sort("ID")
    for row, theirs in zip(rows_of(odd), found, strict=True):
        assert theirs.pop("audio")["path"] == row.path(tmp_path / "root")
        assert theirs == dataclasses.asdict(row)


def test_audio_of_datasets(datasets, odd, tmp_path):
    try:
        import torchcodec  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"datasets decodes by torchcodec, which does not load: {error}")
    parts = exchange._module("datasets").to_datasets(odd, tmp_path / "root", 16000)
    assert parts["test"][0]["audio"]["sampling_rate"] == 16000


def test_datasets_on_disk(datasets, odd, tmp_path):
    folder = exchange.export_manifest(
        "datasets", odd, tmp_path / "root", tmp_path / "hf"
    )
    parts = datasets.load_from_disk(str(folder))
    assert set(parts) == {"train", "validation", "test"}
    assert parts["train"].features["audio"] == datasets.Audio()
    raw = parts["train"].cast_column("audio", datasets.Audio(decode=False))[0]
    row = next(row for row in manifest.read(odd) if raw["ID"] == row.ID)
    with open(row.path(tmp_path / "root"), "rb") as stream:
        assert raw["audio"]["bytes"] == stream.read()


def test_without_audio(datasets, odd, tmp_path, caplog):
    rows = manifest.read(odd)
    rows[0].sample_rate, rows[0].duration = 0, 0.0
    manifest.write(odd, rows, {"corpus": "odd"})
    parts = exchange._module("datasets").to_datasets(
        odd, tmp_path / "root", decode=False
    )
    assert sum(map(len, parts.values())) == 26
    assert "1 of 27 utterances have no audio" in caplog.text
    for row in rows:
        row.sample_rate = 0
    manifest.write(odd, rows, {"corpus": "odd"})
    with pytest.raises(UserError, match="no utterance has audio"):
        exchange.export_manifest("datasets", odd, tmp_path / "root", tmp_path / "hf")


# --- What all have in common ---


@pytest.mark.parametrize("kind", ["audformat", "lhotse", "datasets"])
def test_an_absent_library(kind, odd, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(UserError, match=rf"{kind} is not .*pip install .*\[exchange\]"):
        exchange.export_manifest(kind, odd, tmp_path / "root", tmp_path)


@pytest.mark.parametrize("kind", ["audformat", "lhotse", "datasets"])
def test_an_unwritable_folder(kind, request, odd, tmp_path):
    request.getfixturevalue(kind)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write .*--save_folder"):
        exchange.export_manifest(kind, odd, tmp_path / "root", tmp_path / "file")


@pytest.mark.parametrize("kind", ["audformat", "lhotse", "datasets"])
def test_a_wrong_data_root(kind, request, odd, tmp_path):
    request.getfixturevalue(kind)
    with pytest.raises(UserError, match="no file .*train/.*: pass the --data_root"):
        exchange.export_manifest(kind, odd, tmp_path / "elsewhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_not_utf8(odd, tmp_path):
    rows = manifest.read(odd)
    rows[0].text = "\udcff"
    manifest.write(odd, rows, {"corpus": "odd"})
    with pytest.raises(UserError, match="not UTF-8: rename"):
        exchange.export_manifest("audformat", odd, tmp_path / "root", tmp_path)


def test_a_language_without_a_code(audformat, odd, tmp_path):
    rows = manifest.read(odd)
    for row in rows:
        row.language = "mixed"
    manifest.write(odd, rows, {"corpus": "odd"})
    folder = exchange.export_manifest("audformat", odd, tmp_path / "root", tmp_path)
    back = ("audformat", folder, "odd", tmp_path / "b")
    with pytest.raises(UserError, match="choose one by --language"):
        exchange.import_table(*back)
    exchange.import_table(*back, language="sw")


def test_a_manifest_of_two_corpora(audformat, odd, tmp_path):
    rows = manifest.read(odd)
    rows[1].wav = "$data_root/even/a.wav"
    manifest.write(odd, rows, {"corpus": "odd"})
    with pytest.raises(UserError, match="even and odd one: export one"):
        exchange.export_manifest("audformat", odd, tmp_path / "root", tmp_path)


def found(*languages: str, emotion: str = "joy") -> Table:
    return Table(
        [
            Found(Utterance(f"u{i}", f"{i}.wav", "", emotion), language)
            for i, language in enumerate(languages)
        ]
    )


@pytest.fixture()
def folder(tmp_path, tone):
    for i in range(3):
        tone(tmp_path / f"data/x/{i}.wav")
    return tmp_path / "data/x"


@pytest.mark.parametrize(
    "languages, given, kept",
    [
        (("de", "de", "de"), "", 3),
        (("de", "", "de"), "", 3),
        (("de", "en", ""), "de", 2),
        (("", "", ""), "de", 3),
    ],
)
def test_languages(folder, tmp_path, languages, given, kept):
    path = exchange.take_in(
        found(*languages), "x", folder, tmp_path / "m", language=given
    )
    assert [row.language for row in manifest.read(path)] == ["de"] * kept


@pytest.mark.parametrize(
    "languages, given, error",
    [
        (("de", "en", ""), "", "the languages de, en: choose one by --language"),
        (("", "", ""), "", "none that its table tells: choose one"),
        (("de", "de", "de"), "en", "no utterance in en, only de"),
    ],
)
def test_unclear_languages(folder, tmp_path, languages, given, error):
    with pytest.raises(UserError, match=error):
        exchange.take_in(found(*languages), "x", folder, tmp_path / "m", language=given)


@pytest.mark.parametrize("name", ["", "My db", "x/y", "../x", "Emodb", "x\n"])
def test_names(folder, tmp_path, name):
    with pytest.raises(UserError, match="no name for a corpus"):
        exchange.take_in(found("de"), name, folder, tmp_path / "m")


def test_a_name_of_the_registry(folder, tmp_path, caplog):
    exchange.take_in(found("de"), "urdu", folder, tmp_path / "m")
    assert "urdu is also a corpus of the registry" in caplog.text


def test_wrong_labels(folder, tmp_path):
    with pytest.raises(UserError, match="'joyful' is no emotion that 'joy' can"):
        exchange.take_in(
            found("de"), "x", folder, tmp_path / "m", labels={"joy": "joyful"}
        )


def test_a_second_import_does_nothing(folder, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = exchange.take_in(found("de"), "x", folder, tmp_path / "m")
    written = path.stat().st_mtime_ns
    exchange.take_in(found("de"), "x", folder, tmp_path / "m")
    assert path.stat().st_mtime_ns == written
    assert "is up to date" in caplog.text


def test_lookup(folder, tmp_path):
    exchange.take_in(found("de"), "x", folder, tmp_path / "m")
    item = exchange.lookup("x", tmp_path / "m")
    assert (item.name, item.title, item.language) == ("x", "x", "de")
    assert item.locate(tmp_path / "data") == folder
    assert exchange.lookup("urdu", tmp_path / "m") is corpus.get("urdu")
    with pytest.raises(UserError, match="unknown corpus 'urd': did you mean urdu"):
        exchange.lookup("urd", tmp_path / "m")
    (tmp_path / "m/x.csv").write_text("ID\n")
    with pytest.raises(UserError, match="changed by hand"):
        exchange.lookup("x", tmp_path / "m")
    manifest.write(tmp_path / "m/x.csv", [], {})
    with pytest.raises(UserError, match="holds no utterance"):
        exchange.lookup("x", tmp_path / "m")


def test_known_labels():
    known = exchange.known_labels()
    assert set(known.values()) <= set(WIDE)
    for native, wide in {
        "anger": "angry",
        "happiness": "happy",
        "joy": "happy",
        "sadness": "sad",
        "neutral": "neutral",
        "fear": "fear",
        "boredom": "boredom",
        "surprise": "surprise",
    }.items():
        assert known[native] == wide
    assert not any(len(native) < 3 for native in known)


def test_no_library_is_imported_before_it_is_needed():
    code = (
        "import sys; from data_prep import exchange\n"
        "sys.exit(any(name in sys.modules for name in (*exchange.MODULES, 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
