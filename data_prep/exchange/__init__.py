"""Come from, and go to, the formats of other tools: audformat, Lhotse, datasets, CSV.

A manifest is written as their tables, and a table of theirs becomes a corpus like any
other: probed, split and checked by ``prepare``, with a manifest and a sidecar. The
libraries are optional: ``pip install "xser-brain[exchange]"``; CSV needs none.
"""

import contextlib
import importlib
import logging
import os
import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from types import ModuleType

from data_prep import corpus, languages, manifest, outside, prepare
from data_prep.corpus import AUDIO_SUFFIXES, Corpus, Rejected, Utterance
from data_prep.errors import UserError
from data_prep.hashes import AudioHashes
from data_prep.vocabulary import EMOTIONS, WIDE

logger = logging.getLogger(__name__)

# Texts that an utterance may carry along; they have one name everywhere.
CARRIED = (
    "gender",
    "intensity",
    "text",
    "sentence",
    "session",
    "arousal",
    "valence",
    "dominance",
)
# What other tools call our parts, and the other way round.
PARTS = {"train": "train", "valid": "dev", "test": "test"}
SPLITS = {"train": "train", "dev": "valid", "valid": "valid", "test": "test"}
# Module of this package that reads and writes each format.
MODULES = {
    "audformat": "audformat_table",
    "lhotse": "lhotse_manifests",
    "datasets": "hf_datasets",
}
ROWS = ("csv", "datasets")  # read by ``import_rows``
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(slots=True)
class Found:
    """What another tool's table says of one utterance, beside the utterance itself.

    Arguments
    ---------
    utterance : Utterance
        With the native label as its emotion.
    language : str
        ISO 639-1 code; empty if the table does not say.
    emotion, category : str
        The emotion of the four, and the label of ``WIDE``, if the table was written from
        a manifest.
    licence : str
        Of the recording; empty if the table does not say.
    """

    utterance: Utterance
    language: str = ""
    emotion: str = ""
    category: str = ""
    licence: str = ""


@dataclass
class Table:
    """A table of another tool, read.

    Arguments
    ---------
    found : list of Found
        The utterances.
    rejected : list of Rejected
        Entries that cannot be used, and why.
    about : dict
        ``title``, ``licence`` and ``homepage``, as far as it tells.
    """

    found: list[Found] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)


def require(module: str, extra: str = "exchange") -> ModuleType:
    """Import an optional library, or say how to get it.

    Arguments
    ---------
    module : str
        Its name.
    extra : str
        The extra of this package that installs it.

    Returns
    -------
    module

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{module} is not installed: pip install 'xser-brain[{extra}]'"
        ) from error


@contextlib.contextmanager
def writing(path: Path, option: str = "--save_folder") -> Iterator[None]:
    """Tell what the disk refuses as a mistake that the user can mend.

    Arguments
    ---------
    path : Path
        What is written, named where the error names no file.
    option : str
        How the user chooses another folder.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or path}: {error.strerror}: choose another "
            f"{option}, or make room or give the right to write there"
        ) from error


def with_audio(path: Path, data_root: Path) -> list[manifest.Row]:
    """The rows of a manifest that other tools can use: those whose audio is on disk.

    Arguments
    ---------
    path : Path
        The manifest.
    data_root : Path
        Where the corpora lie.

    Returns
    -------
    list of Row

    Raises
    ------
    UserError
        If there are none, or a name is not UTF-8.
    """
    rows = manifest.read(path)
    kept = [row for row in rows if row.has_audio]
    if len(kept) < len(rows):
        logger.warning(
            "%s: %d of %d utterances have no audio and are left out",
            path,
            len(rows) - len(kept),
            len(rows),
        )
    if not kept:
        raise UserError(f"{path}: no utterance has audio: put the corpus' audio there")
    if not os.path.isfile(kept[0].path(data_root)):
        raise UserError(
            f"{path}: no file {kept[0].path(data_root)}: pass the --data_root below "
            "which the corpus lies"
        )
    for row in kept:
        try:
            (row.wav + row.text).encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{path}: the file name or text of {row.ID} is not UTF-8: rename it"
            ) from error
    return kept


