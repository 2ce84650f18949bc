"""Languages as tables write them, as ISO 639-1 codes."""

import re

# ISO 639-1 code: ISO 639-3 and 639-2 codes, and names.
NAMES = {
    "am": "amh Amharic", "ar": "ara arb Arabic", "az": "aze Azerbaijani",
    "bg": "bul Bulgarian", "bn": "ben Bengali Bangla", "ca": "cat Catalan",
    "cs": "ces cze Czech", "cy": "cym wel Welsh", "da": "dan Danish",
    "de": "deu ger German Deutsch", "el": "ell gre Greek", "en": "eng English",
    "es": "spa Spanish Castilian", "et": "est Estonian", "eu": "eus baq Basque",
    "fa": "fas per pes Persian Farsi", "fi": "fin Finnish", "fr": "fra fre French",
    "ga": "gle Irish", "gu": "guj Gujarati", "ha": "hau Hausa", "he": "heb Hebrew",
    "hi": "hin Hindi", "hr": "hrv Croatian", "hu": "hun Hungarian",
    "hy": "hye arm Armenian", "id": "ind Indonesian", "ig": "ibo Igbo",
    "is": "isl ice Icelandic", "it": "ita Italian", "ja": "jpn Japanese",
    "ka": "kat geo Georgian", "kk": "kaz Kazakh", "km": "khm Khmer",
    "kn": "kan Kannada", "ko": "kor Korean", "lt": "lit Lithuanian",
    "lv": "lav Latvian", "mk": "mkd mac Macedonian", "ml": "mal Malayalam",
    "mn": "mon Mongolian", "mr": "mar Marathi", "ms": "msa may Malay",
    "mt": "mlt Maltese", "my": "mya bur Burmese", "ne": "nep Nepali",
    "nl": "nld dut Dutch", "no": "nor nob nno Norwegian", "or": "ori ory Odia Oriya",
    "pa": "pan Punjabi", "pl": "pol Polish", "ps": "pus Pashto",
    "pt": "por Portuguese", "ro": "ron rum Romanian", "ru": "rus Russian",
    "si": "sin Sinhala", "sk": "slk slo Slovak", "sl": "slv Slovenian",
    "so": "som Somali", "sq": "sqi alb Albanian", "sr": "srp Serbian",
    "sv": "swe Swedish", "sw": "swa swh Swahili", "ta": "tam Tamil",
    "te": "tel Telugu", "th": "tha Thai", "tl": "tgl Tagalog Filipino",
    "tr": "tur Turkish", "uk": "ukr Ukrainian", "ur": "urd Urdu", "uz": "uzb Uzbek",
    "vi": "vie Vietnamese", "xh": "xho Xhosa", "yo": "yor Yoruba",
    "zh": "zho chi cmn Chinese Mandarin", "zu": "zul Zulu",
}  # fmt: skip
CODES = {name.lower(): code for code, names in NAMES.items() for name in names.split()}


def code(text: str) -> str:
    """The ISO 639-1 code of a language.

    Arguments
    ---------
    text : str
        A code of ISO 639, with a region or without, or a name in English.

    Returns
    -------
    str
        Empty if the language is not known here; a code of two letters always is.

    Example
    -------
    >>> [code(text) for text in ("de", "German", "pt_BR", "cmn-Hans", "Klingon", "")]
    ['de', 'de', 'pt', 'zh', '', '']
    """
    first = re.split(r"[-_ (]", text.strip().lower(), maxsplit=1)[0]
    return first if re.fullmatch("[a-z]{2}", first) else CODES.get(first, "")
