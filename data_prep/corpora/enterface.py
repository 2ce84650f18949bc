"""eNTERFACE'05, an audio-visual emotion database (English).

44 people of 14 nations, few of them native speakers, answer to six stories with five
sentences each, one story an emotion (no neutral): 1287 clips as .avi, 48 kHz mono.

Paper: Martin et al., "The eNTERFACE'05 audio-visual emotion database", ICDE Workshops
2006. Licence: research. Home page: http://www.enterface.net/results/

Layout: ``subject 1/anger/sentence 1/s1_an_1.avi``: subject, emotion (an, di, fe, ha,
sa, su), sentence. ``prepare`` decodes each clip into a .wav beside it.

Quirks: subject 6 has one film of one to two minutes for each emotion, which nobody cut
up; these are rejected, so that 43 speakers remain. Subject 23 lacks three of happiness.
Subject 11's files are named ``s12_...``, like subject 12's, subject 3's in part
``s_3_...``; subject 2 has two sentences swapped; there is ``s16_su_3avi.avi``. So
subject and emotion are taken from the folders, the sentence from the file name.

The listing of another toolkit has 1263 files: the 6 of subject 6, but not the 30 of
subject 12, which its keys, the file names, do not distinguish from subject 11's.

Split: none in the paper. Genders are not given.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import Corpus, Download, Rejected, Utterance, clips

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
PATH = re.compile(
    rf"(?:.*/)?subject[ _]?(\d+)/({'|'.join(EMOTIONS)})/"
    r"(?:.*/)?s_?\d+_[a-z]{2}(?:_(\d))?(?:avi)?\.\w+",
    re.IGNORECASE,
)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything off the paths."""
    for path, media in clips(folder):
        match = PATH.fullmatch(path)
        if not match or not match[3]:
            reason = (
                "not cut into sentences" if match else "name does not fit the corpus"
            )
            yield Rejected(media or path, reason)
            continue
        subject, emotion, sentence = match.groups()
        yield Utterance(
            id=f"s{subject}_{emotion.lower()}_{sentence}",
            path=path,
            media=media,
            speaker=subject,
            emotion=emotion.lower(),
        )


CORPUS = Corpus(
    name="enterface",
    title="eNTERFACE'05",
    language="en",
    licence="research",
    homepage="http://www.enterface.net/results/",
    layout="subject 1/anger/sentence 1/s1_an_1.avi, ...",
    emotions={
        "anger": "angry",
        "disgust": "disgust",
        "fear": "fear",
        "happiness": "happy",
        "sadness": "sad",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected={
        "happy": 212,
        **dict.fromkeys(("angry", "sad", "disgust", "fear", "surprise"), 215),
    },
    size=1287,
    speakers=43,
    hours=1.0,
    downloads=(
        Download(
            "http://www.enterface.net/enterface05/docs/results/databases/"
            "project2_database.zip",
            source="the home page's link, as third parties cite it, without a hash; "
            "not tried against the host",
        ),
    ),
)
