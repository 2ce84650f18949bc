"""The registry, the declarations, and the helpers that corpora share."""

import importlib
import os
import re
from dataclasses import replace

import pytest

from data_prep import corpus, splits
from data_prep.errors import UserError
from data_prep.vocabulary import EMOTIONS, WIDE

PAPER = {"meld", "esd", "emodb", "cafe", "urdu"}
ALL = sorted(
    PAPER | {"esd_en", "iemocap", "ravdess", "nemo", "casia"} | set(corpus.registry())
)


@pytest.mark.parametrize("name", ALL)
def test_declaration(name):
    item = corpus.get(name)
    assert re.fullmatch("[a-z]{2,3}", item.language)
    labels = set(item.emotions.values())
    assert labels <= set(WIDE)
    assert item.merge.keys() <= labels - set(EMOTIONS)
    assert set(item.merge.values()) <= set(EMOTIONS)
    assert item.expected.keys() <= labels
    assert not item.expected or labels & set(EMOTIONS) <= item.expected.keys()
    assert sum(item.expected.values()) <= item.size
    assert item.speakers >= 0
    assert 0 <= item.hours < 5 * item.size / 60
    assert item.homepage.startswith("http")
    assert item.split_by in ("speaker", "session")
    assert "\n" not in item.layout + item.steps + item.missing
    assert (name in PAPER) == (item.default_splits == "paper")
    assert ("speaker" in item.policies) == bool(item.speakers)
    for download in item.downloads:
        assert re.match("https?://", download.url)
        assert re.fullmatch(
            "(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})?", download.sha256_or_md5
        )
        assert download.source


@pytest.mark.parametrize("name", ALL)
def test_docstring_tells_the_facts(name):
    module = importlib.import_module(corpus.get(name).utterances.__module__)
    for fact in ("Paper:", "Licence:", "Layout:", "Quirks:", "Split"):
        assert fact in module.__doc__, fact
    assert corpus.get(name).homepage in module.__doc__


@pytest.mark.parametrize("name", sorted(PAPER))
def test_paper_split_is_of_the_four_emotions(name):
    item = corpus.get(name)
    assert sum(item.paper_split.counts) == sum(item.declared.values())
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


def test_merging_is_part_of_the_declaration():
    merged = corpus.get("iemocap")
    assert merged.emotion("exc") == merged.emotion("hap") == "happy"
    assert merged.declared == {
        "neutral": 1708,
        "happy": 1636,
        "angry": 1103,
        "sad": 1084,
    }
    plain = replace(merged, merge={})
    assert plain.emotion("exc") == ""
    assert plain.declared["happy"] == 595
    assert merged.emotion("no label") == ""
    merging = {name for name in ALL if corpus.get(name).merge}
    assert all(
        corpus.get(name).emotion(label) == wide
        for name in set(ALL) - merging
        for label, wide in corpus.get(name).emotions.items()
        if wide in EMOTIONS
    )


@pytest.mark.parametrize(
    "changes, policies",
    [
        ({"speakers": 9}, ("speaker", "none")),
        ({"speakers": 9, "parts": True}, ("speaker", "official", "none")),
        ({"speakers": 0, "parts": True}, ("official", "none")),
        ({"speakers": 0}, ("none",)),
    ],
)
def test_what_a_corpus_can_be_split_by(changes, policies):
    assert replace(corpus.get("nemo"), **changes).policies == policies


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"downloads": (corpus.Download("https://x.org/a.zip"),)}, "download"),
        ({"steps": "Fill in the form."}, "form"),
        ({"licence": "research, by signed agreement"}, "form"),
        ({"steps": "Ask the authors."}, "request"),
        ({"steps": "It is sold by the LDC."}, "purchase"),
        ({"steps": "Register at Kaggle."}, "account"),
        ({"steps": "Get a.zip from the home page."}, "page"),
        ({}, "page"),
    ],
)
def test_how_to_get_it_in_a_word(changes, word):
    plain = {"downloads": (), "steps": "", "licence": "CC BY"}
    assert replace(corpus.get("nemo"), **{**plain, **changes}).access == word


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


def test_a_video_and_its_wav_are_one_clip(tmp_path):
    for name in (
        "a.mp4",
        "a.wav",
        "b.AVI",
        "c.flac",
        "c.mp4",
        "d.wav",
        "e/f.webm",
        "x.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert list(corpus.clips(tmp_path)) == [
        ("a.wav", "a.mp4"),
        ("b.wav", "b.AVI"),
        ("c.flac", ""),
        ("d.wav", ""),
        ("e/f.wav", "e/f.webm"),
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


def test_links_that_lead_in_a_circle(tmp_path):
    """Below which each file would be there again, forty times over."""
    for name in ("a/1.wav", "b/2.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/over").symlink_to(tmp_path / "b")
    (tmp_path / "b/over").symlink_to(tmp_path / "a")
    found = [path for path, _ in corpus.audio_files(tmp_path)]
    assert found == ["a/1.wav", "a/over/2.wav", "b/2.wav", "b/over/1.wav"]


def test_two_files_of_one_id_and_what_to_do(tmp_path):
    """A folder too high, a spare copy, a link: each is mended otherwise."""
    for name in ("x/wav/1.wav", "y/wav/1.wav", "1.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "linked").symlink_to(tmp_path / "x")
    for first, second, mend in (
        (
            "x/wav/1.wav",
            "y/wav/1.wav",
            "point --data_folder at x or y in it, or remove",
        ),
        ("1.wav", "x/wav/1.wav", "1.wav: remove one"),
        ("x/wav/1.wav", "linked/wav/1.wav", "which are one file: remove the link"),
    ):
        assert mend in corpus.twice(first, second, tmp_path)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_label_file_saved_anew_with_another_delimiter(tmp_path, mark):
    """As spreadsheets do; there is nothing to get anew."""
    path = tmp_path / "labels.csv"
    path.write_text(f"file{mark}emotion\na.wav{mark}joy, or so\n")
    assert list(corpus.read_table(path, ("file", "emotion"))) == [
        {"file": "a.wav", "emotion": "joy, or so"}
    ]


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
