"""How a copy of a corpus compares with what its documentation declares."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from data_prep.corpus import Corpus
from data_prep.manifest import Row
from data_prep.vocabulary import EMOTIONS

TOLERATED = 0.1  # share of the utterances that a copy may lack


def census(corpus: Corpus, rows: Sequence[Row]) -> dict:
    """Count what is declared, and what is there.

    Arguments
    ---------
    corpus : Corpus
        Its declaration.
    rows : sequence of Row
        Of its manifest.

    Returns
    -------
    dict
        ``utterances``, ``speakers`` and ``emotions`` (of the wide vocabulary), each a
        pair of declared and found; only what is declared.
    """
    found = Counter(row.category for row in rows)
    speakers = len({row.speaker for row in rows if row.speaker})
    counts = {
        "utterances": [corpus.size, len(rows)],
        "speakers": [corpus.speakers, speakers],
    }
    return {
        **{name: pair for name, pair in counts.items() if pair[0]},
        "emotions": {
            wide: [number, found[wide]] for wide, number in corpus.expected.items()
        },
    }


def differences(about: Mapping) -> str:
    """Say in a line how a copy differs from the declared counts; empty if it does not.

    Arguments
    ---------
    about : mapping
        From ``census``.

    Returns
    -------
    str

    Example
    -------
    >>> differences({"utterances": [588, 504], "emotions": {"neutral": [84, 0]}})
    '504 of 588 utterances, 0 of 84 neutral'
    """
    pairs = {**about, **about.get("emotions", {})}
    pairs.pop("emotions", None)
    return ", ".join(
        f"{found} of {declared} {name}"
        for name, (declared, found) in pairs.items()
        if declared != found
    )


def lacking(about: Mapping, labels: Collection[str] = EMOTIONS) -> str:
    """Say what a copy lacks that no result should do without; empty if it may be used.

    That is one of the emotions that matter, or more than a tenth of their utterances
    (of all, where the corpus does not declare how many there are of each).

    Arguments
    ---------
    about : mapping
        From ``census``.
    labels : collection of str
        Of the wide vocabulary: those that matter.

    Returns
    -------
    str

    Example
    -------
    >>> lacking({"utterances": [588, 504], "emotions": {"neutral": [84, 0]}})
    'neutral (84 declared)'
    >>> lacking({"utterances": [588, 504]})
    '84 of 588 utterances'
    """
    emotions = about.get("emotions", {})
    pairs = [pair for wide, pair in emotions.items() if wide in labels]
    parts = [
        f"{wide} ({declared} declared)"
        for wide, (declared, found) in emotions.items()
        if wide in labels and declared and not found
    ]
    pairs = pairs or [about.get("utterances", (0, 0))]
    declared, found = (sum(numbers) for numbers in zip(*pairs, strict=True))
    missing = declared - found
    if missing > TOLERATED * declared and not (len(parts) == len(pairs) == 1):
        parts.append(f"{missing} of {declared} utterances")
    return " and ".join(parts)
