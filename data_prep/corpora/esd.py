"""ESD, the Emotional Speech Dataset (Mandarin Chinese and English).

Ten native speakers of each language say 350 sentences in five emotions: 17,500
utterances a language, studio, 16 kHz mono. Speakers 0001-0010 speak Mandarin (``esd``,
the part that the paper uses), 0011-0020 English (``esd_en``); both are in one folder,
and each passes over the other's files.

Paper: Zhou et al., "Emotional voice conversion: Theory, databases and ESD", Speech
Communication 137, 2022. Licence: research only. Home page:
https://hltsingapore.github.io/ESD/

Layout: ``0001/Angry/0001_000351.wav``, in one release with the parts ``train``,
``evaluation`` and ``test`` below each emotion; often below folders with spaces in their
names. Transcripts ``0001/0001.txt``: id, text and emotion between tabs.

Quirks: the transcripts are in UTF-8, UTF-16 or GB 18030 and name emotions in Chinese or
English, so the emotion is taken from the folder; a copy may lack them.
The official parts share all speakers and are not used.

Split of the paper (11200 / 1400 / 1400, 8 training speakers): which speakers are held
out is not stated; here the last two, 0009 for valid and 0010 for test.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    PaperSplit,
    Rejected,
    Utterance,
    match_files,
    read_text,
)
from data_prep.splits import hold_out

PATH = (
    r"(?:.*/)?(?P<speaker>00[012]\d)/(?P<emotion>[^/]+)/"
    r"(?:(?:train|evaluation|test)/)?(?P<id>(?P=speaker)_\d{6})\.\w+"
)
MALE = {"0004", "0005", "0006", "0008", "0010"} | {
    "0011",
    "0012",
    "0013",
    "0014",
    "0020",
}


def walker(first: int, last: int) -> Callable[[Path], Iterator[Utterance | Rejected]]:
    """The walking function of one language's speakers."""

    def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
        """Read everything but the text off the paths."""
        texts = cache(_texts)
        for item in match_files(folder, PATH, on="path"):
            if isinstance(item, Rejected):
                yield item
                continue
            path, match = item
            speaker = match["speaker"]
            if first <= int(speaker) <= last:
                home = folder / path[: match.end("speaker")]
                yield Utterance(
                    id=match["id"],
                    path=path,
                    speaker=speaker,
                    emotion=match["emotion"].capitalize(),
                    gender="male" if speaker in MALE else "female",
                    text=texts(home / f"{speaker}.txt").get(match["id"], ""),
                )

    return utterances


def _texts(path: Path) -> dict[str, str]:
    """Sentence by id, from a transcript."""
    lines = read_text(path, "gb18030").splitlines() if path.is_file() else []
    parts = (line.split("\t") for line in lines)
    return {part[0].strip(): part[1].strip() for part in parts if len(part) > 1}


def declare(
    name: str, language: str, first: int, last: int, split: PaperSplit | None
) -> Corpus:
    """The declaration of one language."""
    return Corpus(
        name=name,
        title=f"ESD, {'Mandarin' if language == 'zh' else 'English'} speakers",
        short=f"ESD {'Mandarin' if language == 'zh' else 'English'}",
        language=language,
        licence="research only",
        homepage="https://hltsingapore.github.io/ESD/",
        layout=f"{first:04}/Angry/{first:04}_000351.wav, ... for the speakers "
        f"{first:04} to {last:04}",
        emotions={
            "Neutral": "neutral",
            "Happy": "happy",
            "Angry": "angry",
            "Sad": "sad",
            "Surprise": "surprise",
        },
        utterances=walker(first, last),
        expected=dict.fromkeys(("neutral", "happy", "angry", "sad", "surprise"), 3500),
        size=17500,
        speakers=10,
        paper_split=split,
        folder="esd",
        steps="Fill in the licence that the home page links to, send it to the authors, "
        "and follow the link to the Google Drive.",
    )


CORPORA = (
    declare(
        "esd",
        "zh",
        1,
        10,
        PaperSplit((11200, 1400, 1400), 8, hold_out({"0009"}, {"0010"})),
    ),
    declare("esd_en", "en", 11, 20, None),
)
