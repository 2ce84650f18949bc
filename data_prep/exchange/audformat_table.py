"""Manifests as audformat databases, and audformat databases as corpora.

audformat is the format of audb and of nkululeko: a ``db.yaml`` and tables beside the
audio. A manifest becomes the tables ``files`` (all utterances) and ``emotion.train``,
``emotion.dev``, ``emotion.test`` (those of the four emotions, one table a part), as
nkululeko expects them; the audio is linked, not copied.
"""

import contextlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from data_prep import corpus, outside
from data_prep.corpus import Rejected, Utterance
from data_prep.errors import UserError
from data_prep.exchange import (
    CARRIED,
    PARTS,
    SPLITS,
    Found,
    Table,
    below,
    names,
    own,
    place,
    require,
    with_audio,
    writing,
)
from data_prep.manifest import Row
from data_prep.vocabulary import EMOTIONS, WIDE

logger = logging.getLogger(__name__)

ROWS = 5_000_000  # of a table
VALUES = 1_000_000  # in a header
EXTRA = ("speaker", "emotion", "category", "native_emotion", "split", *CARRIED)


def write(path: Path, data_root: Path, save_folder: Path) -> Path:
    """Write a manifest as an audformat database.

    Arguments
    ---------
    path : Path
        The manifest.
    data_root : Path
        Where the corpora lie.
    save_folder : Path
        The database is the folder in it that is named as the corpus' folder. It holds
        links to the audio, unless it is that folder itself.

    Returns
    -------
    Path
        The database.

    Raises
    ------
    UserError
        If the manifest cannot be read, or the folder cannot be written to.
    """
    audformat = require("audformat")
    rows = with_audio(path, data_root)
    homes = {PurePosixPath(row.wav).parts[1] for row in rows}
    if len(homes) > 1:
        raise UserError(
            f"{path} holds files of {' and '.join(sorted(homes))}: export one corpus "
            "at a time"
        )
    home = homes.pop()
    files = [str(PurePosixPath(*PurePosixPath(row.wav).parts[2:])) for row in rows]
    database = _database(audformat, rows, files)
    folder = Path(save_folder) / home
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for top in {PurePosixPath(file).parts[0] for file in files}:
            link = folder / top
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to((Path(data_root) / home / top).resolve())
        database.save(str(folder), storage_format="parquet")
    return folder


def _database(audformat, rows: Sequence[Row], files: Sequence[str]):
    """The tables of a manifest, in memory."""
    import pandas

    name = rows[0].corpus
    known = corpus.registry().get(name)
    database = audformat.Database(
        name,
        source=known.homepage if known else "",
        usage=audformat.define.Usage.OTHER,
        languages=_three_letters(audformat, rows[0].language),
        description=known.title if known else name,
        license=known.licence if known else None,
    )
    labels = {"emotion": EMOTIONS, "category": WIDE}
    columns = {
        "ID": [own(row, row.ID) for row in rows],
        "duration": pandas.to_timedelta([row.duration for row in rows], unit="s"),
        **{column: [getattr(row, column) for row in rows] for column in EXTRA},
        "speaker": [own(row, row.speaker) for row in rows],
    }
    index = audformat.filewise_index(list(files))
    table = database["files"] = audformat.Table(index)
    for column, values in columns.items():
        if column == "duration":
            scheme = audformat.Scheme(audformat.define.DataType.TIME)
        elif column in labels:
            scheme = audformat.Scheme(labels=list(labels[column]))
        else:
            scheme = audformat.Scheme(audformat.define.DataType.STRING)
        database.schemes[column] = scheme
        if column != "emotion":
            table[column] = audformat.Column(scheme_id=column)
            table[column].set([None if value == "" else value for value in values])
    for split, part in PARTS.items():
        chosen = [i for i, row in enumerate(rows) if row.split == split and row.emotion]
        if chosen:
            database.splits[part] = audformat.Split(part)
            table = audformat.Table(index[chosen], split_id=part)
            database[f"emotion.{part}"] = table
            table["emotion"] = audformat.Column(scheme_id="emotion")
            table["emotion"].set([rows[i].emotion for i in chosen])
    return database


def read(folder: Path, label: str = "", tables: Sequence[str] = ()) -> Table:
    """Read an audformat database.

    Segments become files of their own. Tables are read from CSV or Parquet; a pickle
    beside them, from which audformat would rather load, is left alone.

    Arguments
    ---------
    folder : Path
        Where ``db.yaml`` and the audio lie.
    label : str
        The scheme or column of the emotions; by default ``native_emotion`` if there
        is one, else ``emotion``.
    tables : sequence of str
        The tables to take labels from; by default all that have them.

    Returns
    -------
    Table

    Raises
    ------
    UserError
        If it is no such database, has no such label, its tables contradict each other,
        or one of them is there only as a pickle.
    """
    audformat = require("audformat")
    try:
        database = _load(audformat, Path(folder))
        label = label or (
            "native_emotion" if _has(database, "native_emotion") else "emotion"
        )
        tables = list(tables) or list(database.tables)
        frame = _labels(database, label, tables, folder)
        parts = _parts(database, tables)
        language = _two_letters(audformat, *database.languages)
        called = names(frame.index.get_level_values("file"))
        entries = list(zip(frame.index, frame.to_dict("records"), strict=True))
    except UserError:
        raise
    except Exception as error:  # whatever its parsers for YAML, CSV and Parquet raise
        raise UserError(
            f"{folder} is no audformat database that can be read ({error}): it should "
            "hold db.yaml and the tables that it names"
        ) from error
    table = Table(
        about={
            "title": _text(database.name),
            "licence": _text(database.license),
            "homepage": _text(database.source),
        }
    )
    for entry, values in entries:
        values = {key: _text(value) for key, value in values.items()}
        file, start, stop = _segment(entry)
        path = below(folder, file)
        if not path or not values[label]:
            why = "no emotion label" if path else f"lies outside {folder}"
            table.rejected.append(Rejected(file, why))
            continue
        utterance = Utterance(
            id=values["ID"] or _identify(called[file], start, stop),
            path=path,
            speaker=values["speaker"],
            emotion=values[label],
            split=SPLITS.get(values["split"] or parts.get(file, ""), ""),
            **{key: values[key] for key in CARRIED},
        )
        utterance.text = utterance.text or values["transcription"]
        table.found.append(
            Found(
                place(utterance, start, stop),
                _two_letters(audformat, values["language"]) or language,
                values["emotion"],
                values["category"],
            )
        )
    return table