def own(row: manifest.Row, value: str) -> str:
    """An ID or speaker of a manifest as the corpus itself calls it.

    Example
    -------
    >>> row = manifest.Row("x-1", 1.0, "", 16000, "x", "de", "x-a", "sad", "T", "test")
    >>> own(row, row.speaker)
    'a'
    """
    return value.removeprefix(f"{row.corpus}-")


def below(folder: Path, file: str) -> str:
    """A file's path below a folder, with forward slashes; empty if it leads elsewhere.

    Arguments
    ---------
    folder : Path
        The folder.
    file : str
        A path that is relative to the folder, or absolute.

    Returns
    -------
    str

    Example
    -------
    >>> below(Path("/data"), "/data/wav/a.wav"), below(Path("/data"), "../a.wav")
    ('wav/a.wav', '')
    """
    with contextlib.suppress(UserError):
        return outside.inside(folder, file).relative_to(folder).as_posix()
    return ""


def place(utterance: Utterance, start: float = 0.0, stop: float = 0.0) -> Utterance:
    """Have an utterance decoded first if it is a segment, or libsndfile may not read it.

    Arguments
    ---------
    utterance : Utterance
        Its ``path`` is the file of the table.
    start, stop : float
        Seconds; 0 and 0 are the whole file.

    Returns
    -------
    Utterance
        The same, changed.

    Example
    -------
    >>> place(Utterance("a_1", "wav/a.wav", "", "joy"), 1.5, 2.5).path
    'wav/a/a_1.wav'
    """
    path = PurePosixPath(utterance.path)
    if start or stop:
        utterance.media, utterance.start, utterance.stop = str(path), start, stop
        name = utterance.id.replace("/", "_")
        utterance.path = str(path.with_suffix("") / f"{name}.wav")
    elif path.suffix.lower() not in (*AUDIO_SUFFIXES, ".mp3", ".ogg", ".opus"):
        utterance.media = str(path)
        utterance.path = str(path.with_suffix(".wav"))
    return utterance


def names(files: Iterable[str]) -> dict[str, str]:
    """What to call files: by their names, or by their paths where names repeat.

    Example
    -------
    >>> names(["x/1.wav", "x/2.wav"]), names(["x/1.wav", "y/1.wav"])
    ({'x/1.wav': '1', 'x/2.wav': '2'}, {'x/1.wav': 'x/1', 'y/1.wav': 'y/1'})
    """
    paths = {file: PurePosixPath(file).with_suffix("") for file in files}
    short = len({path.name for path in paths.values()}) == len(paths)
    return {file: path.name if short else str(path) for file, path in paths.items()}


