"""What the columns of labelled tables are called."""

# By what they hold; the likeliest name first, case and punctuation do not matter.
COLUMNS = {
    "path": (
        "path", "file", "filename", "filepath", "wav", "wavpath", "audio", "audiopath",
        "audiofile", "clip",
    ),
    "emotion": (
        "emotion", "label", "emotionlabel", "category", "class", "nativeemotion",
    ),
    "speaker": ("speaker", "speakerid", "spk", "spkid", "actor", "actorid", "clientid"),
    "language": ("language", "lang", "locale"),
    "split": ("split", "partition", "subset", "part"),
    "text": ("text", "transcript", "transcription"),
    "gender": ("gender", "sex"),
    "licence": ("licence", "license"),
    "corpus": (),  # by option alone
}  # fmt: skip
