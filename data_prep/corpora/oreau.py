"""Oréau, a French emotional speech database.

32 people who are not actors, 22 to 27 years old, say 79 everyday sentences of a
classroom, 10 to 13 an emotion, in seven emotions, 44.1 kHz mono. The first version has
502 utterances; the second, taken here where it is there, the 434 whose emotion
listeners recognised.

Paper: Kerkeni et al., "French emotional speech database - Oréau", Zenodo, 2020 (authors
and title not verified). Licence: CC BY 4.0 (not verified). Home page:
https://zenodo.org/record/4405783

Layout: ``OréauFR_02/m/sessc/07a02Ca.wav``: version, gender, emotion (C anger, D
disgust, J happiness, N neutral, P fear, S surprise, T sadness), and again: speaker (2
digits), sentence (a letter and 2 digits), emotion, take.

Quirks: with both versions in one folder the first is rejected. Two sentences of speaker
07 have a z (``07z03Sa``). The folders hold 7 women and 25 men; the home page says 8 and
24.

Split: none in the paper.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import Corpus, Download, Rejected, Utterance, match_files

EMOTIONS = {
    "C": "colère",
    "D": "dégoût",
    "J": "joie",
    "N": "neutre",
    "P": "peur",
    "S": "surprise",
    "T": "tristesse",
}
PATH = r"(?:.*/)?([fm])/sess[cdjnpst]/((\d\d)[a-z]\d\d([CDJNPST])[a-z]?)\.\w+"
SOURCE = "the files of the record, as other tools name them; not tried against the host"


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything off the paths."""
    found = list(match_files(folder, PATH, on="path"))
    second = any("FR_02" in item[0] for item in found if isinstance(item, tuple))
    for item in found:
        if isinstance(item, Rejected):
            yield item
            continue
        path, match = item
        if second and "FR_01" in path:
            yield Rejected(path, "of the first version, and the second is there too")
            continue
        gender, name, speaker, letter = match.groups()
        yield Utterance(
            id=name,
            path=path,
            speaker=speaker,
            emotion=EMOTIONS[letter.upper()],
            gender="female" if gender in "fF" else "male",
        )


CORPUS = Corpus(
    name="oreau",
    title="Oréau, second version",
    short="Oréau",
    language="fr",
    licence="CC BY 4.0 (not verified)",
    homepage="https://zenodo.org/record/4405783",
    layout="OréauFR_02/m/sessc/07a02Ca.wav, ... in the folders f and m",
    emotions={
        "neutre": "neutral",
        "joie": "happy",
        "colère": "angry",
        "tristesse": "sad",
        "dégoût": "disgust",
        "peur": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected={
        "neutral": 70,
        "happy": 62,
        "angry": 67,
        "sad": 55,
        "disgust": 67,
        "fear": 51,
        "surprise": 62,
    },
    size=434,
    speakers=32,
    hours=0.34,
    downloads=(
        Download(
            "https://zenodo.org/record/4405783/files/Or%C3%A9auFR_02.rar",
            source=SOURCE,
        ),
    ),
    steps="The archive is a RAR file: unpack it with unrar, unar or 7-Zip.",
)
