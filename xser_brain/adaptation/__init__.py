"""Protocols beside strict zero-shot, kept apart from it: one small module each.

Only their names stand here, which cost no import.
"""

STRICT = "zero-shot"
ADAPTED = "adapted without labels"
FEW_SHOT = "few-shot"
# Of the second kind: how each is asked for, and what results call it.
PROTOCOLS = {
    "corpus": "transductive (corpus statistics)",
    "speaker": "transductive (speaker statistics)",
    "self_training": "transductive (self-training)",
    "running": "online (running statistics)",
}


def few_shot_of(examples: int) -> str:
    """What results of the third kind are called.

    Arguments
    ---------
    examples : int
        Labelled utterances.

    Returns
    -------
    str

    Example
    -------
    >>> few_shot_of(8)
    'few-shot (8 labelled utterances)'
    """
    return f"{FEW_SHOT} ({examples} labelled utterance{'s' * (examples != 1)})"
