"""Downloads from a server on this machine: broken, wrong, hostile, and in order."""

import bz2
import contextlib
import dataclasses
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import archive, corpus, download, prepare
from data_prep.corpus import Download
from data_prep.errors import UserError

URDU = corpus.get("urdu")


class Site(ThreadingHTTPServer):
    """Serves ``files`` by path, with ranges; ``flaws`` by path spoil the answers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.flaws, self.log = {}, {}, []
        self.tags = True

    def url(self, name: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def ranges(self) -> list[str | None]:
        """What parts were asked for."""
        return [line[1] for line in self.log]


class Handler(BaseHTTPRequestHandler):
    """Answers for a Site."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Stay silent."""

    def do_GET(self):
        """Send a file, or a part of it, or what is wrong with it."""
        name, site = self.path.lstrip("/").split("?")[0], self.server
        wanted = self.headers.get("Range")
        site.log.append((name, wanted))
        flaw = site.flaws.get(name, [])
        flaw = flaw.pop(0) if flaw else None
        if isinstance(flaw, int) and flaw >= 400:
            return self.send_error(flaw)
        if name not in site.files:
            return self.send_error(404)
        data = site.files[name]
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        begin = 0
        if wanted and flaw != "no ranges":
            begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if self.headers.get("If-Range", tag) != tag:
                begin = 0
        if begin >= len(data) > 0 and begin:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if begin else 200)
        if begin:
            shown = begin + 1 if flaw == "wrong range" else begin
            last = len(data) - 1
            self.send_header("Content-Range", f"bytes {shown}-{last}/{len(data)}")
        if site.tags:
            self.send_header("ETag", tag)
        kind = "text/html; charset=utf-8" if flaw == "web page" else "application/zip"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        body = data[begin:]
        if isinstance(flaw, float):  # the connection breaks after this part of it
            body = body[: int(len(body) * flaw)]
            self.close_connection = True
        self.wfile.write(body)


@pytest.fixture(scope="module")
def _server():
    site = Site()
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    yield site
    site.shutdown()
    site.server_close()


@pytest.fixture()
def site(_server, monkeypatch):
    """A server whose every answer can be spoilt, and no waiting between tries."""
    pytest.importorskip("pooch", reason="pooch is not installed")
    monkeypatch.setattr(download, "WAIT", 0.0)
    for key in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(key, raising=False)
    _server.files, _server.flaws, _server.log, _server.tags = {}, {}, [], True
    return _server


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, data in members.items():
            writer.writestr(name, data)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as writer:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            writer.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def clips(tmp_path_factory, tone) -> dict[str, bytes]:
    """A small corpus of URDU's shape: name in the archive to content."""
    data = tone(tmp_path_factory.mktemp("clip") / "a.wav").read_bytes()
    return {
        f"URDU/{emotion}/{speaker}_F1_{emotion[0]}001.wav": data + os.urandom(20000)
        for speaker in ("SM1", "SM2", "SF3")
        for emotion in ("Angry", "Happy", "Neutral", "Sad")
    }


def declared(site, *files: tuple[str, bytes], checksum: str = "sha256"):
    """URDU with the given files to download, which the server holds."""
    items = []
    for name, data in files:
        site.files[name] = data
        digest = hashlib.new(checksum, data).hexdigest() if checksum else ""
        known = f"{checksum}:{digest}" if checksum else ""
        items.append(Download(site.url(name), known, "https://example.org/paper"))
    return dataclasses.replace(URDU, downloads=tuple(items))


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("checksum", ["sha256", "md5", ""])
@pytest.mark.parametrize(
    "name, pack",
    [
        ("urdu.zip", zipped),
        ("urdu.tar.gz", tarred),
        ("urdu.tar.xz", lambda members: tarred(members, "w:xz")),
        ("files/12/content", zipped),
    ],
)
def test_download(site, clips, tmp_path, caplog, name, pack, checksum):
    caplog.set_level("INFO")
    item = declared(site, (name, pack(clips)), checksum=checksum)
    folder = download.download(item, tmp_path / "new")
    assert folder == (tmp_path / "new/urdu").resolve()
    assert tree(folder) == clips
    assert list((tmp_path / "new").iterdir()) == [folder]
    assert "12 utterances (400 are declared) of 3 speakers" in caplog.text
    digest = hashlib.sha256(site.files[name]).hexdigest()
    assert (digest in caplog.text) == (checksum == "")


