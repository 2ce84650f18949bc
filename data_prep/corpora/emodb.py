"""EMO-DB, the Berlin Database of Emotional Speech (German).

Ten actors speak ten everyday sentences in seven emotions; 535 utterances that
listeners recognised, 16 kHz mono.

Paper: Burkhardt et al., "A database of German emotional speech", Interspeech 2005.
Licence: free for research. Home page: http://emodb.bilderbar.info

Layout: ``wav/03a01Fa.wav``: speaker (2 characters), sentence (3), emotion (1: W anger,
L boredom, E disgust, A fear, F happiness, T sadness, N neutral), version (1).

Quirks: a later release (2.0.0) holds 816 files; the 535 of the original, on which all
published results stand, are listed in ``emodb.txt`` and taken from it. A mutilated
copy circulates in which every file was cut to 2.00 s: it is refused.

Split of the paper (266 / 35 / 38, 8 training speakers): the counts fit speakers 15
and 16 held out and halved per emotion; train shares no speaker with the other two.
"""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Download,
    PaperSplit,
    Rejected,
    Utterance,
    match_files,
)
from data_prep.errors import UserError
from data_prep.splits import halve

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
MALE = {"03", "10", "11", "12", "15"}
ORIGINAL = 535


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything off the file names."""
    files = list(match_files(folder, r"(\d\d)([ab]\d\d)(\w)([a-z])"))
    original = resources.files(__package__).joinpath("emodb.txt").read_text().split()
    later_release = sum(not isinstance(f, Rejected) for f in files) > ORIGINAL
    for item in files:
        if isinstance(item, Rejected):
            yield item
            continue
        path, match = item
        speaker, sentence, letter, _ = match.groups()
        if later_release and match.string not in original:
            yield Rejected(path, "not among the 535 utterances of the original release")
            continue
        yield Utterance(
            id=match.string,
            path=path,
            speaker=speaker,
            emotion=EMOTIONS.get(letter, letter),
            gender="male" if speaker in MALE else "female",
            sentence=sentence,
        )


def refuse_mutilated(headers: list) -> None:
    """Refuse the copy in which every file lasts 2.00 s."""
    if len(headers) > 1 and all(abs(h.duration - 2.0) < 0.005 for h in headers):
        raise UserError(
            f"all {len(headers)} files of EMO-DB are 2.00 s long: this is a mutilated "
            f"copy; get the original from {CORPUS.homepage}"
        )


CORPUS = Corpus(
    name="emodb",
    title="EMO-DB",
    language="de",
    licence="free for research",
    homepage="http://emodb.bilderbar.info",
    layout="wav/03a01Fa.wav, ...",
    emotions={
        "anger": "angry",
        "happiness": "happy",
        "sadness": "sad",
        "neutral": "neutral",
        "boredom": "boredom",
        "disgust": "disgust",
        "fear": "fear",
    },
    utterances=utterances,
    expected={
        "neutral": 79,
        "happy": 71,
        "angry": 127,
        "sad": 62,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
    },
    size=535,
    speakers=10,
    hours=0.41,
    paper_split=PaperSplit((266, 35, 38), 8, halve({"15", "16"})),
    verify=refuse_mutilated,
    downloads=(
        Download(
            "http://emodb.bilderbar.info/download/download.zip",
            source="https://audeering.github.io/audformat/emodb-example.html, without a "
            "hash; not tried against the host",
        ),
    ),
)
