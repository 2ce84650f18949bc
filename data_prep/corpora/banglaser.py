"""BanglaSER, a speech emotion recognition dataset for Bangla.

34 people, not actors, say three sentences three times in five emotions, recorded by
smartphones and laptops: 1467 utterances.

Paper: Das et al., "BanglaSER: a speech emotion recognition dataset for the Bangla
language", Data in Brief 42, 2022. Licence: CC BY 4.0. Home page:
https://data.mendeley.com/datasets/t9h6p943xy/5

Layout: ``BanglaSER/.../03-01-01-01-01-01-01.wav``: mode (03 audio only), script (01),
emotion (01 happy, 02 sad, 03 angry, 04 surprise, 05 neutral), intensity (01 normal, 02
strong), sentence (01-03), repetition (01-03), actor (odd: male, even: female).

Quirks: the sentences, known here in English only, mean 01 "It's twelve o'clock", 02 "I
knew something like this would happen", 03 "What kind of gift is this?". Neutral was said
by 27 of the 34. The folders between were not verified against a copy; everything is read
off the file names.

Split: none in the paper. The download was not tried against the host.
"""

import re

from data_prep.corpus import Corpus, Download, Utterance
from data_prep.layouts import named

EMOTIONS = {
    "01": "happy",
    "02": "sad",
    "03": "angry",
    "04": "surprise",
    "05": "neutral",
}


@named(r"03-01-(\d\d)-(0[12])-(0[123])-\d\d-(\d\d)")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    code, intensity, sentence, actor = match.groups()
    return Utterance(
        id=match.string,
        path=path,
        speaker=actor,
        emotion=EMOTIONS.get(code, code),
        gender="male" if int(actor) % 2 else "female",
        intensity="strong" if intensity == "02" else "normal",
        sentence=sentence,
    )


CORPUS = Corpus(
    name="banglaser",
    title="BanglaSER",
    language="bn",
    licence="CC BY 4.0",
    homepage="https://data.mendeley.com/datasets/t9h6p943xy/5",
    layout="BanglaSER/.../03-01-01-01-01-01-01.wav, ...",
    emotions={emotion: emotion for emotion in EMOTIONS.values()},
    utterances=utterances,
    expected={"neutral": 243, "happy": 306, "angry": 306, "sad": 306, "surprise": 306},
    size=1467,
    speakers=34,
    downloads=(
        Download(
            "https://prod-dcd-datasets-cache-zipfiles.s3.eu-west-1.amazonaws.com/"
            "t9h6p943xy-5.zip",
            source="nkululeko, data/banglaser/README.md; no hash is published there",
        ),
    ),
)
