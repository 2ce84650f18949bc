"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song (English).

24 North American actors say two sentences twice in eight emotions at two intensities
(neutral at one): 1440 utterances of speech, 48 kHz.

Paper: Livingstone and Russo, PLoS ONE 13(5), 2018. Licence: CC BY-NC-SA 4.0. Home page:
https://zenodo.org/record/1188976

Layout: ``Actor_01/03-01-05-02-01-01-01.wav``: modality (03 audio only), channel (01
speech, 02 song), emotion (01 neutral, 02 calm, 03 happy, 04 sad, 05 angry, 06 fearful,
07 disgust, 08 surprised), intensity (01 normal, 02 strong), sentence, repetition, actor
(odd: male, even: female).

Quirks: songs are rejected. Calm, which some merge with neutral, is outside the four:
it was acted as an emotion of its own, at two intensities. Five files are stereo; levels
are very low; ``Actor_07/03-01-03-01-02-01-07.wav`` and ``...-02-07.wav`` are
byte-identical.

Split: none in the paper.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import Corpus, Download, Rejected, Utterance, match_files

EMOTIONS = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
)
WIDE = (*EMOTIONS[:5], "fear", "disgust", "surprise")
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything off the file names."""
    name = r"(0[123])-(0[12])-(\d\d)-(0[12])-(0[12])-0[12]-(\d\d)"
    for item in match_files(folder, name):
        if isinstance(item, Rejected):
            yield item
            continue
        path, match = item
        modality, channel, code, intensity, sentence, actor = match.groups()
        if modality != "03" or channel != "01":
            yield Rejected(path, "song" if channel == "02" else "not audio-only")
            continue
        known = 1 <= int(code) <= len(EMOTIONS)
        yield Utterance(
            id=match.string,
            path=path,
            speaker=actor,
            emotion=EMOTIONS[int(code) - 1] if known else code,
            gender="male" if int(actor) % 2 else "female",
            intensity="strong" if intensity == "02" else "normal",
            text=SENTENCES[sentence],
        )


CORPUS = Corpus(
    name="ravdess",
    title="RAVDESS, speech",
    short="RAVDESS",
    language="en",
    licence="CC BY-NC-SA 4.0",
    homepage="https://zenodo.org/record/1188976",
    layout="Actor_01/03-01-05-02-01-01-01.wav, ...",
    emotions=dict(zip(EMOTIONS, WIDE, strict=True)),
    utterances=utterances,
    expected={**dict.fromkeys(WIDE, 192), "neutral": 96},
    size=1440,
    speakers=24,
    hours=1.48,
    downloads=(
        Download(
            "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
            "md5:bc696df654c87fed845eb13823edef8a",
            "https://zenodo.org/records/1188976; not tried against the host",
        ),
    ),
)