def test_what_is_there_is_not_fetched_again(site, clips, tmp_path, caplog, capsys):
    caplog.set_level("INFO")
    item = declared(site, ("urdu.zip", zipped(clips)))
    download.command(item, tmp_path)
    download.command(item, tmp_path)
    assert len(site.log) == 1
    assert "urdu is there already" in caplog.text
    assert capsys.readouterr().out == f"corpus: {(tmp_path / 'urdu').resolve()}\n" * 2


def test_several_files(site, clips, tmp_path):
    names = sorted(clips)
    packs = [
        (f"part{i}.zip", zipped({name.removeprefix("URDU/"): clips[name]}))
        for i, name in enumerate(names)
    ]
    folder = download.download(
        declared(site, *packs, ("labels.csv", b"a,b\n")), tmp_path
    )
    found = tree(folder)
    assert found.pop("labels.csv") == b"a,b\n"
    assert sorted(found.values()) == sorted(clips.values())
    assert {path.split("/")[0] for path in found} == {f"part{i}" for i in range(12)}


def test_a_failed_second_file_keeps_the_first(site, clips, tmp_path):
    item = declared(site, ("a.zip", zipped(clips)), ("b.zip", zipped({"x.txt": b""})))
    site.flaws["b.zip"] = [404]
    with pytest.raises(UserError, match="b.zip cannot be had: 404"):
        download.download(item, tmp_path)
    assert tree(tmp_path) == {"urdu.part/a.zip": site.files["a.zip"]}
    site.log.clear()
    download.download(item, tmp_path)
    assert [name for name, _ in site.log] == ["b.zip"]
    assert os.listdir(tmp_path) == ["urdu"]


def whole_chunks(size: int) -> int:
    """What of a body is kept when the connection breaks after ``size`` bytes."""
    return size - size % download.CHUNK


