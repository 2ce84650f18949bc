"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset (English).

91 actors (48 men, 43 women) say 12 sentences in six emotions; one of the sentences at
three intensities as well: 7442 clips, 16 kHz mono.

Paper: Cao et al., "CREMA-D: Crowd-sourced emotional multimodal actors dataset", IEEE
Transactions on Affective Computing 5(4), 2014. Licence: ODbL 1.0 (database), DbCL 1.0
(clips). Home page: https://github.com/CheyneyComputerScience/CREMA-D

Layout: ``AudioWAV/1001_DFA_ANG_XX.wav``: actor, sentence, emotion (ANG, DIS, FEA, HAP,
NEU, SAD), intensity (LO, MD, HI, XX unspecified). ``VideoDemographics.csv`` (ActorID,
Age, Sex, Race, Ethnicity) gives the gender; a copy may lack it.

Quirks: the emotion is the one that was acted; the votes of the raters, in
``processedResults``, often differ. ``1076_MTI_SAD_XX`` is known to be silent. Some
copies write ``1040_ITH_SAD_X``. The .mp3 files and videos of the repository are passed
over. Fetched without Git LFS, every .wav is a text of 130 bytes.

Split: none in the paper.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Rejected,
    Utterance,
    find,
    match_files,
    read_table,
)

SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high"}


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything but the gender off the file names."""
    tables = find(folder, "VideoDemographics.csv")
    rows = read_table(tables[0], ("ActorID", "Sex")) if tables else ()
    genders = {row["ActorID"]: row["Sex"] for row in rows}
    for item in match_files(folder, r"(1\d{3})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX?)"):
        if isinstance(item, Rejected):
            yield item
            continue
        path, match = item
        actor, sentence, emotion, intensity = match.groups()
        yield Utterance(
            id=match.string.upper(),
            path=path,
            speaker=actor,
            emotion=emotion.upper(),
            gender=genders.get(actor, ""),
            intensity=INTENSITIES.get(intensity.upper(), ""),
            text=SENTENCES.get(sentence.upper(), ""),
        )


CORPUS = Corpus(
    name="cremad",
    title="CREMA-D",
    language="en",
    licence="ODbL 1.0, clips DbCL 1.0",
    homepage="https://github.com/CheyneyComputerScience/CREMA-D",
    layout="AudioWAV/1001_DFA_ANG_XX.wav, ... and VideoDemographics.csv",
    emotions={
        "NEU": "neutral",
        "HAP": "happy",
        "ANG": "angry",
        "SAD": "sad",
        "DIS": "disgust",
        "FEA": "fear",
    },
    utterances=utterances,
    expected={
        "neutral": 1087,
        **dict.fromkeys(("happy", "angry", "sad", "disgust", "fear"), 1271),
    },
    size=7442,
    speakers=91,
    hours=5.26,
    unusable={"1076_MTI_SAD_XX": "known to be silent"},
    steps="Clone the repository with Git LFS (git lfs install; git clone), or only its "
    "folder AudioWAV.",
)
