"""MSP-IMPROV, an acted corpus of dyadic interactions (English).

Six sessions of a woman and a man who improvise towards given sentences, read these, and
talk in between: 8438 utterances, 44.1 kHz, labelled by a crowd.

Paper: Busso et al., "MSP-IMPROV: An acted corpus of dyadic interactions to study emotion
perception", IEEE Transactions on Affective Computing 8(1), 2017. Licence: research, by
signed agreement. Home page:
https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html

Layout: ``session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav``: scenario with its intended
emotion, speaker (gender and session), kind of recording, turn. The labels of all are the
lines of ``Evalution.txt`` (the release's spelling) such as ``UTD-IMPROV-S01A-F01-P-FM01
.avi; N; A:3.000000; V:3.500000; D:3.000000 ; N:4.000000;``: consensus (A angry, H happy,
S sad, N neutral, O other, X no agreement), activation, valence, dominance and
naturalness from 1 to 5. The raters' lines below each are passed over.

Quirks: the labels say UTD-IMPROV where the audio says MSP-IMPROV. ``NaN`` stands for a
dimension that was not rated.

Split: none in the paper; by whole sessions, so that no dialogue is cut apart. The layout
was put together from programs that read it, not from a copy.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Rejected,
    Utterance,
    audio_files,
    by_name,
    find,
    read_text,
)

LABEL = re.compile(
    r"^UTD-(IMPROV-(\w+)-([MF])(\d\d)-(\w)-\w+)\.avi;[ \t]*(\w+)[ \t]*;(.*)$", re.M
)
DIMENSION = re.compile(r"([AVD]):([\d.]+)")


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the label file; find the audio by its name."""
    audio = by_name(audio_files(folder))
    tables = find(folder, "Evalution.txt") or find(folder, "Evaluation.txt")
    for labels in tables[:1]:
        home = labels.parent.relative_to(folder)
        for name, scenario, letter, session, kind, emotion, rest in LABEL.findall(
            read_text(labels, "cp1252")
        ):
            stem = f"MSP-{name}"
            official = home / f"session{int(session)}" / scenario / kind / f"{stem}.wav"
            dimensions = dict(DIMENSION.findall(rest))
            yield Utterance(
                id=stem,
                path=audio.pop(stem, official.as_posix()),
                speaker=letter + session,
                emotion=emotion,
                gender="male" if letter == "M" else "female",
                session=session,
                arousal=dimensions.get("A", ""),
                valence=dimensions.get("V", ""),
                dominance=dimensions.get("D", ""),
            )
    for path in audio.values():
        yield Rejected(path, "not in Evalution.txt")


CORPUS = Corpus(
    name="msp_improv",
    title="MSP-IMPROV",
    language="en",
    licence="research, by agreement",
    homepage="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html",
    layout="Evalution.txt, and session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav, ...",
    emotions={
        "N": "neutral",
        "H": "happy",
        "A": "angry",
        "S": "sad",
        "O": "other",
        "X": "other",
    },
    utterances=utterances,
    expected={"neutral": 3477, "happy": 2644, "angry": 792, "sad": 885, "other": 640},
    size=8438,
    speakers=12,
    split_by="session",
    steps="Have the agreement of the home page signed by your institution.",
)
