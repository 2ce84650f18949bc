"""EMNS, the Emotive Narrative Storytelling corpus (British English).

One woman reads sentences in eight emotions, with a level of expressiveness: 1181 clips,
48 kHz mono, recorded by a browser as .webm.

Paper: Noriy, Yang and Zhang, "EMNS /Imz/ corpus: An emotive single-speaker dataset for
narrative storytelling in games, television and graphic novels", arXiv:2305.13137, 2023.
Licence: Apache 2.0 (another toolkit: CC BY 4.0). Home page:
https://www.openslr.org/136/

Layout: ``metadata.csv``, its values between bars: id, utterance, description, emotion,
date_created, status, gender, age, level, audio_recording
(``wavs/recorded_audio_02jmPGL.webm``), user_id; and the clips in ``cleaned_webm`` or,
as recorded, in ``raw_webm``. ``prepare`` decodes them into .wav files beside them.

Quirks: where both folders are there the cleaned clips are taken. The containers promise
more seconds (2.3 h) than they hold (1.91 h). Level counts as the intensity. With one
speaker there is no speaker-disjoint split: all is train.

The listing of another toolkit writes ``Surprise`` for ``Surprised``. It has 1181 clips;
how many rows the table has beyond them is not verified (the paper counts 2.3 h).

Split: none in the paper.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep.corpus import (
    Corpus,
    Download,
    Rejected,
    Utterance,
    clips,
    find,
    read_table,
)

COLUMNS = ("emotion", "audio_recording", "user_id")
SOURCE = (
    "the resource's page on OpenSLR, which gives no hash; not tried against the host"
)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the table; find the clips by their names."""
    found: dict[str, tuple[str, str]] = {}
    for path, media in clips(folder):
        name = PurePosixPath(path).stem
        if name in found:
            yield Rejected(media or path, f"a second clip beside {found[name][0]}")
        found.setdefault(name, (path, media))
    for table in find(folder, "metadata.csv")[:1]:
        for row in read_table(table, COLUMNS, delimiter="|"):
            name = PurePosixPath(row["audio_recording"]).stem
            path, media = found.pop(name, (f"cleaned_webm/{name}.wav", ""))
            yield Utterance(
                id=name,
                path=path,
                media=media,
                speaker=row["user_id"],
                emotion=row["emotion"],
                gender=row.get("gender", ""),
                intensity=row.get("level", ""),
                text=row.get("utterance", ""),
            )
    for path, media in found.values():
        yield Rejected(media or path, "not in metadata.csv")


CORPUS = Corpus(
    name="emns",
    title="EMNS",
    language="en",
    licence="Apache 2.0",
    homepage="https://www.openslr.org/136/",
    layout="metadata.csv, and cleaned_webm/recorded_audio_02jmPGL.webm, ...",
    emotions={
        "Neutral": "neutral",
        "Happy": "happy",
        "Angry": "angry",
        "Sad": "sad",
        "Disgust": "disgust",
        "Excited": "excitement",
        "Sarcastic": "sarcasm",
        "Surprised": "surprise",
    },
    utterances=utterances,
    expected={
        "neutral": 149,
        "happy": 157,
        "angry": 126,
        "sad": 147,
        "disgust": 162,
        "excitement": 150,
        "sarcasm": 139,
        "surprise": 151,
    },
    size=1181,
    speakers=1,
    hours=1.91,
    downloads=(
        Download("https://www.openslr.org/resources/136/metadata.csv", source=SOURCE),
        Download(
            "https://www.openslr.org/resources/136/cleaned_webm.tar.xz", source=SOURCE
        ),
    ),
)
