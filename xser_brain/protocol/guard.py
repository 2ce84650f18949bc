"""The zero-shot guard: nothing of the target in what training or selection sees."""

import os
from collections.abc import Iterable
from functools import cache

from data_prep.errors import UserError
from data_prep.manifest import Row


def guard(
    seen: Iterable[Row], target: Iterable[Row], data_root: str | os.PathLike
) -> None:
    """Refuse anything of the target in what training or model selection sees.

    Arguments
    ---------
    seen : iterable of Row
        All that training, sampling, normalisation and model selection see.
    target : iterable of Row
        All of the target corpus.
    data_root : path
        Where the corpora lie; files are compared by what they are on disk, so that
        a link does not hide one, and by the hashes of their samples, so that a copy
        does not.

    Raises
    ------
    UserError
        Naming the corpus, language, speaker or file that is shared.
    """
    seen, target = list(seen), list(target)

    def shared(of) -> list:
        return sorted(
            {of(row) for row in seen if of(row)} & {of(row) for row in target}
        )

    for what, of, mend in (
        ("corpus", lambda row: row.corpus, "take it out of --source and --non_target"),
        ("language", lambda row: row.language, "leave out corpora of that language"),
        ("speaker", lambda row: row.speaker, "a speaker may be heard on one side only"),
    ):
        both = shared(of)
        if both:
            corpora = sorted({row.corpus for row in seen if of(row) in both})
            raise UserError(
                f"not zero-shot: the target's {what} {both[0]} is in the training data "
                f"(of {', '.join(corpora)}): {mend}"
            )

    real = cache(os.path.realpath)  # a folder holds many files

    def identity(row: Row):
        path = row.path(data_root)
        try:
            stat = os.stat(path)
        except OSError:
            folder, name = os.path.split(path)
            path = f"{real(folder)}/{name}"
            return os.path.realpath(path) if os.path.islink(path) else path
        return (stat.st_dev, stat.st_ino)

    held = {identity(row): row for row in target}
    heard = {row.audio_sha256: row for row in target if row.audio_sha256}
    for row in seen:
        twin, what = held.get(identity(row)), "a file"
        if not twin:
            twin, what = heard.get(row.audio_sha256), "a recording, copied or not,"
        if twin:
            raise UserError(
                f"not zero-shot: the target's file {twin.path(data_root)} is in the "
                f"training data as {row.ID} ({row.path(data_root)}): {what} may be used "
                "on one side only"
            )


def guard_encoder(
    adapted_on: Iterable[str], trained_on: Iterable[str], target: str
) -> None:
    """Refuse an encoder that was adapted to more than a run trains on.

    Then what the run says of its training, and of who was never heard, holds of the
    encoder too.

    Arguments
    ---------
    adapted_on : iterable of str
        The corpora that the encoder has heard before, with their labels.
    trained_on : iterable of str
        The corpora that the run trains on.
    target : str
        The target.

    Raises
    ------
    UserError
        Naming a corpus that only the encoder has heard.

    Example
    -------
    >>> guard_encoder(["urdu"], ["ravdess", "urdu"], "emodb")
    """
    trained_on = sorted(trained_on)
    more = sorted(set(adapted_on) - set(trained_on))
    if target in more:
        raise UserError(
            f"not zero-shot: the encoder was adapted to the target {target}: pass another "
            "--encoder_source"
        )
    if more:
        raise UserError(
            f"the encoder was adapted to {more[0]}, which this run does not train on "
            f"(but on {', '.join(trained_on)}): train on it too, or pass another "
            "--encoder_source"
        )