@pytest.mark.parametrize("tags", [True, False])
def test_a_broken_connection_is_resumed(site, clips, tmp_path, tags):
    item = declared(site, ("urdu.zip", zipped(clips)))
    size, site.tags = len(site.files["urdu.zip"]), tags
    site.flaws["urdu.zip"] = [0.5, 503, 0.5]
    folder = download.download(item, tmp_path)
    assert tree(folder) == clips
    half = whole_chunks(size // 2)
    more = half + whole_chunks((size - half) // 2)
    assert site.ranges() == [None, f"bytes={half}-", f"bytes={half}-", f"bytes={more}-"]


def test_a_later_run_resumes(site, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 2)
    item = declared(site, ("urdu.zip", zipped(clips)))
    site.flaws["urdu.zip"] = [0.25, 500]
    with pytest.raises(UserError, match="cannot be reached .500.*goes on where it"):
        download.download(item, tmp_path)
    quarter = whole_chunks(len(site.files["urdu.zip"]) // 4)
    assert set(tree(tmp_path)) == {
        "urdu.part/urdu.zip.part",
        "urdu.part/urdu.zip.tag",
    }
    site.log.clear()
    assert tree(download.download(item, tmp_path)) == clips
    assert site.ranges() == [f"bytes={quarter}-"]


@pytest.mark.parametrize("checksum", ["sha256", ""])
def test_a_file_that_changed_meanwhile_starts_anew(
    site, clips, tmp_path, checksum, monkeypatch
):
    monkeypatch.setattr(download, "TRIES", 1)
    old = declared(site, ("urdu.zip", zipped({"old": os.urandom(90000)})))
    site.flaws["urdu.zip"] = [0.9]
    with pytest.raises(UserError, match="cannot be reached"):
        download.download(old, tmp_path)
    assert (tmp_path / "urdu.part/urdu.zip.part").stat().st_size
    new = declared(site, ("urdu.zip", zipped(clips)), checksum=checksum)
    assert tree(download.download(new, tmp_path)) == clips


def test_without_tag_and_checksum_nothing_is_glued_together(site, clips, tmp_path):
    item = declared(site, ("urdu.zip", zipped(clips)), checksum="")
    site.tags = False
    site.flaws["urdu.zip"] = [0.9]
    assert tree(download.download(item, tmp_path)) == clips
    assert site.ranges() == [None, None]


@pytest.mark.parametrize("flaw", ["no ranges", "wrong range"])
def test_a_server_that_cannot_resume(site, clips, tmp_path, flaw):
    item = declared(site, ("urdu.zip", zipped(clips)))
    site.flaws["urdu.zip"] = [0.5, flaw]
    assert tree(download.download(item, tmp_path)) == clips


def test_a_run_stopped_just_before_the_end(site, clips, tmp_path):
    item = declared(site, ("urdu.zip", zipped(clips)))
    part = tmp_path / "urdu.part/urdu.zip.part"
    part.parent.mkdir()
    part.write_bytes(site.files["urdu.zip"])
    assert tree(download.download(item, tmp_path)) == clips
    assert len(site.log) == 1


@pytest.mark.parametrize(
    "flaws, error",
    [
        ([404], "urdu.zip cannot be had: 404"),
        ([403], "urdu.zip cannot be had: 403"),
        (["web page"], "urdu.zip cannot be had: a web page comes instead"),
        ([503] * 6, "urdu.zip cannot be reached .503 Service Unavailable"),
        ([0.0] * 6, "urdu.zip cannot be reached"),
    ],
)
def test_errors_of_the_server(site, clips, tmp_path, flaws, error):
    item = declared(site, ("urdu.zip", zipped(clips)))
    site.flaws["urdu.zip"] = flaws
    with pytest.raises(UserError, match=error):
        download.download(item, tmp_path)
    assert not (tmp_path / "urdu").exists()
    left = tree(tmp_path)
    assert all(not data or name.endswith(".tag") for name, data in left.items())


def test_no_server(tmp_path, site, clips):
    item = declared(site, ("urdu.zip", zipped(clips)))
    nowhere = Download("http://127.0.0.1:9/urdu.zip")
    item = dataclasses.replace(item, downloads=(nowhere,))
    with pytest.raises(UserError, match="cannot be reached"):
        download.download(item, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_wrong_checksum(site, clips, tmp_path):
    item = declared(site, ("urdu.zip", zipped(clips)))
    site.files["urdu.zip"] += b"!"
    with pytest.raises(UserError, match="another file.*example.org/paper.*expected"):
        download.download(item, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_the_file(site, clips, tmp_path, monkeypatch):
    item = declared(site, ("urdu.zip", zipped(clips)))
    usage = os.statvfs(tmp_path)
    full = type("Usage", (), {"total": usage.f_blocks, "used": 0, "free": 1000})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match="urdu.zip.part: the disk has no room for"):
        download.download(item, tmp_path)
    assert not (tmp_path / "urdu").exists()
    assert not any(name.endswith(".part") for name in tree(tmp_path))


def test_no_room_to_unpack(site, clips, tmp_path, monkeypatch):
    item = declared(site, ("urdu.zip", zipped(clips)))
    monkeypatch.setattr(archive, "SPARE", 1 << 60)
    with pytest.raises(UserError, match="no room on the disk to unpack"):
        download.download(item, tmp_path)
    assert not (tmp_path / "urdu").exists()


def test_a_disk_that_fills_while_a_file_comes(site, clips, tmp_path):
    """A limit on the size of files stops the write half-way."""
    item = declared(site, ("urdu.zip", zipped(clips)))
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from data_prep import download; from data_prep.corpus import Download\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "download.fetch(Download(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, item.downloads[0].url, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert re.search("UserError: cannot write .*urdu.zip.*File too large", last)


def test_unwritable(site, clips, tmp_path):
    item = declared(site, ("urdu.zip", zipped(clips)))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write .*choose another --data_root"):
        download.download(item, tmp_path / "file")


def test_two_at_a_time(site, clips, tmp_path):
    item = declared(site, ("urdu.zip", zipped(clips)))
    with (
        pytest.raises(UserError, match="is in use by another download"),
        download._staging(item, tmp_path / "urdu") as (_, fresh),
    ):
        fresh.joinpath("mine").touch()
        try:
            download.download(item, tmp_path)
        finally:
            assert fresh.joinpath("mine").exists()


def test_another_corpus_comes(site, tmp_path):
    item = declared(site, ("urdu.zip", zipped({"03a01Fa.wav": b"RIFF"})))
    with pytest.raises(UserError, match="kept in .*urdu.part, but is not URDU.*fit"):
        download.download(item, tmp_path)
    assert list(tree(tmp_path)) == ["urdu.part/urdu.zip"]


def test_another_folder_stands_there(site, clips, tmp_path):
    (tmp_path / "urdu").mkdir()
    (tmp_path / "urdu/notes.txt").touch()
    item = declared(site, ("urdu.zip", zipped(clips)))
    with pytest.raises(UserError, match="does not look like URDU"):
        download.download(item, tmp_path)
    assert site.log == []


def test_a_linked_empty_folder(site, clips, tmp_path):
    (tmp_path / "big disk").mkdir()
    (tmp_path / "urdu").symlink_to(tmp_path / "big disk", target_is_directory=True)
    item = declared(site, ("urdu.zip", zipped(clips)))
    download.download(item, tmp_path)
    assert (tmp_path / "urdu").is_symlink()
    assert tree(tmp_path / "big disk") == clips


def test_corpora_behind_a_form(tmp_path, capsys):
    item = dataclasses.replace(
        corpus.get("iemocap"), downloads=(), steps="Sign the form."
    )
    download.command(item, tmp_path)
    out = capsys.readouterr().out
    for part in (item.homepage, "Sign the form;", item.layout, item.licence):
        assert part in out
    with pytest.raises(UserError, match="iemocap cannot be downloaded"):
        download.download(item, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_declared_download_names_its_source():
    for item in corpus.registry().values():
        for each in item.downloads:
            assert each.url.startswith("https://") or each.source, each
            assert each.source, each
            kind = r"(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})?"
            assert re.fullmatch(kind, each.sha256_or_md5), each
            assert download._name(each.url) != "download", each


# --- Archives ---


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as writer:
        info = tarfile.TarInfo("a.txt")
        info.size = 1
        writer.addfile(info, io.BytesIO(b"a"))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        writer.addfile(info)
        info = tarfile.TarInfo(f"{name}/b.txt")
        info.size = 1
        writer.addfile(info, io.BytesIO(b"b"))
    return buffer.getvalue()


def zip_link(name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        writer.writestr("a.txt", "a")
        writer.writestr(info, target)
    return buffer.getvalue()


def locked() -> bytes:
    data = bytearray(zipped({"a.txt": b"a"}))
    for magic, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + at] |= 1
    return bytes(data)


def deflate64() -> bytes:
    data = bytearray(zipped({"a.txt": b"a"}))
    for magic, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(magic) + at] = 9
    return bytes(data)


def long_header() -> bytes:
    """A tar whose first header claims a name of 60 MB."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 60_000_000
    return gzip.compress(info.tobuf() + bytes(60_000_000))


def nested(depth: int, data: bytes) -> bytes:
    for _ in range(depth):
        data = zipped({"inner.zip": data})
    return data


ZEROS = bytes(60_000_000)
HOSTILE = {
    "up": (zipped({"../evil": b""}), "points outside"),
    "up, deep": (zipped({"a/b/../../../evil": b""}), "points outside"),
    "absolute": (zipped({"/tmp/evil": b""}), "points outside"),
    "drive": (zipped({"C:\\evil": b""}), "points outside"),
    "backslashes": (zipped({"..\\evil": b""}), "points outside"),
    "tar, up": (tarred({"../evil": b""}), "points outside"),
    "tar, absolute": (tarred({"/tmp/evil": b""}), "points outside"),
    "symlink up": (link("x", "../../evil"), "points outside"),
    "symlink to root": (link("x", "/etc"), "points outside"),
    "hard link out": (link("x", "../evil", tarfile.LNKTYPE), "points outside"),
    "symlink in zip": (zip_link("x", "../evil"), "points outside"),
    "symlink to nothing": (zip_link("x", "b.txt"), "is no file of it"),
    "fifo": (link("x", "", tarfile.FIFOTYPE), "is a device"),
    "device": (link("x", "", tarfile.CHRTYPE), "is a device"),
    "zip bomb": (zipped({"a": ZEROS}), "over 100 times its size"),
    "tar bomb": (tarred({"a": ZEROS}, "w:bz2"), "over 100 times its size"),
    "header bomb": (long_header(), "over 100 times its size"),
    "nested bomb": (nested(1, zipped({"a": ZEROS})), "over 100 times its size"),
    "matryoshka": (nested(3, zipped({"a": b""})), "archives lie 3 deep"),
    "cut zip": (zipped({"a": os.urandom(9000)})[:-60], "is damaged"),
    "cut tar": (tarred({"a": os.urandom(9000)})[:-60], "is damaged"),
    "cut xz": (tarred({"a": os.urandom(9000)}, "w:xz")[:-60], "is damaged"),
    "bad crc": (tarred({"a": b"x"})[:-8] + bytes(8), "is damaged"),
    "no archive": (b"Not found", "is damaged"),
    "inner up": (zipped({"...zip": zipped({"evil": b""})}), "points outside"),
    "inner up, deep": (
        zipped({"s/...zip": zipped({"...tar.gz": tarred({"evil": b""})})}),
        "points outside",
    ),
    "inner up, twice": (
        zipped({"x.zip": zipped({"...zip": zipped({"evil": b""})})}),
        "points outside",
    ),
    "two kinds of one name": (zipped({"a": b"", "a/b": b""}), "cannot unpack"),
}
BY_HAND = {
    "password": locked(),
    "deflate64": deflate64(),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(90),
    "rar": b"Rar!\x1a\x07\x01\0" + bytes(90),
    "7z in zip": zipped({"a.7z": b"7z\xbc\xaf\x27\x1c" + bytes(90)}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives(tmp_path, kind):
    data, error = HOSTILE[kind]
    (tmp_path / "x.zip").write_bytes(data)
    home = tmp_path / "a/b/c"
    with pytest.raises(UserError, match=error) as caught:
        archive.unpack(tmp_path / "x.zip", home)
    assert not isinstance(caught.value, archive.UnpackByHandError)
    assert "x.zip" in str(caught.value)
    outside = {name for name in tree(tmp_path) if not name.startswith("a/b/c/")}
    assert outside == {"x.zip"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    assert not Path("/tmp/evil").exists()
    held = sum(map(len, tree(home).values()))
    assert held <= archive.ALWAYS_ALLOWED


@pytest.mark.parametrize("kind", BY_HAND)
def test_archives_for_other_tools(tmp_path, kind):
    (tmp_path / "x.zip").write_bytes(BY_HAND[kind])
    with pytest.raises(archive.UnpackByHandError, match="x.zip.*by hand.*7z x"):
        archive.unpack(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", ["up", "zip bomb", "cut zip", "symlink to root", "7z"])
def test_a_hostile_download_leaves_nothing(site, tmp_path, kind):
    data = BY_HAND[kind] if kind in BY_HAND else HOSTILE[kind][0]
    with pytest.raises(UserError, match="urdu.zip"):
        download.download(declared(site, ("urdu.zip", data)), tmp_path)
    assert tree(tmp_path) == ({"urdu.part/urdu.zip": data} if kind == "7z" else {})


def test_an_inner_archive_overwrites_no_other_corpus(site, tmp_path):
    """``...zip`` without its suffix is the folder above: twice, that of all corpora."""
    (tmp_path / "emodb/wav").mkdir(parents=True)
    (tmp_path / "emodb/wav/03a01Fa.wav").write_bytes(b"mine")
    bad = zipped({"emodb/wav/03a01Fa.wav": b"evil"})
    for _ in range(2):
        bad = zipped({"...zip": bad})
    with pytest.raises(UserError, match="points outside"):
        download.download(declared(site, ("urdu.zip", bad)), tmp_path)
    assert tree(tmp_path) == {"emodb/wav/03a01Fa.wav": b"mine"}


def test_an_archive_without_a_name(tmp_path):
    (tmp_path / "x").write_bytes(zipped({"s/.zip": zipped({"a.txt": b"a"}), "./": b""}))
    archive.unpack(tmp_path / "x", tmp_path / "out")
    assert tree(tmp_path / "out") == {"s/a.txt": b"a"}


def test_names_of_archives_move_no_terminal(tmp_path, capfd):
    inner = zipped({"a.txt": b"a" * 10})
    (tmp_path / "x").write_bytes(zipped({"\x1b[2Jevil.zip": inner}))
    archive.unpack(tmp_path / "x", tmp_path / "out")
    assert "\x1b[2J" not in capfd.readouterr().err


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MEMBERS", 5)
    (tmp_path / "x.zip").write_bytes(zipped({str(i): b"" for i in range(6)}))
    with pytest.raises(UserError, match="over 5 members"):
        archive.unpack(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize(
    "style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
def test_every_tar(tmp_path, mode, style):
    buffer = io.BytesIO()
    held = {"./a.txt": b"a", "sub/" + 90 * "x" + ".txt": os.urandom(3000), "é": b""}
    with tarfile.open(fileobj=buffer, mode=mode, format=style) as writer:
        for name, data in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            writer.addfile(info, io.BytesIO(data))
    (tmp_path / "download").write_bytes(buffer.getvalue())
    archive.unpack(tmp_path / "download", tmp_path / "out")
    assert tree(tmp_path / "out") == {k.removeprefix("./"): v for k, v in held.items()}


@pytest.mark.parametrize(
    "data",
    [
        # Without the last member: nothing can lie below a file.
        link("x", "a.txt", tarfile.LNKTYPE)[:1536] + bytes(1024),
        link("sub/x", "../a.txt")[:1536] + bytes(1024),
        zip_link("sub/x", "../a.txt"),
    ],
)
def test_links_within_become_copies(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    archive.unpack(tmp_path / "x", tmp_path / "out")
    assert sorted(tree(tmp_path / "out").values()) == [b"a", b"a"]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_archives_within(tmp_path):
    inner = tarred({"train_splits/a.wav": b"a"})
    data = zipped({"raw/train.tar.gz": inner, "raw/notes.zip": b"no archive"})
    (tmp_path / "x").write_bytes(data)
    archive.unpack(tmp_path / "x", tmp_path / "out")
    assert tree(tmp_path / "out") == {
        "raw/train/train_splits/a.wav": b"a",
        "raw/notes.zip": b"no archive",
    }


SEEDS = (
    zipped({"a/b.wav": bytes(range(99)), "c.txt": b"text"}),
    tarred({"a/b.wav": bytes(range(99)), "c.txt": b"text"}, "w"),
    tarred({"a/b.wav": bytes(range(99)), "c.txt": b"text"}),
    zip_link("x", "a.txt"),
    link("x", "a.txt"),
    bz2.compress(b"text"),
    lzma.compress(b"text"),
    struct.pack("<4s", b"PK\5\6"),
)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.binary(max_size=4)), max_size=9
    ),
    cut=st.integers(0, 1 << 16),
)
def test_mutated_archives(tmp_path_factory, seed, changes, cut):
    """Whatever the bytes: files below the folder, or a UserError."""
    data = bytearray(seed)
    for at, change in changes:
        at %= len(data)
        data[at : at + len(change)] = change
    data = data[: max(1, len(data) - cut % len(data) * (cut % 2))]
    home = tmp_path_factory.mktemp("fuzz")
    (home / "x").write_bytes(data)
    with contextlib.suppress(UserError):
        archive.unpack(home / "x", home / "out")
    assert {path.name for path in home.iterdir()} <= {"x", "out"}
    assert not any(path.is_symlink() for path in home.rglob("*"))


# --- audb ---


@pytest.fixture()
def repository(tmp_path, monkeypatch, tone):
    """A repository of audb on this disk, which holds a small ``emodb``."""
    audb = pytest.importorskip("audb", reason="audb is not installed")
    audformat = pytest.importorskip("audformat", reason="audformat is not installed")
    names = ("wav/03a01Fa.wav", "wav/08a01Na.wav", "wav/16b10Wb.wav")
    build = tmp_path / "build"
    for name in names:
        tone(build / name)
    database = audformat.Database("emodb", languages=["deu"])
    database.schemes["emotion"] = audformat.Scheme("str")
    database["emotion"] = audformat.Table(audformat.filewise_index(names))
    database["emotion"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion"]["emotion"].set(["happiness", "neutral", "anger"])
    database.save(build)
    (tmp_path / "host/local").mkdir(parents=True)
    place = audb.Repository("local", str(tmp_path / "host"), "file-system")
    monkeypatch.setattr(audb.config, "REPOSITORIES", [place])
    monkeypatch.setattr(audb.config, "CACHE_ROOT", str(tmp_path / "cache"))
    audb.publish(build, download.AUDB["emodb"][1], place, verbose=False)
    return build


def test_audb(repository, tmp_path, caplog):
    caplog.set_level("INFO")
    item = corpus.get("emodb")
    folder = download.download_audb(item, tmp_path / "new")
    assert os.listdir(tmp_path / "new") == ["emodb"]
    for name in ("03a01Fa", "08a01Na", "16b10Wb"):
        path = f"wav/{name}.wav"
        assert (folder / path).read_bytes() == (repository / path).read_bytes()
    assert "3 utterances (535 are declared) of 3 speakers" in caplog.text
    download.command(item, tmp_path / "new", from_audb=True)
    assert "is there already" in caplog.text


def test_audb_cannot_load(repository, tmp_path, monkeypatch):
    monkeypatch.setitem(download.AUDB, "emodb", ("emodb", "9.9.9"))
    with pytest.raises(UserError, match="audb cannot load emodb 9.9.9"):
        download.download_audb(corpus.get("emodb"), tmp_path / "new")
    assert not (tmp_path / "new/emodb").exists()


def test_audb_does_not_know(tmp_path):
    with pytest.raises(UserError, match="no database of iemocap.*leave --audb out"):
        download.download_audb(corpus.get("iemocap"), tmp_path)


# One file of each as the pages of https://audeering.github.io/datasets name it.
AUDB_FILES = {
    "cremad": "1001/1001_TAI_HAP_XX.wav",
    "emodb": "wav/03a01Fa.wav",
    "emouerj": "audios/emoUERJ/m03s08.wav",
    "kannada": "audios/09-05-01.wav",
    "mesd": "audios/Anger_F_A_abajo.wav",
    "ravdess": "speech/actor_24/03-01-04-02-01-01-24.wav",
    "subesco": "audios/F_01_OISHI_S_10_ANGRY_1.wav",
}


@pytest.mark.parametrize("name", download.AUDB)
def test_what_audb_calls_its_files_is_understood(name, blank, tmp_path):
    blank(tmp_path / AUDB_FILES[name])
    (found,), rejected = prepare.walk(corpus.get(name), tmp_path)
    assert found.path == AUDB_FILES[name] and not rejected


def test_absent_packages(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pooch", None)
    item = Download("http://127.0.0.1:9/urdu.zip")
    with pytest.raises(UserError, match=r"pip install 'xser-brain\[download\]'"):
        download.fetch(item, tmp_path)
