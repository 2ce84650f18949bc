"""EMOVO, the Italian emotional speech corpus.

Six actors say 14 sentences, some of them nonsense, in seven emotions: 588 utterances,
48 kHz.

Paper: Costantini et al., "EMOVO corpus: an Italian emotional speech database", LREC
2014. Licence: free for research. Home page:
http://voice.fub.it/activities/corpora/emovo/index.html

Layout: ``f1/dis-f1-b1.wav``: emotion (dis disgust, gio joy, neu neutral, pau fear, rab
anger, sor surprise, tri sadness), speaker (f1 to f3, m1 to m3), sentence (b1-b3 short,
l1-l4 long, n1-n5 nonsense, d1-d2 questions).

Quirks: actors are numbered within their gender. The two channels are two microphones at
two places, whose mean would cancel what reaches them at odds: the first is taken, and
written once as 16 kHz mono into ``first_microphone``.

Split: none in the paper.
"""

import re
from pathlib import PurePosixPath

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named

TAKEN = "first_microphone"


@named(r"([a-z]{3})-([fm][1-3])-([bdln][1-5])")
def utterances(path: str, match: re.Match) -> Utterance | None:
    """Read everything off the file name."""
    if path.startswith(f"{TAKEN}/"):
        return None
    emotion, speaker, sentence = (part.lower() for part in match.groups())
    return Utterance(
        id=match.string.lower(),
        path=f"{TAKEN}/{PurePosixPath(path).with_suffix('.wav')}",
        media=path,
        channel=0,
        speaker=speaker,
        emotion=emotion,
        gender="male" if speaker[0] == "m" else "female",
        sentence=sentence,
    )


CORPUS = Corpus(
    name="emovo",
    title="EMOVO",
    language="it",
    licence="free for research",
    homepage="http://voice.fub.it/activities/corpora/emovo/index.html",
    layout="f1/dis-f1-b1.wav, ... for the speakers f1 to f3 and m1 to m3",
    emotions={
        "neu": "neutral",
        "gio": "happy",
        "rab": "angry",
        "tri": "sad",
        "dis": "disgust",
        "pau": "fear",
        "sor": "surprise",
    },
    utterances=utterances,
    expected=dict.fromkeys(
        ("neutral", "happy", "angry", "sad", "disgust", "fear", "surprise"), 84
    ),
    size=588,
    speakers=6,
    hours=0.5,
    steps="Follow the link on the home page (to a Google Drive) and extract EMOVO.zip.",
)
