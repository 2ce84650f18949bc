"""The utterance embeddings that a run keeps, for figures and probes."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from data_prep.manifest import Row, write_atomic
from xser_brain.artefacts import find_file

NAME = "embeddings.npz"
AGAIN = "train that run again"
FIELDS = ("emotion", "language", "speaker")


def spread(rows: Sequence[Row], most: int) -> list[Row]:
    """At most ``most`` rows, at equal steps, so that each corpus keeps its share."""
    if not most:
        return []
    return list(rows[:: max(1, -(-len(rows) // most))])


def save(
    folder: Path, parts: Mapping[str, tuple[Sequence[Row], Mapping[str, object]]]
) -> None:
    """Write a run's embeddings, in half precision.

    ``parts`` is, by name (``train``, ``valid``, ``target``), the utterances of a part,
    and their ``ids`` and ``embeddings`` as ``XSERBrain.predict`` gives them.
    """
    columns: dict[str, list] = {"ids": [], "part": [], **{name: [] for name in FIELDS}}
    embeddings = []
    for part, (rows, outputs) in parts.items():
        by_id = {row.ID: row for row in rows}
        embeddings.append(outputs["embeddings"].astype(np.float16))
        columns["ids"] += outputs["ids"]
        columns["part"] += [part] * len(outputs["ids"])
        for name in FIELDS:
            columns[name] += [getattr(by_id[i], name) for i in outputs["ids"]]
    buffer = io.BytesIO()
    arrays = {name: np.array(values, dtype=str) for name, values in columns.items()}
    np.savez_compressed(buffer, embeddings=np.concatenate(embeddings), **arrays)
    write_atomic(folder / NAME, buffer.getvalue())


def load(folder: Path) -> dict[str, np.ndarray] | None:
    """Read a run's embeddings; None if it kept none, UserError if the file is damaged.

    ``ids``, ``part``, ``emotion``, ``language`` and ``speaker`` are (utterances,) str,
    ``embeddings`` is (utterances, width) float16.
    """
    path = find_file(Path(folder), NAME)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    # An archive within which are arrays: each part fails in its own way.
    except Exception as error:
        raise UserError(f"{path} is damaged: train that run again") from error


def of_part(folder: Path, part: str, width: int) -> dict[str, tuple[str, np.ndarray]]:
    """The emotion and the embedding of each utterance of a part, by ID.

    Arguments
    ---------
    folder : Path
        Of a finished run.
    part : str
        ``train``, ``valid`` or ``target``.
    width : int
        Of the run's embeddings.

    Returns
    -------
    dict of str to (str, (width,) numpy.ndarray)

    Raises
    ------
    UserError
        If the run kept none, or not those of its model.
    """
    arrays = load(folder)
    if arrays is None:
        raise UserError(f"{folder} kept no embeddings: {AGAIN}")
    path = Path(folder) / NAME
    try:
        own = arrays["part"] == part
        columns = (arrays[name][own] for name in ("ids", "emotion", "embeddings"))
        ids, emotions, embeddings = columns
        held = embeddings.astype(np.float64)
        found = zip(emotions.tolist(), held, strict=True)
        utterances = dict(zip(ids.tolist(), found, strict=True))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UserError(f"{path} lacks what {folder} scored: {AGAIN}") from error
    if held.shape != (len(ids), width) or not np.isfinite(held).all():
        raise UserError(f"{path} holds no embeddings of this run's model: {AGAIN}")
    return utterances