def plain_name(text: str) -> str:
    """A name as a corpus may have it, of any text.

    Example
    -------
    >>> plain_name("CREMA-D"), plain_name("Oréau, second version")
    ('crema_d', 'oreau_second_version')
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "_", letters.lower()).strip("_")


@cache
def known_labels() -> dict[str, str]:
    """Labels on whose meaning all corpora of the registry that use them agree.

    Returns
    -------
    dict
        Label in lower case to label of ``vocabulary.WIDE``. Codes of one or two
        characters are left out: they mean something else in every corpus.

    Example
    -------
    >>> known_labels()["happiness"], known_labels()["colère"]
    ('happy', 'angry')
    """
    meanings = defaultdict(set)
    for item in corpus.registry().values():
        for native, wide in item.emotions.items():
            if len(native) > 2:
                meanings[native.lower()].add(wide)
    agreed = {label: wide for label, (wide, *rest) in meanings.items() if not rest}
    return {**agreed, **dict(zip(WIDE, WIDE, strict=True))}


def take_in(
    table: Table,
    name: str,
    folder: Path,
    save_folder: Path,
    *,
    language: str = "",
    labels: Mapping[str, str] | None = None,
    splits: str | None = None,
    decode: bool = False,
) -> Path:
    """Make a corpus of another tool's table: a manifest and its sidecar.

    Arguments
    ---------
    table : Table
        What was read.
    name : str
        What the corpus shall be called.
    folder : Path
        Where its audio lies; the recipes' ``--data_root`` is the folder above.
    save_folder : Path
        Where ``<name>.csv`` and ``<name>.json`` are written.
    language : str
        ISO 639-1 code: takes the utterances of that language, or says which it is.
    labels : mapping, optional
        Native label to label of ``vocabulary.WIDE``, where ``known_labels`` does not
        know it or is wrong.
    splits : str, optional
        ``speaker``, ``official`` or ``none``; by default the first of them that the
        table allows.
    decode : bool
        As in ``prepare``.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    UserError
        If a name, a language or a label is wrong or missing, or no file can be used.
    """
    declared = declare(table, name, folder, language=language, labels=labels)
    return prepare.prepare(declared, folder, save_folder, splits, decode)


def declare(
    table: Table,
    name: str,
    folder: Path,
    *,
    language: str = "",
    labels: Mapping[str, str] | None = None,
) -> Corpus:
    """Declare another tool's table as a corpus, before anything is written.

    Arguments
    ---------
    table, name, folder, language, labels
        As for ``take_in``.

    Returns
    -------
    Corpus

    Raises
    ------
    UserError
        If a name, a language or a label is wrong or missing.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a corpus: use small letters, digits and _ by --name"
        )
    if name in corpus.registry():
        logger.warning(
            "%s is also a corpus of the registry, which recipes prepare anew from "
            "DATA_ROOT/%s: take another --name to train on this table",
            name,
            name,
        )
    found, language = _of_language(table, language, folder)
    emotions, merge = _meanings(found, labels or {}, name)
    utterances = sorted((item.utterance for item in found), key=lambda u: u.path)
    for item in utterances:  # as they are called in a manifest of this corpus
        item.id = item.id.removeprefix(f"{name}-")
        item.speaker = item.speaker.removeprefix(f"{name}-")
    speakers = {item.speaker for item in utterances if item.speaker}
    _tell_unknown_speakers(name, utterances)
    licences = sorted({item.licence for item in found if item.licence})
    return Corpus(
        name=name,
        title=table.about.get("title") or name,
        language=language,
        licence=table.about.get("licence") or "; ".join(licences),
        homepage=table.about.get("homepage", ""),
        layout="the files that its table names",
        emotions=emotions,
        merge=merge,
        utterances=lambda _: iter([*utterances, *table.rejected]),
        expected=Counter(emotions[item.emotion] for item in utterances),
        size=len(utterances),
        speakers=len(speakers),
        parts=all(item.split for item in utterances),
    )


def _tell_unknown_speakers(name: str, utterances: Sequence[Utterance]) -> None:
    """Say what it means for splits that a table does not name speakers."""
    unknown = sum(not item.speaker for item in utterances)
    if unknown == len(utterances):
        logger.warning(
            "%s does not tell who speaks: parts of it could share speakers, and a score on "
            "them would be no score on strangers, so all of it goes to train (unless the "
            "table has parts), it takes no part in the speaker adversary, and as a target "
            "it is tested on as a whole; if a column holds the speakers, name it",
            name,
        )
    elif unknown:
        logger.warning(
            "%s: %d of %d utterances name no speaker and go to train, whoever speaks",
            name,
            unknown,
            len(utterances),
        )


def lookup(name: str, manifests: Path) -> Corpus:
    """Look up a corpus of the registry, or one that was taken in.

    Arguments
    ---------
    name : str
        What it is called.
    manifests : Path
        The folder that ``<name>.csv`` was written to.

    Returns
    -------
    Corpus
        One that was taken in cannot be prepared again, only used: its name is not in
        the registry, and walking it yields nothing.

    Raises
    ------
    UserError
        If there is neither, or the manifest was changed by hand.
    """
    path = Path(manifests) / f"{name}.csv"
    registered = name in corpus.registry() or name in corpus.unusable_files()
    if registered:
        return corpus.get(name)
    if not path.is_file():
        try:
            return corpus.get(name)
        except UserError as error:
            raise UserError(
                f"{error}; if it was imported, pass the --manifests=DIR that holds its "
                f"manifest: there is no {path}"
            ) from error
    sidecar = manifest.read_sidecar(path)
    row, *_ = manifest.read(path) or [None]
    if row is None:
        raise UserError(f"{path} holds no utterance: import the corpus anew")
    return Corpus(
        name=name,
        title=sidecar.get("title", name),
        language=row.language,
        licence=sidecar.get("licence", ""),
        homepage="",
        layout="",
        emotions={},
        utterances=lambda _: iter(()),
        folder=PurePosixPath(row.wav).parts[1],
    )


