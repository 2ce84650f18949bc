"""EESC, the Estonian Emotional Speech Corpus (Eesti emotsionaalse kõne korpus, EKORPUS).

1234 sentences of journalistic texts, read aloud by women who were not told an emotion,
and labelled by at least 30 listeners each: 44.1 kHz mono.

Paper: Altrov and Pajupuu, "Estonian Emotional Speech Corpus: theoretical base and
implementation", ES3 workshop at LREC 2012. Licence: CC BY 3.0. Home page:
https://metashare.ut.ee/repository/download/4d42d7a8463411e2a6e4005056b40024a19021a316b54b7fb707757d43d1a889/

Layout: for each sentence a .wav and a .TextGrid of the same name in one folder; the
TextGrid's tier ``emotion`` holds the label (anger, joy, sadness, neutral), its tier
``sentence`` the text.

Quirks: nearly all is read by one woman, some by a second; the files do not say which,
so the corpus has no speakers here. TextGrids of Praat's long and short form are read.

Split: none in the paper; by default all is train. The layout was put together from
programs that read it, not from a copy.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep.corpus import (
    Corpus,
    Rejected,
    Utterance,
    audio_files,
    files,
    read_text,
)

SUFFIXES = (".textgrid",)
# In either form, no string stands between a tier's name and its first label.
LABEL = re.compile(r'"emotion"[^"]*"([^"]*)"', re.IGNORECASE)
TEXT = re.compile(r'"sentence"[^"]*"((?:[^"]|"")*)"', re.IGNORECASE)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the TextGrid beside each recording."""
    grids = {path[: -len(".TextGrid")]: path for path, _ in files(folder, SUFFIXES)}
    for path, stem in audio_files(folder):
        grid = grids.get(PurePosixPath(path).with_suffix("").as_posix())
        tiers = read_text(folder / grid, "cp1252") if grid else ""
        label, text = LABEL.search(tiers), TEXT.search(tiers)
        if not label:
            yield Rejected(path, "no TextGrid with a tier 'emotion' beside it")
            continue
        yield Utterance(
            id=stem,
            path=path,
            speaker="",
            emotion=label[1].strip(),
            gender="female",
            text=text[1].replace('""', '"').strip() if text else "",
        )


CORPUS = Corpus(
    name="eesc",
    title="EESC",
    language="et",
    licence="CC BY 3.0",
    homepage="https://metashare.ut.ee/repository/download/"
    "4d42d7a8463411e2a6e4005056b40024a19021a316b54b7fb707757d43d1a889/",
    layout="1.wav and 1.TextGrid, ... in one folder",
    emotions={
        "neutral": "neutral",
        "joy": "happy",
        "anger": "angry",
        "sadness": "sad",
    },
    utterances=utterances,
    size=1234,
    steps="Download ekorpus.zip from the home page; no form is asked for.",
)
