"""CaFE, the Canadian French Emotional speech dataset.

Twelve actors say six sentences in six emotions at two intensities, and neutrally: 936
utterances, 48 kHz mono (another edition: AIFF, 192 kHz).

Paper: Gournay, Lahaie and Lefebvre, "A Canadian French emotional speech dataset", ACM
MMSys 2018. Licence: CC BY-NC-SA 4.0. Home page: https://zenodo.org/record/1478765

Layout: ``CaFE_48k/Colère/Fort/01-C-2-1.wav``: actor (odd: male, even: female), emotion
(C anger, D disgust, J happiness, N neutral, P fear, S surprise, T sadness), intensity
(1 weak, 2 strong), sentence.

Quirks: the archive's folder names come out garbled with some tools (``ColŠre``), so all
is read off the file names. Neutral has one intensity, the other emotions two.

Split of the paper (420 / 42 / 42, 10 training speakers): which actors are held out is
not stated; here the last two, 11 for valid and 12 for test.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Download,
    PaperSplit,
    Rejected,
    Utterance,
    match_files,
)
from data_prep.splits import hold_out

EMOTIONS = {
    "C": "colère",
    "D": "dégoût",
    "J": "joie",
    "N": "neutre",
    "P": "peur",
    "S": "surprise",
    "T": "tristesse",
}
INTENSITIES = {"1": "weak", "2": "strong"}
SENTENCES = (
    "Un cheval fou dans mon jardin",
    "Deux ânes aigris au pelage brun",
    "Trois cygnes aveugles au bord du lac",
    "Quatre vieilles truies éléphantesques",
    "Cinq pumas fiers et passionnés",
    "Six ours aimants domestiqués",
)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything off the file names."""
    for item in match_files(folder, r"(\d\d)-([a-z])-([12])-([1-6])"):
        if isinstance(item, Rejected):
            yield item
            continue
        path, match = item
        actor, letter, intensity, sentence = match.groups()
        letter = letter.upper()
        yield Utterance(
            id=match.string.upper(),
            path=path,
            speaker=actor,
            emotion=EMOTIONS.get(letter, letter),
            gender="male" if int(actor) % 2 else "female",
            intensity="" if letter == "N" else INTENSITIES[intensity],
            text=SENTENCES[int(sentence) - 1],
        )


CORPUS = Corpus(
    name="cafe",
    title="CaFE",
    language="fr",
    licence="CC BY-NC-SA 4.0",
    homepage="https://zenodo.org/record/1478765",
    layout="Colère/Fort/01-C-2-1.wav, ...",
    emotions={
        "neutre": "neutral",
        "joie": "happy",
        "colère": "angry",
        "tristesse": "sad",
        "dégoût": "disgust",
        "peur": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected={
        "neutral": 72,
        **dict.fromkeys(("happy", "angry", "sad", "disgust", "fear", "surprise"), 144),
    },
    size=936,
    speakers=12,
    hours=1.15,
    paper_split=PaperSplit((420, 42, 42), 10, hold_out({"11"}, {"12"})),
    downloads=(
        Download(
            "https://zenodo.org/records/1478765/files/CaFE_48k.zip",
            source="https://zenodo.org/records/1478765; its hash was not looked up, nor "
            "the host tried",
        ),
    ),
)
