"""The manifest: round trip, refusals, and writes that leave nothing half done."""

import contextlib
import csv
import dataclasses
import errno
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep import manifest
from data_prep.errors import UserError
from data_prep.manifest import Row
from data_prep.vocabulary import WIDE


def row(**changes) -> Row:
    values = {
        "ID": "x-1",
        "duration": 1.5,
        "wav": "$data_root/x/1.wav",
        "sample_rate": 16000,
        "corpus": "x",
        "language": "de",
        "speaker": "x-a",
        "emotion": "sad",
        "native_emotion": "sadness",
        "split": "train",
    }
    return Row(**{**values, **changes})


def test_round_trip(tmp_path):
    rows = [
        row(text='He said: "no",\nand left', speaker="x-Richard’s Date"),
        row(ID="x-2", emotion="", wav="$data_root/x/Cole\u0301re, été/2.wav"),
        row(ID="x-3", wav="$data_root/x/Col\udc8are/3.wav"),
    ]
    manifest.write(tmp_path / "x.csv", rows, {"corpus": "x"})
    assert manifest.read(tmp_path / "x.csv") == rows
    assert manifest.read_sidecar(tmp_path / "x.csv")["corpus"] == "x"


def test_columns_are_the_contract(tmp_path):
    manifest.write(tmp_path / "x.csv", [row()], {})
    with open(tmp_path / "x.csv", encoding="utf-8", newline="") as stream:
        header = next(csv.reader(stream))
    required = "ID duration wav sample_rate corpus language speaker emotion"
    optional = "gender intensity text sentence session category arousal valence "
    optional += "dominance audio_sha256"
    assert " ".join(header) == f"{required} native_emotion split {optional}"


@pytest.mark.parametrize("columns", [10, 14])
def test_optional_columns_may_be_absent(tmp_path, columns):
    """As in manifests written before a column was added."""
    path = tmp_path / "x.csv"
    manifest.write(path, [row()], {})
    with path.open(encoding="utf-8", newline="") as stream:
        lines = [line[:columns] for line in csv.reader(stream)]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)
    assert manifest.read(path) == [row()]


def test_columns_may_come_in_any_order(tmp_path):
    path = tmp_path / "x.csv"
    manifest.write(path, [row(), row(ID="x-2", text="a, b")], {})
    with path.open(encoding="utf-8", newline="") as stream:
        lines = [line[::-1] for line in csv.reader(stream)]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)
    assert manifest.read(path) == [row(), row(ID="x-2", text="a, b")]


TEXT = st.text(max_size=20) | st.sampled_from(
    ["", ",", '"', "\r", "\n", "\r\n", "a\tb"]
)
ROWS = st.builds(
    Row,
    ID=TEXT,
    duration=st.floats(0, 1e6),
    wav=(
        TEXT | st.binary(max_size=9).map(lambda b: b.decode("utf-8", "surrogateescape"))
    ).map(lambda name: f"$data_root/{name}"),
    sample_rate=st.integers(0, 192000),
    emotion=st.sampled_from([*manifest.EMOTIONS, ""]),
    split=st.sampled_from(manifest.SPLITS),
    category=st.sampled_from([*WIDE, ""]),
    **dict.fromkeys(
        ("corpus", "language", "speaker", "native_emotion", "gender"), TEXT
    ),
    **dict.fromkeys(("intensity", "text", "session", "arousal", "valence"), TEXT),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, max_size=20))
def test_any_rows_come_back_as_they_were_or_are_refused(tmp_path, rows):
    path = tmp_path / "x.csv"
    try:
        manifest.write(path, rows, {})
    except UserError:
        return
    assert manifest.read(path) == rows
    manifest.read_sidecar(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.integers(0, 300), st.integers(0, 40))
def test_any_damage_is_a_clear_error(tmp_path, data, place, length):
    path = tmp_path / "x.csv"
    manifest.write(path, [row(), row(ID="x-2")], {})
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + data + whole[place + length :])
    with contextlib.suppress(UserError):
        assert all(isinstance(item, Row) for item in manifest.read(path))
    if path.read_bytes() != whole:
        with pytest.raises(UserError):
            manifest.read_sidecar(path)


def test_pieces_of_a_long_manifest_are_one(tmp_path, monkeypatch):
    rows = [row(ID=f"x-{i}", text="\r" * (i == 4)) for i in range(10)]
    manifest.write(tmp_path / "a.csv", rows, {})
    monkeypatch.setattr(manifest, "ROWS_AT_ONCE", 3)
    manifest.write(tmp_path / "b.csv", rows, {})
    for name in ("a.csv", "b.csv"):
        assert manifest.read(tmp_path / name) == rows
        manifest.read_sidecar(tmp_path / name)
    assert len((tmp_path / "b.csv").read_text().splitlines()) == 1 + 10 + 1


