"""Dusha, crowd part (Russian).

People act sentences for a voice assistant in four emotions, at home, and others label
what they hear: 201,850 recordings of 2068 speakers, 16 kHz mono.

Paper: Kondratenko et al., "Large raw emotional dataset with aggregation mechanism",
arXiv:2212.12266, 2022. Licence: the authors' own, free of charge (license/en_us.pdf of
the repository). Home page: https://github.com/salute-developers/golos/tree/master/dusha

Layout: ``crowd_train/raw_crowd_train.jsonl`` and ``crowd_test/raw_crowd_test.jsonl``, one
line an annotator and recording: ``hash_id``, ``audio_path``, ``annotator_emo``,
``golden_emo``, ``speaker_text``, ``speaker_emo``, ``source_id``, ``annotator_id``. Audio
is ``crowd_train/wavs/<hash_id>.wav``. The same in .tsv is passed over.

Quirks: the label is the one that most annotators gave; a tie is ``no majority``. (The
authors weigh annotators, by Dawid and Skene, and drop what stays doubtful.) Recordings
with a ``golden_emo``, which checked the annotators, are rejected, as the authors do.
``source_id`` is taken as the speaker, which is not verified against a copy. The podcast
part comes without audio and is left out. ``positive`` is happy.

Split: none in the paper; the official parts are train and test, without valid.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Rejected,
    Utterance,
    audio_files,
    by_name,
    find,
)
from data_prep.labels import read_json

TIE = "no majority"


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Count the annotators' votes; find the audio by its name."""
    audio = by_name(audio_files(folder))
    for part in ("train", "test"):
        for labels in find(folder, f"raw_crowd_{part}.jsonl")[:1]:
            votes, about = _read(labels)
            wavs = labels.parent.relative_to(folder) / "wavs"
            for name, counted in votes.items():
                text, speaker, golden = about[name]
                path = audio.pop(name, (wavs / f"{name}.wav").as_posix())
                if golden:
                    yield Rejected(path, "a recording that checked the annotators")
                    continue
                (emotion, most), *others = counted.most_common(2)
                yield Utterance(
                    id=name,
                    path=path,
                    speaker=speaker,
                    emotion=TIE if others and others[0][1] == most else emotion,
                    split=part,
                    text=text,
                )
    for path in audio.values():
        yield Rejected(
            path, "in neither raw_crowd_train.jsonl nor raw_crowd_test.jsonl"
        )


def _read(labels: Path) -> tuple[dict[str, Counter], dict[str, tuple[str, ...]]]:
    """Votes, and text, speaker and golden label, by recording."""
    votes: dict[str, Counter] = {}
    about = {}
    with read_json(labels, lines=True) as rows:
        for row in rows:
            name = str(row["hash_id"])
            votes.setdefault(name, Counter())[str(row["annotator_emo"])] += 1
            # What is empty in the authors' tables is NaN here.
            about[name] = tuple(
                value if isinstance(value, str) else ""
                for value in (row["speaker_text"], row["source_id"], row["golden_emo"])
            )
    return votes, about


CORPUS = Corpus(
    name="dusha",
    title="Dusha, crowd",
    short="Dusha",
    language="ru",
    licence="the authors' own, free of charge",
    homepage="https://github.com/salute-developers/golos/tree/master/dusha",
    layout="crowd_train/raw_crowd_train.jsonl, crowd_test/raw_crowd_test.jsonl, and "
    "wavs/ beside either",
    emotions={
        "neutral": "neutral",
        "positive": "happy",
        "angry": "angry",
        "sad": "sad",
        "other": "other",
        TIE: "other",
    },
    utterances=utterances,
    size=201850,
    speakers=2068,
    hours=255.7,
    parts=True,
    steps="Download crowd.tar (28 GB, https://sc.link/ByGN) and extract it; no form is "
    "asked for.",
)
