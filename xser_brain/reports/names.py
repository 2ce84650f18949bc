"""What people call what runs are named by: corpora, systems and settings.

Files, folders and CSV keep the names that commands take; whatever is read by people has
these.
"""

import re

from data_prep import corpus
from data_prep.errors import UserError

SPELT = {"supcon": "SupCon", "spkadv": "SpkAdv", "lora": "LoRA", "ce": "CE"}
BETWEEN = "_to_"  # in the name of a setting


def corpus_name(name: str) -> str:
    """The registry's short name of a corpus; what it does not know stays as it is.

    Example
    -------
    >>> corpus_name("emodb"), corpus_name("mine")
    ('EMO-DB', 'mine')
    """
    try:
        return corpus.get(name).called
    except UserError:
        return name


def system_name(name: str) -> str:
    """A system's name in words, from that of its file.

    Example
    -------
    >>> [system_name(name) for name in ("baseline2", "robust_ridge", "without_supcon")]
    ['Baseline 2', 'Robust ridge', 'without SupCon']
    """
    words = re.sub(r"(?<=[a-z])(\d+)$", r" \1", name.replace("_", " ")).split(" ")
    text = " ".join(SPELT.get(word, word) for word in words)
    return text if text.startswith("without ") else text[:1].upper() + text[1:]


def setting_name(name: str) -> str:
    """A setting's name in words; the paper's own, as ``EN-DE``, stay as they are.

    Example
    -------
    >>> setting_name("ravdess+meld_to_emodb"), setting_name("EN-DE")
    ('RAVDESS + MELD to EMO-DB', 'EN-DE')
    """
    sources, between, target = name.partition(BETWEEN)
    if not between:
        return name
    named = " + ".join(map(corpus_name, sources.split("+")))
    return f"{named} to {corpus_name(target)}"


def target_name(name: str, language: str) -> str:
    """A target with the language that is spoken in it.

    Example
    -------
    >>> target_name("emodb", "German")
    'EMO-DB (German)'
    """
    return f"{corpus_name(name)} ({language})"
