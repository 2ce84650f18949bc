"""PAVOQUE, a corpus of expressive German speech by one actor.

Stefan Röttig, an actor and singer, reads 3000 sentences neutrally and some 550 as each
of four characters: cheerful Poppy (happy), gloomy Obadiah (sad), aggressive Spike
(angry) and the cool poker player Max (poker): 5442 utterances, 44.1 kHz mono, 24 bit.

Paper: Steiner, Schröder and Klepp, "The PAVOQUE corpus as a resource for analysis and
synthesis of expressive speech", Phonetik und Phonologie 9, 2013. Licence: CC BY-NC-SA
3.0. Home page: https://github.com/marytts/pavoque-data

Layout: ``pavoque-angry.flac`` (happy, neutral, poker, sad), each one long recording,
and beside it ``pavoque-angry.yaml``: a list of prompt, text, style, start and end in
seconds, and segments (phones). ``prepare`` cuts the recordings up.

Quirks: ``pavoque-outtakes`` holds takes of all styles that the makers did not keep;
they are used where that recording is there, and marked by the session ``outtakes``.
With one speaker there is no speaker-disjoint split: all is train. An early state of the
label files, without start and end, is refused.

The listing of another toolkit has the 1892 outtakes as well: 7334 utterances.

Split: none in the paper.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep.corpus import (
    Corpus,
    Download,
    Rejected,
    Utterance,
    audio_files,
    files,
    read_text,
)
from data_prep.errors import UserError

STYLES = ("angry", "happy", "neutral", "poker", "sad")
RELEASE = "https://github.com/marytts/pavoque-data/releases/download/v0.2"
ENTRY = re.compile(r"^- ", re.M)
# The fields of an entry; those of its segments, of which there are many, are deeper.
FIELD = re.compile(r"^(?:  )?(\w+): *(.*?) *\r?$", re.M)
WORD = re.compile(r"\w+")


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the label files; find the recordings by their names."""
    audio = {
        name.lower(): path
        for path, name in audio_files(folder)
        if name.lower().startswith("pavoque-")
    }
    for labels, name in files(folder, (".yaml", ".yml")):
        part = name.lower().removeprefix("pavoque-")
        if part not in STYLES and (part != "outtakes" or name.lower() not in audio):
            continue
        home = PurePosixPath(labels).with_suffix("")
        media = audio.get(name.lower(), f"{home}.flac")
        for entry in ENTRY.split(read_text(folder / labels, "cp1252"))[1:]:
            fields = dict(FIELD.findall(entry))
            try:
                prompt, style = fields["prompt"], fields["style"]
                start, stop = float(fields["start"]), float(fields["end"])
                if not (
                    0 <= start < stop < math.inf and WORD.fullmatch(prompt + style)
                ):
                    raise ValueError
            except (LookupError, ValueError) as error:
                raise UserError(
                    f"{folder / labels}: an entry lacks a prompt, style, start or "
                    f"end: get the file anew from {CORPUS.homepage}"
                ) from error
            item = f"{prompt}-{style}" + ("-outtake" if part == "outtakes" else "")
            yield Utterance(
                id=item,
                path=f"{home}/{item}.wav",
                media=media,
                start=start,
                stop=stop,
                speaker="roettig",
                emotion=style,
                gender="male",
                text=fields.get("text", "").strip("'\"").replace("''", "'"),
                session="outtakes" if part == "outtakes" else "",
            )


CORPUS = Corpus(
    name="pavoque",
    title="PAVOQUE",
    language="de",
    licence="CC BY-NC-SA 3.0",
    homepage="https://github.com/marytts/pavoque-data",
    layout="pavoque-angry.flac and pavoque-angry.yaml, ... for angry, happy, neutral, "
    "poker and sad",
    emotions={
        "neutral": "neutral",
        "happy": "happy",
        "angry": "angry",
        "sad": "sad",
        "poker": "other",
    },
    utterances=utterances,
    expected={
        "neutral": 3126,
        "happy": 584,
        "angry": 601,
        "sad": 556,
        "other": 575,
    },
    size=5442,
    speakers=1,
    hours=8.6,
    downloads=(
        *(
            Download(
                f"{RELEASE}/pavoque-{style}.flac",
                source="build.gradle of the repository, which gives no hash; not tried "
                "against the host",
            )
            for style in STYLES
        ),
        Download(
            "https://github.com/marytts/pavoque-data/archive/master.zip",
            source="README.md of the repository; not tried against the host",
        ),
    ),
)
