"""Hi, KIA, wake-up words with emotion (Korean).

Four men and four women call a car's assistant by "Hi, KIA" in four emotions: 488
utterances that listeners agreed on.

Paper: Kim et al., "Hi, KIA: a speech emotion recognition dataset for wake-up words",
APSIPA ASC 2022. Licence: CC BY 4.0. Home page: https://zenodo.org/records/7091465

Layout: ``hi_kia/wav/F5_..._a.wav``: speaker (F5 to F8, M1 to M4), scene, trial, letter.
The labels are in ``hi_kia/split/F5_eval.csv``, one file for each speaker: column
``fname`` and, for each emotion, a column of 0 or 1.

Quirks: the letter at the end of a name is the emotion that was asked for, in the
authors' own terms, and is not used. The training and validation lists of
``hi_kia/split`` repeat the others' labels and are passed over.

Split: the authors leave one speaker out at a time; here by speaker. The layout was put
together from two programs that read it, not from a copy, and the download was not tried
against the host.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep.corpus import (
    Corpus,
    Download,
    Rejected,
    Utterance,
    audio_files,
    by_name,
    files,
    read_table,
)

EMOTIONS = ("neutral", "happy", "angry", "sad")


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read each speaker's list; find the audio by its name."""
    audio = by_name(audio_files(folder))
    for table, stem in files(folder, (".csv",)):
        if not re.fullmatch(r"[FM]\d+_eval", stem):
            continue
        home = PurePosixPath(table).parent.parent / "wav"
        for row in read_table(folder / table, ("fname", *EMOTIONS)):
            name = PurePosixPath(row["fname"]).name.removesuffix(".wav")
            path = audio.pop(name, str(home / f"{name}.wav"))
            labels = [e for e in EMOTIONS if row[e] in ("1", "1.0")]
            if len(labels) != 1:
                yield Rejected(path, f"{len(labels)} emotions in {table}")
                continue
            yield Utterance(
                id=name,
                path=path,
                speaker=stem.removesuffix("_eval"),
                emotion=labels[0],
                gender="male" if stem.startswith("M") else "female",
                text="Hi, KIA",
            )
    for path in audio.values():
        yield Rejected(path, "in none of the lists split/*_eval.csv")


CORPUS = Corpus(
    name="hi_kia",
    title="Hi, KIA",
    language="ko",
    licence="CC BY 4.0",
    homepage="https://zenodo.org/records/7091465",
    layout="split/F5_eval.csv, ... and wav/F5_..._a.wav, ...",
    emotions={emotion: emotion for emotion in EMOTIONS},
    utterances=utterances,
    size=488,
    speakers=8,
    downloads=(
        Download(
            "https://zenodo.org/records/7091465/files/hi_kia_1.0.tar.gz",
            source="nkululeko, data/kia/README.md; the hash is on Zenodo's page alone",
        ),
    ),
)
