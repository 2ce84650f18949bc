"""Data sets of Hugging Face, in Parquet or Arrow, unpacked into recordings and a table.

Their files are read as what they are, tables with a recording in each row: no script of
a data set runs, and ``datasets`` is not needed, only ``pyarrow``, which comes with it.
"""

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_prep import outside
from data_prep.errors import UserError
from data_prep.exchange import require
from data_prep.exchange.plain_tables import PARTS
from data_prep.manifest import write_atomic
from data_prep.progress import bar

logger = logging.getLogger(__name__)

ROWS = 64  # that are read at once, with their recordings
TABLE = "metadata.csv"
FILE = "file_name"  # its column of the recordings, as in an "audio folder" of the hub
# First bytes of a recording, and what such a file is called.
KINDS = {
    rb"RIFF|RF64": ".wav",
    rb"fLaC": ".flac",
    rb"OggS": ".ogg",
    rb"FORM": ".aiff",
    rb"ID3|\xff[\xe0-\xff]": ".mp3",
    rb".{4}ftyp": ".m4a",
}
FEATURES = {"info": {"features": {str: object}}}
STATE = {"_data_files": [{"filename": str}]}


@dataclass(frozen=True)
class Part:
    """A file of a data set: its folder's root, where it lies, and what split it is of."""

    root: Path
    path: Path
    split: str


@dataclass(frozen=True)
class Record:
    """A row: texts by column, the recording, and what it was called; "" if by nothing."""

    values: dict[str, str]
    audio: bytes
    name: str


def unpack(source: str, folder: Path) -> tuple[list[dict[str, str]], "Unpacked"]:
    """Read the rows of a data set, without writing anything yet.

    Arguments
    ---------
    source : str
        A folder of ``save_to_disk`` or of Parquet files, one such file, or a name on the
        hub.
    folder : Path
        Where its recordings shall lie.

    Returns
    -------
    rows : list of dict
        Texts by column; ``file_name`` is the recording's path below the folder, ``split``
        what the data set calls the part.
    unpacked : Unpacked
        Writes them.

    Raises
    ------
    UserError
        If there is no such data set, it cannot be read, or it holds no recordings.
    """
    require("pyarrow")
    parts = _parts(source)
    rows, taken, places = [], Counter(), []
    for part in parts:
        split = part.split if part.split.lower() in PARTS else ""
        for number, record in enumerate(_records(part)):
            name = _file_name(record, part, number, taken)
            places.append(name)
            if name:
                rows.append({"split": split, **record.values, FILE: name})
    if not rows:
        raise UserError(f"{source} holds no recording in a format that is known")
    header = list(dict.fromkeys(key for row in rows for key in row))
    rows = [{key: row.get(key, "") for key in header} for row in rows]
    return rows, Unpacked(parts, places, rows, Path(folder))


@dataclass(frozen=True)
class Unpacked:
    """What ``unpack`` found.

    Arguments
    ---------
    parts : list of Part
        The files.
    places : list of str
        Path of each record's recording below ``folder``; empty if it has none.
    rows : list of dict
        All else, and that path.
    folder : Path
        Where to write.
    """

    parts: Sequence[Part]
    places: Sequence[str]
    rows: Sequence[dict[str, str]]
    folder: Path

    def write(self) -> None:
        """Write recordings that are not there yet, and all else as a table beside them.

        Raises
        ------
        UserError
            If the folder cannot be written to.
        """
        records = (record for part in self.parts for record in _records(part))
        pairs = zip(self.places, records, strict=True)
        title = f"{self.folder.name}, unpacking"
        for place, record in bar(pairs, title, len(self.places)):
            if not place:
                continue
            path = outside.inside(self.folder, place)
            if not (path.is_file() and path.read_bytes() == record.audio):
                write_atomic(path, record.audio)
        stream = io.StringIO()
        columns = [FILE, *(key for key in self.rows[0] if key != FILE)]
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomic(self.folder / TABLE, stream.getvalue().encode("utf-8", "replace"))


def _parts(source: str) -> list[Part]:
    path = Path(source)
    if path.is_file():
        return [Part(path.parent, path, _split_of(path, path.parent))]
    if not path.is_dir():
        path = _from_hub(source)
    states = sorted(path.glob("state.json")) or sorted(path.glob("*/state.json"))
    if states:  # of `save_to_disk`; beside its files, those of a cache may lie
        return [
            Part(
                path,
                outside.inside(state.parent, item["filename"]),
                "" if state.parent == path else state.parent.name,
            )
            for state in states
            for item in outside.read_json(state, "the state of a data set", STATE)[
                "_data_files"
            ]
        ]
    files = sorted(path.rglob("*.parquet")) or sorted(path.rglob("*.arrow"))
    if not files:
        raise UserError(
            f"{source} holds no Parquet or Arrow file: pass a data set of Hugging Face as "
            "`save_to_disk` or the hub has it (its scripts are not run)"
        )
    return [Part(path, file, _split_of(file, path)) for file in files]


