"""From folder to manifest: rejections are counted, re-runs do only what is needed."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from data_prep import audio, corpus, manifest, prepare
from data_prep.corpus import Utterance
from data_prep.errors import UserError

URDU = corpus.get("urdu")


@pytest.fixture()
def folder(tmp_path, tone):
    """Three speakers of URDU's shape."""
    for speaker in ("SM1", "SM2", "SF3"):
        for emotion in ("Angry", "Happy", "Neutral", "Sad"):
            for i in (1, 2):
                name = f"{speaker}_F{i}_{emotion[0]}00{i}.wav"
                tone(tmp_path / f"urdu/{emotion}/{name}")
    return tmp_path / "urdu"


def run(folder, out, **kwargs):
    path = prepare.prepare(URDU, folder, out, **{"policy": "speaker", **kwargs})
    return path, manifest.read(path), manifest.read_sidecar(path)


def test_manifest(folder, tmp_path):
    path, rows, sidecar = run(folder, tmp_path / "new/out")
    assert path == tmp_path / "new/out/urdu.csv"
    assert len(rows) == 24
    assert {row.split for row in rows} == {"train", "valid", "test"}
    row = rows[0]
    assert row.wav == "$data_root/urdu/Angry/SF3_F1_A001.wav"
    assert (row.duration, row.sample_rate) == (0.5, 16000)
    assert sidecar["corpus"] == "urdu"
    assert sidecar["options"] == {"splits": "speaker", "decode": False, "merged": {}}
    assert {row.category for row in rows} == {"angry", "happy", "neutral", "sad"}
    assert sidecar["counts"]["utterances"] == 24
    assert sidecar["counts"]["hours"] == pytest.approx(12 / 3600, abs=1e-4)
    assert sidecar["rejected"] == sidecar["missing"] == []
    assert sidecar["tool_version"]
    assert sidecar["standin"] is False


def damage(folder, tone, blank):
    """Spoil files in every way that the tests of ``audio`` know the reasons of."""
    good = tone(folder.parent / "good.wav").read_bytes()
    angry = folder / "Angry"
    (angry / "SM1_F1_A001.wav").write_bytes(b"")
    (angry / "SM1_F2_A002.wav").write_bytes(good[:-8000])
    (angry / "SM2_F1_A001.wav").write_text("no audio")
    blank(angry / "SM2_F2_A002.wav", 1.0)  # silent: found by decoding only
    tone(folder / "Sad/SM1_F1_S001.wav", channels=2)
    tone(folder / "Sad/SM1_F2_S002.wav", rate=48000, subtype="PCM_24")
    tone(folder / "Sad/SM9_F1_X001.wav")


@pytest.mark.parametrize("decode, unusable", [(False, 3), (True, 4)])
def test_bad_files_are_counted(folder, tmp_path, tone, blank, caplog, decode, unusable):
    damage(folder, tone, blank)
    _, rows, sidecar = run(folder, tmp_path, decode=decode)
    assert len(rows) == 24 - unusable
    reasons = {
        entry["path"].split("/")[1]: entry["reason"] for entry in sidecar["rejected"]
    }
    assert len(reasons) == len(sidecar["rejected"]) == unusable + 1
    assert reasons["SM1_F1_A001.wav"] == "empty file"
    assert "truncated" in reasons["SM1_F2_A002.wav"]
    assert "not an audio file" in reasons["SM2_F1_A001.wav"]
    assert reasons.get("SM2_F2_A002.wav") == ("silent" if decode else None)
    assert "file name X" in reasons["SM9_F1_X001.wav"]
    assert sidecar["stereo"] == 1
    by_id = {row.ID: row for row in rows}
    assert by_id["urdu-SM1_F2_S002"].sample_rate == 48000
    assert audio.load(by_id["urdu-SM1_F2_S002"].path(tmp_path)).shape == (8000,)
    messages = [record.getMessage() for record in caplog.records]
    assert any("empty file" in message for message in messages)
    assert any(f"all {unusable + 1} rejected files" in message for message in messages)


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../other/a.wav"},
        {"path": "/etc/passwd"},
        {"path": "a/../../b.wav"},
        {"media": "../../long.wav"},
    ],
)
def test_a_label_file_leads_to_no_file_elsewhere(folder, changes):
    good = Utterance("a", "a.wav", "s", "Sad")
    hostile = replace(good, id="b", **changes)
    declared = replace(URDU, utterances=lambda folder: iter([good, hostile]))
    found, (rejected,) = prepare.walk(declared, folder)
    assert found == [good]
    assert "leads out" in rejected.reason


