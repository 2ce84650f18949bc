"""JVNV, Japanese emotional speech with verbal content and nonverbal vocalisations.

Two women and two men act 514 scripts, each with a laugh, a sob or the like, in six
emotions and never neutrally: 1615 utterances, 48 kHz.

Paper: Xin et al., "JVNV: a corpus of Japanese emotional speech with verbal content and
nonverbal expressions", IEEE Access 12, 2024. Licence: CC BY-SA 4.0. Home page:
https://sites.google.com/site/shinnosuketakamichi/research-topics/jvnv_corpus

Layout: ``jvnv_v1/F1/anger/free/F1_anger_free_01.wav``: speaker (F1, F2, M1, M2),
emotion, script (``regular``, or ``free`` in the choice of the nonverbal phrase), number.
``jvnv_v1/transcription.csv``, without a header: ``anger_free_01|phrase|text``.

Quirks: there is no neutral speech. The time of the nonverbal part, in
``jvnv_v1/nv_label``, is not read.

Split: none in the paper. The download was not tried against the host.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Download,
    Rejected,
    Utterance,
    find,
    match_files,
    read_text,
)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything but the text off the file names."""
    texts = {}
    for transcripts in find(folder, "transcription.csv")[:1]:
        for line in read_text(transcripts, "cp932").splitlines():
            script, _, text = line.partition("|")
            texts[script.strip()] = text.rpartition("|")[2].strip()
    name = r"(([FM])\d)_(([a-z]+)_(?:regular|free)_\d+)"
    for item in match_files(folder, name):
        if isinstance(item, Rejected):
            yield item
            continue
        path, match = item
        speaker, gender, script, emotion = match.groups()
        yield Utterance(
            id=match.string,
            path=path,
            speaker=speaker.upper(),
            emotion=emotion.lower(),
            gender="male" if gender in "Mm" else "female",
            text=texts.get(script, ""),
        )


CORPUS = Corpus(
    name="jvnv",
    title="JVNV",
    language="ja",
    licence="CC BY-SA 4.0",
    homepage="https://sites.google.com/site/shinnosuketakamichi/research-topics/"
    "jvnv_corpus",
    layout="F1/anger/free/F1_anger_free_01.wav, ... and transcription.csv",
    emotions={
        "happy": "happy",
        "anger": "angry",
        "sad": "sad",
        "disgust": "disgust",
        "fear": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    size=1615,
    speakers=4,
    hours=3.9,
    downloads=(
        Download(
            "https://ss-takashi.sakura.ne.jp/corpus/jvnv/jvnv_ver1.zip",
            source="the home page; no hash is published there",
        ),
    ),
)
