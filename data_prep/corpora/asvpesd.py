"""ASVP-ESD, the Audio, Speech and Vision Processing Lab Emotional Sound Database.

Sounds from films, television, YouTube and sound libraries, in thirteen emotions, 16 kHz
mono: 13,964 files, most of them laughter, crying, screams and the like. Here the speech
of the three languages that the names give: Chinese (``asvpesd``), English
(``asvpesd_en``) and French (``asvpesd_fr``); they are in one folder, and each passes
over the others' files. One corpus of many languages could not be used zero-shot: nobody
could tell that the target's language was not trained on.

Paper: Landry, He, Yan and Li, "ASVP-ESD: A dataset and its benchmark for emotion
recognition using both speech and non-speech utterances", Global Scientific Journals
8(5), 2020. Licence: CC BY 4.0 (not verified). Home page:
https://zenodo.org/record/7132783

Layout: ``ASVP-ESD-Update/Audio/actor_12/03-01-05-01-02-12-02-01-01-16.wav``: modality
(03 audio), channel (01 speech, 02 not), emotion (01 boredom, 02 neutral, 03 happy, 04
sad, 05 angry, 06 fearful, 07 disgust, 08 surprised, 09 excited, 10 pleasure, 11 pain,
12 disappointment, 13 breath), intensity (01 normal, 02 high), statement, actor (odd:
female, even: male), age, source, language (01 Chinese, 02 English, 04 French, others:
Russian and others), likeness to other sounds. More numbers may follow; a last 77 means
noise, a last 66 mixed voices. ``Bonus`` holds more of the same, babies mostly.

Quirks: names have 8 to 12 numbers, a few a blank (``14 -01``). Speech without a
language or of other codes (00, 03, 05, ...) is rejected, as is what is not speech. An
actor's number is the corpus' own, yet no proven identity: 89 of 129 have speech in more
than one language. For the same reason none of these corpora should be the target of a
model that was trained on another of them. Mixed voices, and actor 00, who is of all
ages, have no speaker here.

The listing of another toolkit has all 13,964 files as one corpus of a language "mix":
4268 of them are used here, 1930 Chinese, 1879 English and 459 French; 8824 are no
speech, 871 have no language of the three, and one has the unknown emotion 17.

Split: none in the paper.
"""

import re
from pathlib import PurePosixPath

from data_prep.corpus import Corpus, Download, Rejected, Utterance
from data_prep.layouts import Walk, named

EMOTIONS = {
    "01": "boredom",
    "02": "neutral",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
    "09": "excited",
    "10": "pleasure",
    "11": "pain",
    "12": "disappointment",
    "13": "breath",
}
LANGUAGES = {"01": "Chinese", "02": "English", "04": "French"}
NAME = r"03-(0[12])-(\d\d)-(\d+)-\d+-(\d+)-\d+-\d+(?:-(\d\d))?(?:-[\d ]+)*"


def walker(wanted: str) -> Walk:
    """The walking function of one language."""

    @named(NAME)
    def utterances(path: str, match: re.Match) -> Utterance | Rejected | None:
        """Read everything off the file name."""
        channel, emotion, intensity, actor, language = match.groups()
        if channel != "01":
            return Rejected(path, "no speech")
        if language not in LANGUAGES:
            return Rejected(path, "a language that the name does not tell")
        if language != wanted:
            return None
        folder, name = PurePosixPath(path).parent.name, match.string
        one = int(actor) and not name.endswith("-66")
        return Utterance(
            id=f"{folder}_{name}".replace(" ", ""),
            path=path,
            speaker=actor if one else "",
            emotion=EMOTIONS.get(emotion, emotion),
            gender=("male", "female")[int(actor) % 2] if one else "",
            intensity={"01": "normal", "02": "high"}.get(intensity, ""),
        )

    return utterances


EXPECTED = {
    "neutral": (449, 513, 61),
    "happy": (263, 213, 58),
    "angry": (554, 272, 71),
    "sad": (299, 112, 70),
    "fear": (52, 61, 8),
    "disgust": (17, 130, 15),
    "surprise": (156, 194, 58),
    "boredom": (8, 81, 7),
    "excitement": (73, 139, 31),
    "pain": (4, 39, 4),
    "other": (55, 125, 76),
}


def declare(
    name: str, code: str, language: str, counts: tuple[int, ...], hours: float
) -> Corpus:
    """The declaration of one language; its counts are utterances and speakers."""
    size, speakers = counts
    column = list(LANGUAGES).index(code)
    return Corpus(
        name=name,
        title=f"ASVP-ESD, {LANGUAGES[code]} speech",
        short=f"ASVP-ESD {LANGUAGES[code]}",
        language=language,
        licence="CC BY 4.0 (not verified)",
        homepage="https://zenodo.org/record/7132783",
        layout=f"Audio/actor_12/03-01-05-01-02-12-02-01-{code}-16.wav, ...",
        emotions={
            **{emotion: emotion for emotion in EMOTIONS.values()},
            "fearful": "fear",
            "surprised": "surprise",
            "excited": "excitement",
            **dict.fromkeys(("pleasure", "disappointment", "breath"), "other"),
        },
        utterances=walker(code),
        expected={emotion: counts[column] for emotion, counts in EXPECTED.items()},
        size=size,
        speakers=speakers,
        hours=hours,
        folder="asvpesd",
        downloads=(
            Download(
                "https://zenodo.org/record/7132783/files/ASVP-ESD-Update.zip",
                source="nkululeko's data/asvp-esd/README.md; not tried against the "
                "host, which publishes an MD5 that was not found",
            ),
        ),
    )


CORPORA = (
    declare("asvpesd", "01", "zh", (1930, 69), 2.95),
    declare("asvpesd_en", "02", "en", (1879, 89), 2.89),
    declare("asvpesd_fr", "04", "fr", (459, 57), 0.95),
)