def _split_of(file: Path, root: Path) -> str:
    """Which part a file is of: ``train-00000-of-00002.parquet``, ``train/0000.parquet``."""
    stem = re.sub(r"-\d+-of-\d+$", "", file.stem)
    return file.parent.name if stem.isdigit() and file.parent != root else stem


def _from_hub(name: str) -> Path:
    """Get the Parquet files of a data set of the hub."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The second is the hub's own conversion of what others keep in another format.
    for revision in (None, "refs/convert/parquet"):
        try:
            found = huggingface_hub.snapshot_download(
                name,
                repo_type="dataset",
                revision=revision,
                allow_patterns=["*.parquet"],
            )
        except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise UserError(
                f"{name} is no file or folder here, and cannot be had from the hub "
                f"({reason[:200]}): pass a folder, or the name of a data set that can be "
                f"reached (where there is a network: `hf download --repo-type dataset "
                f"{name} --local-dir DIR`)"
            ) from error
        if any(Path(found).rglob("*.parquet")):
            break
    logger.info("%s, commit %s", name, Path(found).name)
    return Path(found)


def _records(part: Part) -> Iterator[Record]:
    """The rows of a file, a few at a time."""
    import pyarrow

    try:
        for batch in _batches(part.path):
            batch.validate(full=True)
            yield from _rows_of(batch, part)
    except UserError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(
            f"{part.path} is no sound Parquet or Arrow file ({reason:.200}): get it anew"
        ) from error


def _batches(path: Path) -> Iterator:
    import pyarrow
    import pyarrow.parquet

    if path.suffix == ".parquet":
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(ROWS)
        return
    with pyarrow.OSFile(str(path)) as stream:
        try:
            reader = pyarrow.ipc.open_stream(stream)
        except pyarrow.ArrowInvalid:
            stream.seek(0)
            file = pyarrow.ipc.open_file(stream)
            reader = map(file.get_batch, range(file.num_record_batches))
        for batch in reader:
            for start in range(0, len(batch), ROWS):
                yield batch.slice(start, ROWS)


def _rows_of(batch, part: Part) -> Iterator[Record]:
    """The rows of a batch: its texts and numbers, and the column of recordings."""
    import pyarrow

    sound, columns = None, {}
    named = _labels(batch.schema)
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pyarrow.types.is_struct(field.type):
            if sound is None and field.type.get_field_index("bytes") >= 0:
                sound = column.to_pylist()
        elif not (
            pyarrow.types.is_nested(field.type)
            or pyarrow.types.is_binary(field.type)
            or pyarrow.types.is_large_binary(field.type)
        ):
            columns[field.name] = [
                _text(value, named.get(field.name)) for value in column.to_pylist()
            ]
    if sound is None:
        raise UserError(
            f"{part.path} holds no recordings, only "
            f"{', '.join(batch.schema.names)}: a table that names files is one for `import "
            "csv`"
        )
    for number, item in enumerate(sound):
        audio, name = (item or {}).get("bytes"), (item or {}).get("path")
        name = name if isinstance(name, str) else ""
        if audio is None and name:
            audio = _file_beside(part, name)
        values = {key: column[number] for key, column in columns.items()}
        yield Record(values, audio if isinstance(audio, bytes) else b"", name)


def _file_beside(part: Part, name: str) -> bytes:
    """A recording that a data set names instead of holding it; only from its folder."""
    try:
        path = outside.inside(part.root, name)
        return outside.read_bytes(path, "a recording of a data set")
    except UserError:
        return b""


def _labels(schema) -> dict[str, list[str]]:
    """Names of the numbers in columns of labels, as the data set's features tell."""
    said = (schema.metadata or {}).get(b"huggingface")
    if not said:
        return {}
    features = outside.parse_json(said, "the features of the data set", FEATURES)
    found = {}
    for column, feature in features["info"]["features"].items():
        listed = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
            found[column] = listed
    return found


def _text(value: object, labels: list[str] | None) -> str:
    """A value as a table writes it."""
    if value is None or value != value:
        return ""
    if labels and isinstance(value, int):
        return labels[value] if 0 <= value < len(labels) else ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).replace("\0", "")


def _file_name(record: Record, part: Part, number: int, taken: Counter) -> str:
    """Where a recording shall lie: its part's folder, and its own name made plain."""
    kinds = (end for head, end in KINDS.items() if re.match(head, record.audio, re.S))
    suffix = next(kinds, "")
    if not suffix:
        return ""
    stem = PurePosixPath(record.name.replace("\\", "/")).stem or f"{number:06}"
    parts = (re.sub(r"[^\w-]+", "_", text)[:100] for text in (part.split, stem))
    place = stem = "/".join(filter(None, parts))
    while True:
        key = f"{place}{suffix}".casefold()
        taken[key] += 1
        if taken[key] == 1:
            return f"{place}{suffix}"
        place = f"{stem}_{taken[key]}"
