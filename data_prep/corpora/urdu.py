"""URDU, a corpus of Urdu talk shows.

400 utterances of four emotions from YouTube, 100 each, 44.1 kHz mono, not acted.

Paper: Latif et al., "Cross lingual speech emotion recognition: Urdu vs. Western
languages", FIT 2018. Licence: research only. Home page:
https://github.com/siddiquelatif/URDU-Dataset

Layout: ``Angry/SM1_F1_A010.wav``: speaker (SM male, SF female), source file, emotion
(A angry, H happy, N neutral, S sad) with its number.

Quirks: the names hold 29 speakers (the home page says 38), 2 to 80 utterances each.

Split of the paper (300 / 20 / 80, 21 training speakers): which speakers are held out is
not stated; ``data_prep.splits.search`` finds eight whose utterances add up, from the
last identifier to the first.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Download,
    PaperSplit,
    Rejected,
    Utterance,
    match_files,
)
from data_prep.splits import search

PATH = r"(?:.*/)?(\w+)/((S[MF]\d+)_F\d+_([A-Z])\d+)\.\w+"


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything off folder and file names, which must agree."""
    for item in match_files(folder, PATH, on="path"):
        if isinstance(item, Rejected):
            yield item
            continue
        path, match = item
        emotion, name, speaker, letter = match.groups()
        if not emotion.upper().startswith(letter.upper()):
            reason = f"the folder says {emotion}, the file name {letter}"
            yield Rejected(path, reason)
            continue
        yield Utterance(
            id=name,
            path=path,
            speaker=speaker.upper(),
            emotion=emotion.capitalize(),
            gender="male" if speaker[1] in "mM" else "female",
        )


CORPUS = Corpus(
    name="urdu",
    title="URDU",
    language="ur",
    licence="research only",
    homepage="https://github.com/siddiquelatif/URDU-Dataset",
    layout="Angry/SM1_F1_A010.wav, ... in the folders Angry, Happy, Neutral and Sad",
    emotions={"Neutral": "neutral", "Happy": "happy", "Angry": "angry", "Sad": "sad"},
    utterances=utterances,
    expected={"neutral": 100, "happy": 100, "angry": 100, "sad": 100},
    size=400,
    speakers=29,
    hours=0.28,
    paper_split=PaperSplit((300, 20, 80), 21, search(valid=20, test=80, held_out=8)),
    downloads=(
        Download(
            "https://github.com/siddiquelatif/URDU-Dataset/archive/refs/heads/master.zip",
            source="the home page; an archive of a branch has no hash that stays; not "
            "tried against the host",
        ),
    ),
)
