"""MELD, the Multimodal EmotionLines Dataset (English).

Utterances cut from the TV series Friends: spontaneous in manner, with laughter and
noise, seven emotions voted by three annotators.

Paper: Poria et al., "MELD: A multimodal multi-party dataset for emotion recognition in
conversations", ACL 2019. Licence: GPL-3.0 (label files); the clips are for research.
Home page: https://affective-meld.github.io

Layout: label files ``{train,dev,test}_sent_emo.csv``; clips ``dia0_utt0.mp4`` in
``train_splits``, ``dev_splits_complete`` and ``output_repeated_splits_test``. The
numbers restart in each part. ``prepare`` decodes each video into a .wav beside it.

Quirks: every row of the label files counts, whether its clip is there or not. Four
clips cannot be used: train dia125_utt3 is corrupt, dev dia110_utt7 is missing, test
dia38_utt4 and dia220_utt0 last minutes. Clips without a row are rejected; the authors
say to ignore them, and with them the test part's second set ``final_videos_testdia*``.
Some copies hold typographic quotes as C1 control characters. A speaker is the name in
the label file; crowds ("All", "Ross and Joey") count as speakers of their own.

Split of the paper (8245 / 897 / 2211, 249 training speakers): the official one, in
which the main characters speak in every part. ``--splits=speaker`` is speaker-disjoint.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    PaperSplit,
    Rejected,
    Utterance,
    clips,
    find,
    read_table,
)
from data_prep.splits import official

PARTS = {
    "train": ("train", "train_splits"),
    "dev": ("valid", "dev_splits_complete"),
    "test": ("test", "output_repeated_splits_test"),
}
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
CLIP = re.compile(
    r"(?:.*/)?[^/]*(train|dev|test)[^/]*/(?:.*/)?(dia\d+_utt\d+)\.\w+", re.I
)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the label files; find the clips wherever they are."""
    found = {}
    for path, media in clips(folder):
        match = CLIP.fullmatch(path)
        key = "_".join(match.groups()).lower() if match else path
        if found.setdefault(key, (path, media)) != (path, media):
            yield Rejected(media or path, "a second clip of one utterance")
    listed = set()
    for part, (split, home) in PARTS.items():
        labels = find(folder, f"{part}_sent_emo.csv")
        for row in read_table(labels[0], COLUMNS) if labels else ():
            name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
            listed.add(f"{part}_{name}")
            path, media = found.get(f"{part}_{name}", (f"{home}/{name}.wav", ""))
            yield Utterance(
                id=f"{part}_{name}",
                path=path,
                media=media,
                speaker=_quotes(row["Speaker"]),
                emotion=row["Emotion"].lower(),
                split=split,
                text=_quotes(row["Utterance"]),
            )
    for key, (path, media) in found.items():
        if key not in listed:
            yield Rejected(media or path, "no row of the label files names this clip")


def _quotes(text: str) -> str:
    """Read C1 control characters as the cp1252 characters that they were."""
    return re.sub(
        "[\x80-\x9f]",
        lambda c: c[0].encode("latin-1").decode("cp1252", "replace"),
        text,
    )


CORPUS = Corpus(
    name="meld",
    title="MELD",
    language="en",
    licence="GPL-3.0, clips for research",
    homepage="https://affective-meld.github.io",
    layout="train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv, and the clips as "
    "train_splits/dia0_utt0.mp4, ...",
    emotions={
        "neutral": "neutral",
        "joy": "happy",
        "anger": "angry",
        "sadness": "sad",
        "surprise": "surprise",
        "disgust": "disgust",
        "fear": "fear",
    },
    utterances=utterances,
    expected={
        "neutral": 6436,
        "happy": 2308,
        "angry": 1607,
        "sad": 1002,
        "surprise": 1636,
        "disgust": 361,
        "fear": 358,
    },
    size=13708,
    speakers=304,
    hours=12.1,
    parts=True,
    paper_split=PaperSplit((8245, 897, 2211), 249, official, speaker_disjoint=False),
    unusable={
        "train_dia125_utt3": "known to be corrupt in the release",
        "test_dia38_utt4": "known to be mis-cut: it lasts minutes",
        "test_dia220_utt0": "known to be mis-cut: it lasts minutes",
    },
    missing="put the clips into train_splits, dev_splits_complete and "
    "output_repeated_splits_test",
    steps="Get MELD.Raw.tar.gz, which the home page links to, and unpack it and the three "
    "archives in it.",
)
