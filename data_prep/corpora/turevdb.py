"""TurEV-DB, the Turkish Emotion-Voice Database.

Six people say 82 single words in four emotions: 1735 recordings of about a second, 44.1
kHz mono.

Paper: Canpolat, Ormanoğlu and Zeyrek, "Turkish Emotion Voice Database (TurEV-DB)", SLTU
and CCURL 2020. Licence: CC BY-NC-ND 4.0. Home page: https://github.com/Xeonen/TurEV-DB

Layout: ``Sound Source/Angry/1157_kz_acik.wav``: speaker, emotion (kz angry, sk calm, mt
happy, hl sad), word, without its Turkish letters, so that it is kept as a code, not as
a text.

Quirks: calm takes the place of neutral and stays apart from it here. Speaker 1157 has
only anger and sadness, 7895 little happiness. The repository also holds spectrograms
and train and test sets made of the recordings: the first file of a name counts, others
are rejected. Genders are not given.

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Download, Utterance
from data_prep.layouts import named

EMOTIONS = {"kz": "angry", "sk": "calm", "mt": "happy", "hl": "sad"}


@named(r"(\d{4})_(kz|sk|mt|hl)_(\w+)", copies=True)
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    speaker, code, word = match.groups()
    return Utterance(
        id=match.string.lower(),
        path=path,
        speaker=speaker,
        emotion=EMOTIONS[code.lower()],
        sentence=word,
    )


CORPUS = Corpus(
    name="turevdb",
    title="TurEV-DB",
    language="tr",
    licence="CC BY-NC-ND 4.0",
    homepage="https://github.com/Xeonen/TurEV-DB",
    layout="Sound Source/Angry/1157_kz_acik.wav, ...",
    emotions={"calm": "calm", "happy": "happy", "angry": "angry", "sad": "sad"},
    utterances=utterances,
    expected={"happy": 357, "angry": 487, "sad": 483, "calm": 408},
    size=1735,
    speakers=6,
    hours=0.46,
    downloads=(
        Download(
            "https://github.com/Xeonen/TurEV-DB/archive/HEAD.zip",
            source="the repository itself, as GitHub packs it; it publishes no hash, "
            "and the address was not tried against the host",
        ),
    ),
)
