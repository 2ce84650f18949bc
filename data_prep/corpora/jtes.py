"""JTES, the Japanese Twitter-based emotional speech corpus.

Fifty men and fifty women read 50 tweets in each of four emotions: 20,000 utterances.

Paper: Takeishi et al., "Construction and analysis of phonetically and prosodically
balanced emotional speech database", O-COCOSDA 2016. Licence: research, by agreement.
Home page: https://doi.org/10.1109/ICSDA.2016.7918977

Layout: ``jtes_v1.1/wav/f01/ang/f01_ang_01.wav``: speaker (f01-f50, m01-m50), emotion
(ang, joy, neu, sad), sentence.

Quirks: each emotion has sentences of its own, so a split by speaker shares them between
its parts. The layout was put together from a program that reads it, not from a copy.

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named


@named(r"([fm]\d\d)_([a-z]{3})_(\d\d)")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    speaker, emotion, sentence = (part.lower() for part in match.groups())
    return Utterance(
        id=match.string.lower(),
        path=path,
        speaker=speaker,
        emotion=emotion,
        gender="male" if speaker[0] == "m" else "female",
        sentence=f"{emotion}_{sentence}",
    )


CORPUS = Corpus(
    name="jtes",
    title="JTES",
    language="ja",
    licence="research, by agreement",
    homepage="https://doi.org/10.1109/ICSDA.2016.7918977",
    layout="wav/f01/ang/f01_ang_01.wav, ...",
    emotions={"neu": "neutral", "joy": "happy", "ang": "angry", "sad": "sad"},
    utterances=utterances,
    expected=dict.fromkeys(("neutral", "happy", "angry", "sad"), 5000),
    size=20000,
    speakers=100,
    steps="Ask the authors, of Tohoku University; the paper is the only page.",
)
