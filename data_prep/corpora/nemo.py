"""nEMO, a dataset of emotional speech in Polish.

Nine actors say 90 sentences in six emotions: the 4481 takes that were kept, 24 kHz
mono.

Paper: Christop, "nEMO: Dataset of emotional speech in Polish", LREC-COLING 2024.
Licence: CC BY-NC-SA 4.0. Home page: https://github.com/amu-cai/nEMO

Layout: ``data.tsv`` (file, emotion, text, normalised text, speaker, gender, age) and
``samples/EB0_anger_1.wav``: speaker, emotion, sentence.

Quirks: the table has stray blanks around its values, and quotation marks that quote
nothing. Surprise is called ``surprised`` in the edition on Hugging Face, whose audio
must be written to files first.

Split: none in the paper.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep.corpus import (
    Corpus,
    Download,
    Rejected,
    Utterance,
    audio_files,
    by_name,
    find,
    read_table,
)

COLUMNS = ("file_id", "emotion", "speaker_id")


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the table; find the audio by its name."""
    audio = by_name(audio_files(folder))
    for table in find(folder, "data.tsv")[:1]:
        home = PurePosixPath(table.parent.relative_to(folder).as_posix()) / "samples"
        for row in read_table(table, COLUMNS, delimiter="\t"):
            name = PurePosixPath(row["file_id"]).stem
            yield Utterance(
                id=name,
                path=audio.pop(name, str(home / f"{name}.wav")),
                speaker=row["speaker_id"],
                emotion=row["emotion"],
                gender=row.get("gender", ""),
                text=row.get("raw_text", ""),
            )
    for path in audio.values():
        yield Rejected(path, "not in data.tsv")


CORPUS = Corpus(
    name="nemo",
    title="nEMO",
    language="pl",
    licence="CC BY-NC-SA 4.0",
    homepage="https://github.com/amu-cai/nEMO",
    layout="data.tsv, and samples/EB0_anger_1.wav, ...",
    emotions={
        "neutral": "neutral",
        "happiness": "happy",
        "anger": "angry",
        "sadness": "sad",
        "fear": "fear",
        "surprise": "surprise",
        "surprised": "surprise",
    },
    utterances=utterances,
    expected={
        "neutral": 809,
        "happy": 749,
        "angry": 749,
        "sad": 769,
        "fear": 736,
        "surprise": 669,
    },
    size=4481,
    speakers=9,
    hours=3.1,
    downloads=(
        Download(
            "https://github.com/amu-cai/nEMO/archive/refs/heads/main.zip",
            source="the home page; an archive of a branch has no hash that stays; not "
            "tried against the host",
        ),
    ),
)
