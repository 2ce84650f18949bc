"""The readers of outside data in data_prep, with small unharmed files for each."""

import csv
import gzip
import io
import json
import os
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from data_prep import (
    archive,
    audio,
    corpus,
    exchange,
    hashes,
    manifest,
    media,
    outside,
    prepare,
)
from data_prep.audio import AudioError
from data_prep.corpus import Utterance
from data_prep.errors import UserError
from data_prep.ffmpeg import FFmpeg
from tests.data_prep import test_fuzz as labels
from tests.fuzz import Reader

RATE = 16000


def _contents(folder: Path) -> dict[str, bytes]:
    files = filter(Path.is_file, folder.rglob("*"))
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


# --- Manifests, JSON and CSV ---


def _manifest(folder: Path) -> dict[str, bytes]:
    rows = [
        manifest.Row(
            f"x-{i}",
            1.0,
            f"$data_root/x/{i}.wav",
            RATE,
            "x",
            "de",
            "x-a",
            "sad",
            "sadness",
            "test",
            text='Ja, "so"',
        )  # fmt: skip
        for i in range(3)
    ]
    manifest.write(folder / "x.csv", rows, {"corpus": "x", "title": "X"})
    return _contents(folder)


def _read_manifest(folder: Path) -> object:
    try:
        return exchange.lookup("x", folder)
    finally:
        manifest.read(folder / "x.csv")


def _json(_: Path) -> dict[str, bytes]:
    value = {"a": [1, 2.5, None, {"b": "é"}], "c": True, "d": {"e": {"f": "g"}}}
    return {"a.json": json.dumps(value).encode()}


def _csv(_: Path) -> dict[str, bytes]:
    stream = io.StringIO()
    csv.writer(stream).writerows([["ID", "text"], [1, 'a, "b"'], [2, "é\nü"]])
    return {"a.csv": stream.getvalue().encode()}


