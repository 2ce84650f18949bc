"""The emotions: the four that models are trained on, and the wide vocabulary.

Every corpus maps each of its native labels to one label of ``WIDE``, so that corpora
can be compared beyond the four. Where the field counts a wide label as one of the four
with some corpus (excitement as happy in IEMOCAP), the corpus says so in ``merge``.

==============  ====================================================================
label           native labels that it stands for, for instance
==============  ====================================================================
neutral         neutral, normal
happy           happiness, joy, amused happiness (laughter alone: amusement)
angry           anger, hot and cold anger, annoyance
sad             sadness, grief
fear            fear, terror
disgust         disgust
surprise        surprise of either kind
calm            calm, relaxed; acted as an emotion, unlike neutral
contempt        contempt, scorn
boredom         boredom
excitement      excitement, elation
frustration     frustration
amusement       amusement, laughter
anxiety         anxiety, worry, nervousness
sleepiness      sleepiness, tiredness
confusion       confusion, puzzlement
pride           pride
relief          relief
interest        interest, curiosity
enthusiasm      enthusiasm
sarcasm         sarcasm, irony
pain            pain
other           whatever is none of them, and utterances without an agreed label
==============  ====================================================================
"""

EMOTIONS = ("neutral", "happy", "angry", "sad")
WIDE = (
    *EMOTIONS,
    "fear",
    "disgust",
    "surprise",
    "calm",
    "contempt",
    "boredom",
    "excitement",
    "frustration",
    "amusement",
    "anxiety",
    "sleepiness",
    "confusion",
    "pride",
    "relief",
    "interest",
    "enthusiasm",
    "sarcasm",
    "pain",
    "other",
)

# Which labels a model can be trained on by name: label to the wide labels that count as it.
LABEL_SETS = {
    "paper": {emotion: (emotion,) for emotion in EMOTIONS},
    "six": {label: (label,) for label in (*EMOTIONS, "fear", "disgust")},
    "seven": {label: (label,) for label in (*EMOTIONS, "fear", "disgust", "surprise")},
    "emodb": {label: (label,) for label in (*EMOTIONS, "fear", "disgust", "boredom")},
    "valence": {
        "positive": (
            "happy", "excitement", "amusement", "enthusiasm", "pride", "relief",
        ),
        "negative": (
            "angry", "sad", "fear", "disgust", "contempt", "frustration", "anxiety",
        ),
    },
}  # fmt: skip