def require_unchanged(path: Path, data_root: Path) -> None:
    """Refuse a corpus that was taken in, and whose recordings are others by now.

    Those of the registry are prepared anew before each run; of these only the manifest
    is left.

    Arguments
    ---------
    path : Path
        The manifest; hashes are remembered beside it.
    data_root : Path
        Where the corpora lie.

    Raises
    ------
    UserError
        If a recording is missing, or its samples changed.
    """
    rows = {
        str(row.path(data_root)): row
        for row in manifest.read(path)
        if row.has_audio and row.audio_sha256
    }
    found = AudioHashes(Path(path).parent).of(list(rows), f"{path.stem}, hashes")
    gone = [file for file in rows if not found[file].file]
    if gone:
        raise UserError(
            f"{len(gone)} of {len(rows)} recordings of {path.stem} cannot be read, as "
            f"{gone[0]}: pass the --data_root that it was imported with, or import it anew"
        )
    changed = [f for f, row in rows.items() if found[f].samples != row.audio_sha256]
    if changed:
        raise UserError(
            f"{len(changed)} of {len(rows)} recordings of {path.stem} changed since it was "
            f"imported, as {changed[0]}: import it anew"
        )


def _of_language(table: Table, language: str, folder: Path) -> tuple[list[Found], str]:
    """The utterances of one language, and which that is."""
    found = table.found
    if not found:
        why = f", as {table.rejected[0].reason}" if table.rejected else ""
        raise UserError(f"{folder}: no row can be used{why}: mend the table")
    counts = Counter(item.language for item in found if item.language)
    if not language:
        if len(counts) != 1:
            spoken = ", ".join(sorted(counts)) or "none that its table tells"
            raise UserError(
                f"{folder} holds the languages {spoken}: choose one by --language, as "
                "an ISO 639-1 code"
            )
        (language,) = counts
    code = languages.code(language) or language
    if not re.fullmatch("[a-z]{2,3}", code):
        raise UserError(
            f"{folder}: no ISO 639-1 code is known for the language {language!r}: pass "
            "--language=CODE, as de"
        )
    kept = [item for item in found if item.language in ("", language, code)]
    # A table that names one language only, by no code, may have it named so.
    if not kept and len(counts) == 1 and not languages.code(*counts):
        kept = list(found)
    if not kept:
        raise UserError(
            f"{folder} holds no utterance in {language}, only {', '.join(counts)}"
        )
    return kept, code


def _meanings(
    found: Sequence[Found], labels: Mapping[str, str], name: str
) -> tuple[dict[str, str], dict[str, str]]:
    """What the native labels mean, and what counts as one of the four."""
    wrong = {label: wide for label, wide in labels.items() if wide not in WIDE}
    if wrong:
        label, wide = wrong.popitem()
        raise UserError(
            f"{wide!r} is no emotion that {label!r} can stand for: use one of "
            f"{', '.join(WIDE)}"
        )
    emotions, merge, unknown = {}, {}, Counter()
    for item in found:
        native = item.utterance.emotion
        own = item.category if item.category in WIDE else ""
        wide = labels.get(native) or own or known_labels().get(native.lower())
        if wide is None:
            unknown[native] += 1
        emotions.setdefault(native, wide or "other")
        if own and own not in EMOTIONS and item.emotion in EMOTIONS:
            merge[own] = item.emotion
    for native, number in unknown.most_common():
        logger.warning(
            "%s: %d utterances of the unknown emotion %r count as other: pass "
            "--map %s if it is one of %s",
            name,
            number,
            native,
            shlex.quote(f"{native}=EMOTION"),
            ", ".join(WIDE),
        )
    return emotions, merge


def export_manifest(kind: str, path: Path, data_root: Path, save_folder: Path) -> Path:
    """Write a manifest in another tool's format.

    Arguments
    ---------
    kind : str
        ``audformat``, ``lhotse`` or ``datasets``.
    path : Path
        The manifest.
    data_root : Path
        Where the corpora lie.
    save_folder : Path
        Where to write.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    UserError
        If the manifest cannot be read, the library is not installed, or the folder
        cannot be written to.
    """
    return _module(kind).write(Path(path), Path(data_root), Path(save_folder))