def _read_names(path: Path) -> list[Path]:
    """Each line is a name from outside."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        name = os.fsdecode(line)
        try:
            found.append(outside.inside(path.parent, name))
        except UserError:
            continue
        real = os.path.realpath(found[-1])
        assert real.startswith(os.path.realpath(path.parent) + os.sep), name
        assert outside.printable(name).isprintable() or name
    return found


def _names(_: Path) -> dict[str, bytes]:
    return {"names": b"a.wav\nwav/b.wav\n../c.wav\n/etc/passwd\nwav/../d.wav\n"}


# --- Corpora ---


def _label_files(_: Path) -> dict[str, bytes]:
    return {
        f"{name}/{path}": text.encode()
        for name, files in labels.LABEL_FILES.items()
        for path, text in files.items()
    }


def _read_labels(path: Path) -> object:
    folder = next(
        parent for parent in path.parents if parent.name in labels.LABEL_FILES
    )
    return prepare.walk(corpus.get(folder.name), folder)


def _marker(_: Path) -> dict[str, bytes]:
    return {"STANDIN.json": b'{"standin": true, "complete": true, "seed": 1}'}


# --- Archives ---


def _archives(folder: Path) -> dict[str, bytes]:
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as writer:
        writer.writestr("wav/a.wav", bytes(range(99)))
        writer.writestr("b.txt", "text" * 50, zipfile.ZIP_DEFLATED)
    with tarfile.open(fileobj=outer, mode="w") as writer:
        for name, data in (("wav/a.wav", bytes(99)), ("in.zip", inner.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            writer.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("wav/b.wav")
        info.type, info.linkname = tarfile.SYMTYPE, "a.wav"
        writer.addfile(info)
    tar = outer.getvalue()
    return {"a.zip": inner.getvalue(), "a.tar": tar, "a.tgz": gzip.compress(tar)}


def _unpack(path: Path) -> list[Path]:
    out = path.parent / "out/out"
    archive.is_archive(path)
    try:
        archive.unpack(path, out)
    finally:
        beside = {file.name for file in path.parent.iterdir()}
        assert beside <= {"a.zip", "a.tar", "a.tgz", "out"}, beside
        assert list((path.parent / "out").glob("*")) in ([], [out])
        assert not any(file.is_symlink() for file in path.parent.rglob("*"))
    return list(out.rglob("*"))


# --- Sound ---


def _sound(seconds: float = 0.3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * RATE))


def _recordings(folder: Path) -> dict[str, bytes]:
    for name, kwargs in {
        "a.wav": {},
        "f.wav": {"subtype": "FLOAT"},
        "a.flac": {},
        "a.aiff": {"subtype": "PCM_24"},
        "v.ogg": {"subtype": "VORBIS"},
        "o.ogg": {"subtype": "OPUS"},
        "a.mp3": {},
        "a.w64": {},
        "a.au": {"subtype": "ULAW"},
    }.items():
        samples = np.tile(_sound()[:, None], 2)
        soundfile.write(folder / name, samples, RATE, **kwargs)
    streamed = bytearray((folder / "a.flac").read_bytes())
    streamed[21] &= 0xF0
    streamed[22:26] = bytes(4)
    (folder / "streamed.flac").write_bytes(streamed)
    return _contents(folder)


def _read_recording(path: Path) -> object:
    hashes.hash_audio(str(path))
    try:
        audio.probe(str(path), audio.DAY)
        audio.check(str(path))
        return audio.load(str(path))
    except AudioError as error:
        raise UserError(f"{path}: {error}") from error


def _videos(folder: Path) -> dict[str, bytes]:
    import av

    for name, codec in {
        "a.mp4": "aac",
        "a.m4a": "aac",
        "a.webm": "libopus",
        "a.mkv": "flac",
        "a.avi": "mp3",
        "a.flv": "aac",
        "a.ts": "mp2",
    }.items():
        with av.open(str(folder / name), "w") as container:
            track = container.add_stream(codec, rate=48000, layout="mono")
            size = track.codec_context.frame_size or 1024
            for start in range(0, 9600, size):
                samples = np.float32(_sound(0.6))[None, start : start + size]
                frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
                frame.rate, frame.pts = 48000, start
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    (folder / "a.m3u8").write_text("#EXTM3U\n#EXTINF:1,\na.m4a\n#EXT-X-ENDLIST\n")
    soundfile.write(folder / "long.wav", _sound(), RATE)
    return _contents(folder)


@cache
def _ffmpeg(_process: int) -> FFmpeg:
    return FFmpeg()


def _read_video(path: Path) -> object:
    item = Utterance("a", "out.wav", "", "joy", media=path.name, start=0.05, stop=0.2)
    try:
        return media._decode(path.parent, path.name, [item], _ffmpeg(os.getpid()))
    except AudioError as error:
        raise UserError(f"{path}: {error}") from error


# --- Tables of other tools ---


def _audformat(folder: Path) -> dict[str, bytes]:
    import audformat

    database = audformat.Database("db", languages=["eng"], description="x")
    database.schemes["emotion"] = audformat.Scheme(labels=["anger", "joy"])
    database.splits["train"] = audformat.Split("train")
    index = audformat.segmented_index(["a.wav", "a.wav"], [0, 0.1], [0.1, 0.25])
    for name, segments in (("e", index), ("f", audformat.filewise_index(["a.wav"]))):
        database[name] = audformat.Table(segments, split_id="train")
    database["e"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["e"]["emotion"].set(["anger", "joy"])
    database["f"]["speaker"] = audformat.Column()
    database["f"]["speaker"].set("s")
    database.save(str(folder), storage_format="csv")
    database["f"].save(str(folder / "db.f"), storage_format="parquet")
    (folder / "db.f.csv").unlink()
    soundfile.write(folder / "a.wav", _sound(), RATE)
    return _contents(folder)


def _import(kind: str, path: Path) -> object:
    with tempfile.TemporaryDirectory() as out:
        made = exchange.import_table(kind, path, "db", Path(out), language="en")
        return manifest.read(made), manifest.read_sidecar(made)


def _lhotse(folder: Path) -> dict[str, bytes]:
    source = [{"type": "file", "channels": [0], "source": "a.wav"}]
    recording = {"id": "r", "sources": source, "sampling_rate": RATE,
                 "num_samples": 4800, "duration": 0.3}  # fmt: skip
    supervisions = [
        {
            "id": f"s{i}",
            "recording_id": "r",
            "start": 0.1 * i,
            "duration": 0.1,
            "channel": 0,
            "text": "so",
            "language": "en",
            "speaker": "A",
            "gender": "F",
            "custom": {"emotion": "joy", "split": "train"},
        }  # fmt: skip
        for i in range(3)
    ]
    soundfile.write(folder / "a.wav", _sound(), RATE)
    lines = "\n".join(map(json.dumps, supervisions)).encode()
    return {
        "a.wav": (folder / "a.wav").read_bytes(),
        "recordings.jsonl.gz": gzip.compress(json.dumps(recording).encode(), mtime=0),
        "supervisions_train.jsonl": lines,
        "supervisions_dev.json": json.dumps([{**supervisions[0], "id": "z"}]).encode(),
    }


def _labelled(folder: Path) -> dict[str, bytes]:
    soundfile.write(folder / "a.wav", _sound(), RATE)
    return {
        "a.wav": (folder / "a.wav").read_bytes(),
        "labels.csv": b'path;emotion;speaker;text\na.wav;joy;A;"Ja; so"\n',
    }


def _data_set(folder: Path) -> dict[str, bytes]:
    import pyarrow
    import pyarrow.parquet

    soundfile.write(folder / "a.wav", _sound(), RATE)
    sound = {"bytes": (folder / "a.wav").read_bytes(), "path": "a.wav"}
    table = pyarrow.table(
        {"audio": [sound] * 3, "emotion": [0, 1, 0], "speaker": ["A", "B", None]}
    )
    (folder / "a.wav").unlink()
    features = {"emotion": {"_type": "ClassLabel", "names": ["joy", "anger"]}}
    said = json.dumps({"info": {"features": features}})
    table = table.replace_schema_metadata({"huggingface": said})
    pyarrow.parquet.write_table(table, folder / "train.parquet")
    with (
        pyarrow.OSFile(str(folder / "data.arrow"), "wb") as stream,
        pyarrow.ipc.new_stream(stream, table.schema) as writer,
    ):
        writer.write_table(table)
    return _contents(folder)


def _import_rows(kind: str, path: Path) -> object:
    options = {"language": "en"}
    with tempfile.TemporaryDirectory() as out:
        if kind == "datasets":
            options["data_root"] = Path(out)
        (made,) = exchange.import_rows(kind, str(path), "db", Path(out), **options)
        return manifest.read(made), manifest.read_sidecar(made)


def _read_labelled(path: Path) -> object:
    return _import_rows("csv", path / "labels.csv")


def _read_data_set(path: Path) -> object:
    try:
        return _import_rows("datasets", path / "train.parquet")
    finally:
        _import_rows("datasets", path / "data.arrow")


READERS = [
    Reader("manifest and sidecar", _manifest, _read_manifest, folder=True),
    Reader("JSON", _json, lambda path: outside.read_json(path, "JSON", {"a": list})),
    Reader("CSV", _csv, lambda path: outside.read_csv(path, "a table", ["ID"])),
    Reader("names of files", _names, _read_names),
    Reader("label files", _label_files, _read_labels),
    Reader("mark of a stand-in", _marker, prepare.is_standin, folder=True),
    Reader("archives", _archives, _unpack),
    Reader("audio", _recordings, _read_recording),
    Reader("video and the like", _videos, _read_video),
    Reader(
        "audformat", _audformat, lambda path: _import("audformat", path), folder=True
    ),
    Reader("Lhotse", _lhotse, lambda path: _import("lhotse", path), folder=True),
    Reader("labelled table", _labelled, _read_labelled, folder=True),
    Reader("data set, Parquet and Arrow", _data_set, _read_data_set, folder=True),
]