def test_a_name_with_a_zero_is_no_file(folder):
    odd = [Utterance(name, f"{name}.wav", "s", "Sad") for name in ("a\0", "b")]
    declared = replace(URDU, utterances=lambda folder: iter(odd))
    found, (rejected,) = prepare.walk(declared, folder)
    assert found == odd[1:]
    assert rejected.path == "a\0.wav"


def test_segments_of_a_long_recording(folder, tmp_path, tone):
    tone(folder / "long.flac", rate=48000)
    parts = [
        Utterance(
            f"{i}",
            f"long/{i}.wav",
            "",
            "Sad",
            media="long.flac",
            start=i / 5,
            stop=(i + 1) / 5,
        )
        for i in range(3)
    ]
    declared = replace(
        URDU, utterances=lambda folder: iter(parts), speakers=0, paper_split=None
    )
    path = prepare.prepare(declared, folder, tmp_path)
    first, second = manifest.read(path)
    assert (first.duration, first.sample_rate, first.speaker) == (0.2, 16000, "")
    assert (folder / "long/1.wav").is_file()
    sidecar = manifest.read_sidecar(path)
    (entry,) = sidecar["rejected"]  # the third would end at 0.6 of 0.5 s
    assert entry["path"] == "long.flac"
    assert sidecar["speaker_disjoint"] is None
    assert sidecar["options"]["splits"] == "none"


def test_nothing_usable(folder, tmp_path):
    for path in folder.rglob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of 24 files can be used.*empty file"):
        run(folder, tmp_path)


@pytest.fixture()
def opened(monkeypatch):
    """The audio files that were opened."""
    paths = set()
    system_open = os.open

    def watch(path, *args, **kwargs):
        if str(path).endswith(".wav"):
            paths.add(path)
        return system_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", watch)
    return paths


def test_a_second_run_does_nothing(folder, tmp_path, opened):
    path, _, _ = run(folder, tmp_path)
    assert len(opened) == 24
    written = path.stat().st_mtime_ns, manifest.sidecar_path(path).stat().st_mtime_ns
    opened.clear()
    run(folder, tmp_path)
    assert not opened
    assert written == (
        path.stat().st_mtime_ns,
        manifest.sidecar_path(path).stat().st_mtime_ns,
    )


def test_a_stricter_manifest_will_do(folder, tmp_path, opened):
    run(folder, tmp_path, decode=True)
    opened.clear()
    _, _, sidecar = run(folder, tmp_path, decode=False)
    assert not opened
    assert sidecar["options"]["decode"] is True


def new_file(folder):
    shutil.copy(folder / "Sad/SM1_F1_S001.wav", folder / "Sad/SM1_F8_S008.wav")


def removed_file(folder):
    (folder / "Sad/SM1_F1_S001.wav").unlink()


def changed_file(folder):
    (folder / "Sad/SM1_F1_S001.wav").write_bytes(b"")


def moved_label(folder):
    shutil.move(folder / "Sad/SM1_F1_S001.wav", folder / "Angry/SM1_F1_A009.wav")


@pytest.mark.parametrize("change", [new_file, removed_file, changed_file, moved_label])
def test_changed_files_are_redone(folder, tmp_path, change):
    _, before, _ = run(folder, tmp_path)
    change(folder)
    _, after, _ = run(folder, tmp_path)
    assert after != before


def test_a_mended_file_comes_back(folder, tmp_path):
    path = folder / "Sad/SM1_F1_S001.wav"
    data = path.read_bytes()
    path.write_bytes(b"")
    assert len(run(folder, tmp_path)[1]) == 23
    path.write_bytes(data)
    assert len(run(folder, tmp_path)[1]) == 24


