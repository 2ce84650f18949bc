"""The registry, the declarations, and the helpers that corpora share."""

import importlib
import os

import pytest

from data_prep import corpus, splits
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS

PAPER = {"meld", "esd", "emodb", "cafe", "urdu"}
ALL = sorted(
    PAPER | {"esd_en", "iemocap", "ravdess", "nemo", "casia"} | set(corpus.registry())
)


@pytest.mark.parametrize("name", ALL)
def test_declaration(name):
    item = corpus.get(name)
    assert len(item.language) == 2
    assert set(item.emotions.values()) <= {*EMOTIONS, ""}
    assert set(item.expected) == set(EMOTIONS) & set(item.emotions.values())
    assert sum(item.expected.values()) <= item.size
    assert item.speakers > 0
    assert item.homepage.startswith("http")
    assert item.split_by in ("speaker", "session")
    assert "\n" not in item.layout
    assert item.default_splits == ("paper" if name in PAPER else "speaker")


@pytest.mark.parametrize("name", ALL)
def test_docstring_tells_the_facts(name):
    module = importlib.import_module(corpus.get(name).utterances.__module__)
    for fact in ("Paper:", "Licence:", "Layout:", "Quirks:", "Split"):
        assert fact in module.__doc__, fact
    assert corpus.get(name).homepage in module.__doc__


@pytest.mark.parametrize("name", sorted(PAPER))
def test_paper_split_is_of_the_four_emotions(name):
    item = corpus.get(name)
    assert sum(item.paper_split.counts) == sum(item.expected.values())
    assert item.paper_split.speaker_disjoint == (
        item.paper_split.assign != splits.official
    )


def test_paper_totals():
    """Table 1: 20165 / 20011 / 9231 training utterances, 288 / 286 / 288 speakers."""
    paper = {name: corpus.get(name).paper_split for name in PAPER}

    def total(*names):
        chosen = [paper[name] for name in (*names, "urdu")]
        return sum(s.counts[0] for s in chosen), sum(s.train_speakers for s in chosen)

    assert total("meld", "esd", "cafe") == (20165, 288)
    assert total("meld", "esd", "emodb") == (20011, 286)
    assert total("meld", "cafe", "emodb") == (9231, 288)


@pytest.mark.parametrize(
    "name, hint", [("emo-db", "emodb"), ("RAVDESS", "there are"), ("", "there are")]
)
def test_unknown_corpus(name, hint):
    with pytest.raises(UserError, match=hint):
        corpus.get(name)


def test_audio_files(tmp_path, blank):
    outside = blank(tmp_path / "elsewhere/c.wav").parent
    folder = tmp_path / "a corpus"
    for name in (
        "b.WAV",
        "sub folder/a.flac",
        "._a.wav",
        ".git/x.wav",
        "a.txt",
        "z.aiff",
    ):
        blank(folder / name)
    (folder / "folder.wav").mkdir()
    os.symlink(outside, folder / "linked", target_is_directory=True)
    assert list(corpus.audio_files(folder)) == [
        ("b.WAV", "b"),
        ("z.aiff", "z"),
        ("linked/c.wav", "c"),
        ("sub folder/a.flac", "a"),
    ]


def test_match_files(tmp_path, blank):
    for name in ("01.wav", "sub/02.WAV", "readme.wav"):
        blank(tmp_path / name)
    first, rejected, second = corpus.match_files(tmp_path, r"(\d\d)")
    assert [first[0], second[0]] == ["01.wav", "sub/02.WAV"]
    assert first[1][1] == "01"
    assert rejected.path == "readme.wav"
    assert "name" in rejected.reason


def test_by_name_refuses_two_files_with_one_name():
    with pytest.raises(UserError, match=r"a/1\.wav and b/1\.wav"):
        corpus.by_name([("a/1.wav", "1"), ("b/1.wav", "1")])


def test_find_goes_two_levels_down(tmp_path):
    for name in ("x/y/t.csv", "t.csv", "x/t.csv", "x/y/z/t.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [
        path.relative_to(tmp_path).as_posix() for path in corpus.find(tmp_path, "t.csv")
    ]
    assert found == ["t.csv", "x/t.csv", "x/y/t.csv"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"]
)
def test_read_text(tmp_path, encoding):
    text = "0001_000001\t打远一看\t中立\n"
    (tmp_path / "0001.txt").write_bytes(text.encode(encoding))
    assert corpus.read_text(tmp_path / "0001.txt", "gb18030") == text


def test_read_table(tmp_path):
    path = tmp_path / "data.tsv"
    path.write_bytes(b'a\t b \r\n1\t  "two \r\n\r\n3\r\n')
    assert list(corpus.read_table(path, ("a", "b"), "\t")) == [
        {"a": "1", "b": '"two'},
        {"a": "3", "b": ""},
    ]
    with pytest.raises(UserError, match="lacks the columns c"):
        list(corpus.read_table(path, ("a", "c"), "\t"))
    path.write_bytes(b"")
    with pytest.raises(UserError, match="lacks the columns a"):
        list(corpus.read_table(path, ("a",)))
    path.write_bytes(b"x" * 200_000)
    with pytest.raises(UserError, match="no table"):
        list(corpus.read_table(path, ("a",)))