@pytest.mark.parametrize(
    "rows, named",
    [
        ([row(), row(wav="$data_root/x/2.wav")], ["x-1", "x/1.wav", "x/2.wav"]),
        ([row(emotion="calm")], ["x-1", "calm", "neutral, happy, angry, sad"]),
        ([row(split="dev")], ["x-1", "dev", "train, valid, test"]),
        ([row(category="joy")], ["x-1", "joy", "fear"]),
        ([row(wav="$data_root/x/\0.wav")], ["x-1"]),
        ([row(wav="$data_root/x/../../1.wav")], ["x-1", "outside"]),
        ([row(wav="$data_root//etc/1.wav")], ["x-1", "outside"]),
        ([row(wav="/etc/1.wav")], ["x-1", "outside"]),
        ([row(text="half of \ud83d")], ["half of", "label file"]),
    ],
)
def test_bad_rows_are_not_written(tmp_path, rows, named):
    with pytest.raises(UserError) as caught:
        manifest.write(tmp_path / "x.csv", rows, {})
    assert all(name in str(caught.value) for name in named)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "old, new, named",
    [
        (",1.5,", ",long,", "line 2"),
        (",1.5,", ",nan,", "line 2"),
        (",1.5,", ",-1,", "line 2"),
        (",16000,", ",16000.5,", "line 2"),
        (",1.5,", ",", "line 2"),
        ("speaker", "spkr", "speaker"),
        ("session", "weather", "weather"),
        (",sad,", ",calm,", "calm"),
        ("$data_root/x/1", "$data_root/../1", "outside"),
        ("$data_root/x/1", "/etc/1", "outside"),
        (",train,", ",dev,", "dev"),
    ],
)
def test_edited_manifests_are_refused(tmp_path, old, new, named):
    path = tmp_path / "x.csv"
    manifest.write(path, [row()], {})
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=named):
        manifest.read(path)
    with pytest.raises(UserError, match="changed"):
        manifest.read_sidecar(path)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\xff" * 100, b"RIFF\x00\x00"])
def test_not_a_manifest(tmp_path, data):
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    with pytest.raises(UserError):
        manifest.read(path)
    with pytest.raises(UserError):
        manifest.read_sidecar(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"sha256": "00"}', "{", "[" * 9000, '{"a":' * 9000]
    + ['{"sha256": ["00"]}', '{"sha256": "00", "title": 1}', "9" * 9000],
)
def test_not_a_sidecar(tmp_path, text):
    path = tmp_path / "x.csv"
    manifest.write(path, [row()], {})
    manifest.sidecar_path(path).write_text(text)
    with pytest.raises(UserError, match="redo"):
        manifest.read_sidecar(path)


def test_missing_manifest_names_the_command(tmp_path):
    with pytest.raises(UserError, match="prepare"):
        manifest.read(tmp_path / "x.csv")


@pytest.mark.parametrize("call", [1, 2])
def test_interrupted_write_vouches_for_nothing(tmp_path, monkeypatch, call):
    path = tmp_path / "x.csv"
    manifest.write(path, [row()], {})
    replace, calls = os.replace, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt
        replace(*args)

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        manifest.write(path, [row(emotion="happy")], {})
    monkeypatch.undo()
    assert [item.name for item in tmp_path.iterdir()] == ["x.csv"]  # no leftovers
    assert len(manifest.read(path)) == 1  # whole, whichever of the two it is
    with pytest.raises(UserError):
        manifest.read_sidecar(path)


def test_full_disk(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        manifest.write(tmp_path / "x.csv", [row()], {})
    assert list(tmp_path.iterdir()) == []


def test_counts_are_of_the_four_emotions():
    rows = [
        row(),
        row(ID="x-2", emotion="", native_emotion="fear", speaker="x-b"),
        row(ID="x-3", split="test", speaker="", sample_rate=0, duration=0.0),
    ]
    counts = manifest.counts(rows)
    assert counts["utterances"] == 3
    assert counts["speakers"] == 2
    assert counts["without_audio"] == 1
    assert counts["native"] == {"fear": 1, "sadness": 2}
    assert counts["splits"]["train"]["utterances"] == 1
    assert counts["splits"]["train"]["speakers"] == 1
    assert counts["splits"]["test"] == {
        **dict.fromkeys(manifest.EMOTIONS, 0),
        "sad": 1,
        "utterances": 1,
        "speakers": 0,
    }


def test_emotions_have_a_fixed_order():
    assert manifest.EMOTIONS == ("neutral", "happy", "angry", "sad")
    assert [field.name for field in dataclasses.fields(Row)] == list(manifest.COLUMNS)