@pytest.mark.parametrize("change", ["decode", "moved", "edited", "half", "rules"])
def test_other_options_and_broken_manifests_are_redone(
    folder, tmp_path, opened, monkeypatch, change
):
    path, rows, _ = run(folder, tmp_path)
    opened.clear()
    options = {}
    if change == "decode":
        options = {"decode": True}
    elif change == "moved":
        folder = folder.rename(tmp_path / "elsewhere")
    elif change == "edited":
        path.write_text(path.read_text().replace(",sad,", ",happy,"))
    elif change == "half":
        manifest.sidecar_path(path).unlink()
    elif change == "rules":
        monkeypatch.setitem(URDU.emotions, "Angry", "contempt")
    _, again, sidecar = run(folder, tmp_path, **options)
    assert len(opened) == 24
    assert (again == rows) == (change not in ("moved", "rules"))
    if change == "moved":
        assert again[0].wav.startswith("$data_root/elsewhere/")


def test_other_split_is_redone(restored, tmp_path):
    _, paper, _ = run(restored / "urdu", tmp_path, policy="paper")
    _, speaker, sidecar = run(restored / "urdu", tmp_path, policy="speaker")
    assert [row.split for row in paper] != [row.split for row in speaker]
    assert sidecar["options"]["splits"] == "speaker"


def test_an_interrupted_run_is_redone(folder, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path)
    assert not (tmp_path / "urdu.csv").exists()
    monkeypatch.undo()
    assert len(run(folder, tmp_path)[1]) == 24


def test_a_linked_folder_keeps_the_name_it_is_found_by(folder, tmp_path):
    (tmp_path / "root").mkdir()
    link = tmp_path / "root/urdu"
    link.symlink_to(folder.rename(tmp_path / "big disk"), target_is_directory=True)
    _, rows, _ = run(link, tmp_path)
    assert rows[0].path(tmp_path / "root") == str(link / "Angry/SF3_F1_A001.wav")


def test_sidecar_is_readable_json(folder, tmp_path):
    path, _, _ = run(folder, tmp_path)
    sidecar = json.loads(manifest.sidecar_path(path).read_text(encoding="utf-8"))
    assert sidecar["schema"] == manifest.SCHEMA
    assert sidecar["counts"]["native"] == dict.fromkeys(URDU.emotions, 6)


TOGETHER = """
import sys, time
from pathlib import Path
from data_prep import corpus, manifest
from data_prep.prepare import prepare

folder, out, start = sys.argv[1:]
for attempt in range(30):
    time.sleep(max(0, float(start) + 0.05 * attempt - time.time()))
    path = prepare(corpus.get("urdu"), Path(folder), Path(out, str(attempt)), "speaker")
    manifest.read_sidecar(path)
"""


def test_several_processes_prepare_at_once(folder, tmp_path):
    """Each finds a whole manifest when it is done, whoever has written it."""
    start = str(time.time() + 1)
    command = [sys.executable, "-c", TOGETHER, folder, tmp_path / "out", start]
    started = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    complaints = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, complaints


def test_a_manifest_of_an_earlier_version_is_written_anew(tmp_path, tone, caplog):
    """Silently, as it lacks a column; one that was imported is read as it is."""
    tone(tmp_path / "emodb/03a01Fa.wav")
    item = corpus.get("emodb")
    path = prepare.prepare(item, tmp_path / "emodb", tmp_path, "speaker")
    with path.open(newline="") as stream:
        lines = [dict(line) for line in csv.DictReader(stream)]
    old = [{k: v for k, v in line.items() if k != "sentence"} for line in lines]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(old[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(old)
    sidecar = json.loads(path.with_suffix(".json").read_text())
    sidecar |= {"schema": 3, "fingerprint": "of version 3"}
    sidecar["sha256"] = manifest.file_sha256(path)
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    (row,) = manifest.read(path)
    assert row.sentence == ""
    caplog.clear()
    prepare.prepare(item, tmp_path / "emodb", tmp_path, "speaker")
    (row,) = manifest.read(path)
    assert (row.sentence, row.text) == ("a01", "")
    assert not [
        r for r in caplog.records if "emodb.csv" in r.message and r.levelno > 30
    ]