def _load(audformat, folder: Path):
    """A database with its tables.

    ``Database.load`` would run code that stands in db.yaml, and unpickle tables.
    """
    import yaml

    header = outside.read_bytes(folder / "db.yaml", "the header of a database")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    header = yaml.load(header, loader)  # nosec B506 # it is the safe loader
    _weigh(header)
    database = audformat.Database.load_header_from_yaml(header)
    with tempfile.TemporaryDirectory() as home:
        for number, name in enumerate([*database.misc_tables, *database.tables]):
            source = _stored(folder, name)
            link = Path(home) / f"{number}{source.suffix}"
            link.symlink_to(source.resolve())
            database[name].load(str(link.with_suffix("")))
    return database


def _weigh(header: object) -> None:
    """Refuse YAML whose references to itself unfold to more than can be held."""
    todo, weight = [header], 0
    while todo:
        item = todo.pop()
        weight += 1
        if weight > VALUES:
            raise ValueError(f"over {VALUES:,} values in db.yaml")
        if isinstance(item, dict):
            todo += [*item, *item.values()]
        elif isinstance(item, list | tuple | set):
            todo += item


def _stored(folder: Path, name: str) -> Path:
    """The file of a table that is safe to read."""
    paths = {
        suffix: outside.inside(folder, f"db.{name}.{suffix}")
        for suffix in ("parquet", "csv", "pkl")
    }
    there = [suffix for suffix, path in paths.items() if path.is_file()]
    if there == ["pkl"]:
        raise UserError(
            f"{paths['pkl']} is a pickle, which can run code when it is loaded: have its "
            "owner save the table as CSV or Parquet (audformat: storage_format='parquet')"
        )
    if not there:
        raise UserError(f"{folder} lacks the table {name!r}: get it anew")
    path = paths[there[0]]
    if path.stat().st_size > outside.LARGEST:
        raise UserError(f"{path} is larger than {outside.LARGEST:,} bytes: get it anew")
    if path.suffix == ".parquet":
        import pyarrow.parquet

        rows = pyarrow.parquet.read_metadata(path).num_rows
        if rows > ROWS:
            raise UserError(f"{path} has {rows:,} rows, and at most {ROWS:,} are read")
    return path


def _has(database, name: str) -> bool:
    tables = database.tables.values()
    return name in database.schemes or any(name in table.columns for table in tables)


def _labels(database, label: str, tables: Sequence[str], folder: Path):
    """The labels, and beside them what else the database says of the same files."""
    try:
        frame = database.get(label, tables=tables)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{folder}: the tables {', '.join(tables)} contradict each other about "
            f"{label}: choose by --tables"
        ) from error
    if frame.empty:
        columns = {name for table in database.tables.values() for name in table.columns}
        raise UserError(
            f"{folder} has no {label!r} in the tables {', '.join(tables)}: choose by "
            f"--label; there are {', '.join(sorted(columns)) or 'no columns'}"
        )
    for extra in ("ID", "language", "transcription", *EXTRA):
        if extra in frame:
            continue
        try:
            frame[extra] = database.get(label, [extra], tables=tables)[extra]
        except (ValueError, TypeError):
            logger.warning(
                "%s: its tables contradict each other about %s, which is left out",
                folder,
                extra,
            )
            frame[extra] = None
    return frame


def _parts(database, tables: Sequence[str]) -> dict[str, str]:
    """The part of every file that all tables with a split agree on."""
    parts: dict[str, str] = {}
    for name in tables:
        table = database.tables.get(name)
        if table is not None and table.split_id is not None:
            part = database.splits[table.split_id].type
            for file in table.files:
                parts[file] = part if parts.get(file, part) == part else ""
    return parts


def _segment(entry: str | tuple) -> tuple[str, float, float]:
    """File, start and stop in seconds, of an entry of a table."""
    if isinstance(entry, str):
        return entry, 0.0, 0.0
    file, start, stop = entry
    return file, start.total_seconds(), 0.0 if stop != stop else stop.total_seconds()


def _identify(name: str, start: float, stop: float) -> str:
    return f"{name}_{start:.3f}_{stop:.3f}" if start or stop else name


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _three_letters(audformat, *languages: str) -> list[str]:
    """ISO 639-3 codes, of the languages that have one."""
    codes = []
    for language in languages:
        with contextlib.suppress(ValueError):
            codes.append(audformat.utils.map_language(language))
    return codes


def _two_letters(audformat, *languages: str) -> str:
    """The ISO 639-1 code of a single language; empty for none, or for several."""
    codes = _three_letters(audformat, *filter(None, languages))
    if len(codes) != 1:
        return ""
    import iso639

    return iso639.Lang(codes[0]).pt1 or codes[0]
