"""ASED, the Amharic Speech Emotion Dataset, version 1.

65 volunteers (25 women, 40 men) of four dialects say five sentences for each of five
emotions, and two common ones in all five, twice each; the 2474 takes that at least five
of eight judges accepted, 16 kHz mono.

Paper: Retta et al., "A new Amharic speech emotion dataset and classification
benchmark", ACM TALLIP 22(1), 2023. Licence: not stated; published for research. Home
page: https://github.com/wgwangang/ASED_V1

Layout: ``01Neutral/n1-01-01-02-04.wav``: emotion and number of its folder (n1 neutral,
f2 fearful, h3 happy, s4 sad, a5 angry), sentence, repetition, gender (01 female, 02
male), speaker.

Quirks: one name has a capital (``S4-04-02-01-29``; the listing of another toolkit makes
a sixth label of it). Five files, each of another speaker (09, 15, 21, 23, 25), bear the
other gender than all others of that speaker; which code is wrong is not known, and both
stay as they are.

Split: none in the paper. The dialects are not given.
"""

import re

from data_prep.corpus import Corpus, Download, Utterance
from data_prep.layouts import named

EMOTIONS = {"n": "neutral", "f": "fearful", "h": "happy", "s": "sad", "a": "angry"}


@named(r"([nfhsa])[1-5]-\d\d-\d\d-(0[12])-(\d\d)")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    letter, gender, speaker = match.groups()
    return Utterance(
        id=match.string.lower(),
        path=path,
        speaker=speaker,
        emotion=EMOTIONS[letter.lower()],
        gender="female" if gender == "01" else "male",
    )


CORPUS = Corpus(
    name="ased",
    title="ASED",
    language="am",
    licence="not stated; for research",
    homepage="https://github.com/wgwangang/ASED_V1",
    layout="01Neutral/n1-01-01-02-04.wav, ... in the folders 01Neutral to 05Angry",
    emotions={
        "neutral": "neutral",
        "fearful": "fear",
        "happy": "happy",
        "sad": "sad",
        "angry": "angry",
    },
    utterances=utterances,
    expected={"neutral": 522, "happy": 486, "angry": 486, "sad": 470, "fear": 510},
    size=2474,
    speakers=65,
    hours=2.11,
    downloads=(
        Download(
            "https://github.com/wgwangang/ASED_V1/archive/HEAD.zip",
            source="the repository itself, as GitHub packs it; it publishes no hash, "
            "and the address was not tried against the host",
        ),
    ),
)
