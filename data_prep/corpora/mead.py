"""MEAD, the Multi-view Emotional Audio-visual Dataset (English).

Actors say 30 sentences in seven emotions at three intensities, and 40 neutrally, filmed
from seven sides; 48 of the 60 are published: 31,729 audio files, 44.1 or 48 kHz.

Paper: Wang et al., "MEAD: A large-scale audio-visual dataset for emotional talking-face
generation", ECCV 2020. Licence: non-commercial research. Home page:
https://wywu.github.io/projects/MEAD/MEAD.html

Layout: ``M003/audio/angry/level_1/001.m4a``: speaker (M man, W woman), emotion,
intensity, sentence. The videos, in ``M003/video``, are passed over.

Quirks: neutral has ``level_1`` only. The sentences of a number differ with the emotion.
Audio that somebody converted to .wav in place of the .m4a is read as well. The numbers
are those of EmoBox's list; by them some speakers lack files.

Split: none in the paper.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep.corpus import Corpus, Rejected, Utterance, clips

PATH = re.compile(
    r"(?:.*/)?([MW]\d{3})/audio/([^/]+)/level_(\d)/(\d{3})\.\w+", re.IGNORECASE
)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything off the paths."""
    for path, media in clips(folder):
        if "video" in PurePosixPath(path).parts:
            continue
        match = PATH.fullmatch(path)
        if not match:
            yield Rejected(media or path, "name does not fit the corpus")
            continue
        speaker, emotion, level, sentence = (part.lower() for part in match.groups())
        yield Utterance(
            id=f"{speaker.upper()}_{emotion}_{level}_{sentence}",
            path=path,
            speaker=speaker.upper(),
            emotion=emotion,
            gender="male" if speaker[0] == "m" else "female",
            intensity=level,
            sentence=f"{emotion}_{sentence}",
            media=media,
        )


CORPUS = Corpus(
    name="mead",
    title="MEAD",
    language="en",
    licence="non-commercial research",
    homepage="https://wywu.github.io/projects/MEAD/MEAD.html",
    layout="M003/audio/angry/level_1/001.m4a, ...",
    emotions={
        "neutral": "neutral",
        "happy": "happy",
        "angry": "angry",
        "sad": "sad",
        "contempt": "contempt",
        "disgusted": "disgust",
        "fear": "fear",
        "surprised": "surprise",
    },
    utterances=utterances,
    expected={
        "neutral": 1916,
        "happy": 4294,
        "angry": 4193,
        "sad": 4306,
        "contempt": 4215,
        "disgust": 4284,
        "fear": 4251,
        "surprise": 4270,
    },
    size=31729,
    speakers=48,
    hours=37.3,
    steps="Get the audio of each speaker from the Google Drive that the home page links "
    "to.",
)