def import_table(
    kind: str,
    folder: Path,
    name: str,
    save_folder: Path,
    *,
    data_folder: Path | None = None,
    label: str = "",
    tables: Sequence[str] = (),
    **options,
) -> Path:
    """Make a corpus of another tool's tables: a manifest and its sidecar.

    Arguments
    ---------
    kind : str
        ``audformat`` or ``lhotse``.
    folder : Path
        Where the tables lie.
    name : str
        What the corpus shall be called.
    save_folder : Path
        Where ``<name>.csv`` and ``<name>.json`` are written.
    data_folder : Path, optional
        Where the audio lies, if not beside the tables; only Lhotse's can lie elsewhere.
    label : str
        The column or custom field of the emotions, if it is not called emotion.
    tables : sequence of str
        Those of audformat to take labels from; by default all.
    **options
        Of ``take_in``: ``language``, ``labels``, ``splits``, ``decode``.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    UserError
        On any mistake that the user can mend.
    """
    home = Path(data_folder or folder)
    if kind == "audformat":
        table = _module(kind).read(Path(folder), label, tables)
        home = Path(folder)
    else:
        table = _module(kind).read(Path(folder), home, label)
    return take_in(table, name, home, Path(save_folder), **options)


def import_rows(
    kind: str,
    source: str,
    name: str,
    save_folder: Path,
    *,
    data_root: Path | None = None,
    data_folder: Path | None = None,
    columns: Mapping[str, str] | None = None,
    delimiter: str = "",
    splits: str | None = None,
    decode: bool = False,
    **options,
) -> list[Path]:
    """Make corpora of a table whose rows are recordings.

    Arguments
    ---------
    kind : str
        ``csv``, or ``datasets``: then the recordings, which it holds, are written to the
        folder ``name`` of ``data_root``.
    source : str
        The table; or the data set: a folder, a file or a name on the hub.
    name : str
        What the corpus shall be called; the first part of the name, where a column tells
        corpora apart.
    save_folder : Path
        Where each ``<name>.csv`` and ``<name>.json`` are written.
    data_root : Path, optional
        What holds one folder per corpus; by default what holds the files' folder.
    data_folder : Path, optional
        Where the table's paths go from; by default its own folder, ``data_root/name`` or
        ``data_root``, whichever has the files.
    columns : mapping, optional
        Columns by the keys of ``data_prep.columns.COLUMNS``, where their names do not tell.
    delimiter : str
        Of the table; by default what its header tells.
    splits : str, optional
        As for ``take_in``.
    decode : bool
        As in ``prepare``.
    **options
        Of ``declare``: ``language``, ``labels``.

    Returns
    -------
    list of Path
        The manifests, one a corpus.

    Raises
    ------
    UserError
        On any mistake that the user can mend; before anything is written, if it is one
        in the table.
    """
    plain, given, unpacked = _module("plain_tables"), dict(columns or {}), None
    if kind == "datasets":
        if data_root is None:
            raise UserError(
                "pass --data_root=DIR: the recordings are written to a folder of it"
            )
        home = Path(data_root) / name
        rows, unpacked = _module("hf_tables").unpack(source, home)
        given["path"] = _module("hf_tables").FILE
        chosen = plain.choose(list(rows[0]), given, source)
        paths = {row[given["path"]]: row[given["path"]] for row in rows}
    else:
        table = Path(source)
        rows = plain.read(table, delimiter)
        chosen = plain.choose(list(rows[0]), given, source)
        bases = [data_folder] if data_folder else [table.parent]
        if data_root and not data_folder:
            bases += [Path(data_root) / name, Path(data_root)]
        files = [row[chosen["path"]] for row in rows]
        home, paths = plain.locate(files, bases, data_root, source)
    declared = []
    for part, found in plain.understand(rows, chosen, paths, source).items():
        called = f"{name}_{plain_name(part)}".rstrip("_")
        found.about["title"] = part or Path(source).stem
        declared.append(declare(found, called, home, **options))
    _refuse_one_name(declared)
    if unpacked:
        unpacked.write()
    return [
        prepare.prepare(item, home, Path(save_folder), splits, decode)
        for item in declared
    ]


def _refuse_one_name(declared: Sequence[Corpus]) -> None:
    """Refuse corpora that would be written to one manifest."""
    titles: dict[str, str] = {}
    for item in declared:
        if item.name in titles:
            raise UserError(
                f"{titles[item.name]!r} and {item.title!r} would both be {item.name}: "
                "rename one in the table"
            )
        titles[item.name] = item.title


def _module(kind: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{MODULES.get(kind, kind)}")
