"""What a corpus is, and the registry of all there are.

A corpus is one module of ``data_prep.corpora``, or of a folder of one's own: a
docstring with its facts, one function that walks a folder and yields utterances, and a
``CORPUS`` (or ``CORPORA``) that declares the rest. Probing, splitting, checking and
writing are shared.
"""

import csv
import difflib
import importlib
import io
import os
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from data_prep import outside
from data_prep.errors import UserError
from data_prep.vocabulary import EMOTIONS

AUDIO_SUFFIXES = (".wav", ".flac", ".aiff", ".aif")
VIDEO_SUFFIXES = (".mp4", ".avi", ".webm", ".mkv", ".mov", ".flv", ".m4a")
# How the words for getting a corpus show in ``Corpus.steps`` and ``Corpus.licence``.
ACCESS = {
    "form": r"fill in|by form|signed|sign the|agreement",
    "request": r"ask the|write to|e-mail|on request",
    "purchase": r"buy|purchase|sold",
    "account": r"account|log in|regist",
}
DELIMITERS = ",;\t|"  # of label files that were saved anew by another program

GENDERS = {"f": "female", "female": "female", "m": "male", "male": "male"}


@dataclass(slots=True)
class Utterance:
    """One utterance as a corpus names it, before any audio is opened.

    Arguments
    ---------
    id : str
        Unique within the corpus.
    path : str
        The audio file, with forward slashes, below the corpus' folder.
    speaker : str
        The corpus' own identifier; empty where it is not known.
    emotion : str
        The native label.
    split : str
        The official part (``train``, ``valid``, ``test``), if the corpus has parts.
    gender : str
        ``male`` or ``female``, also ``M`` or ``f``; what else there is, is dropped.
    intensity, text, session, arousal, valence, dominance : str
        Empty where the corpus does not say; ``text`` is what is said, word for word, and
        the last three are on the corpus' own scale.
    sentence : str
        A code for what is said, where that is all there is.
    media : str
        A video, another file that libsndfile does not read, or a long recording,
        below the corpus' folder: ``path``, a .wav of 16 kHz mono that need not exist
        yet, is decoded from it once.
    start, stop : float
        The part of ``media``, in seconds; a ``stop`` of 0 is its end.
    channel : int, optional
        The one channel of ``media`` to take, where they are no stereo picture of one
        sound; by default their mean.
    """

    id: str
    path: str
    speaker: str
    emotion: str
    split: str = ""
    gender: str = ""
    intensity: str = ""
    text: str = ""
    session: str = ""
    arousal: str = ""
    valence: str = ""
    dominance: str = ""
    media: str = ""
    start: float = 0.0
    stop: float = 0.0
    sentence: str = ""
    channel: int | None = None

    def __post_init__(self):
        self.gender = GENDERS.get(self.gender.lower(), "")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is not used, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file that can be downloaded without a form.

    Arguments
    ---------
    url : str
        Its address.
    sha256_or_md5 : str
        ``sha256:...`` or ``md5:...``; empty if nobody publishes one.
    source : str
        Where URL and hash are documented.
    """

    url: str
    sha256_or_md5: str = ""
    source: str = ""


@dataclass(frozen=True)
class PaperSplit:
    """The split of Table 1 of the paper for one corpus.

    Arguments
    ---------
    counts : tuple of int
        Four-class utterances in train, valid and test.
    train_speakers : int
        Speakers in train.
    assign : callable
        ``list[Utterance] -> dict[utterance id, split]``, from ``data_prep.splits``.
    speaker_disjoint : bool
        Whether train shares no speaker with valid and test.
    """

    counts: tuple[int, int, int]
    train_speakers: int
    assign: Callable[[list[Utterance]], dict[str, str]]
    speaker_disjoint: bool = True


@dataclass(frozen=True)
class Corpus:
    """The declaration of a corpus.

    Arguments
    ---------
    name : str
        Registry name, and the folder below ``--data_root`` unless ``folder`` is given.
    title, language, licence, homepage : str
        The name people know it by, ISO 639-1 code, licence, where to get it.
    layout : str
        One line: what the folder holds, shown when it does not.
    emotions : mapping
        Every native label to a label of ``vocabulary.WIDE``. A label that is not a
        key is unknown, and its file rejected.
    utterances : callable
        ``Path -> iterator of Utterance or Rejected``.
    merge : mapping
        Labels of ``vocabulary.WIDE`` that the field counts, with this corpus, as one
        of the four emotions; ``prepare --no_merge`` does without.
    expected : mapping
        Declared number of utterances per label of ``vocabulary.WIDE``, before any
        merging, for ``check``; the four at least.
    size, speakers : int
        Declared number of utterances (all emotions) and of speakers; 0 speakers if
        the corpus does not identify them.
    hours : float
        Declared length.
    parts : bool
        Whether it has official parts, given in ``Utterance.split``.
    paper_split : PaperSplit, optional
        If the paper uses the corpus.
    split_by : str
        What ``--splits=speaker`` keeps whole: ``speaker`` or ``session``.
    folder : str
        Folder below ``--data_root``.
    verify : callable, optional
        ``list[Header] -> None``; raises UserError on a copy known to be damaged.
    unusable : mapping
        Utterance id to the reason why its audio must not be used. Such utterances
        count for the split and are rejected where their audio is on disk.
    missing : str
        What to do where audio is not on disk, shown with the warning.
    downloads : tuple of Download
        What can be downloaded without a form.
    steps : str
        How to get the corpus where there is no free download: a sentence or two.
    short : str
        What tables and figures call it, where the title is too long for them.
    """

    name: str
    title: str
    language: str
    licence: str
    homepage: str
    layout: str
    emotions: Mapping[str, str]
    utterances: Callable[[Path], Iterator[Utterance | Rejected]]
    merge: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    speakers: int = 0
    hours: float = 0.0
    parts: bool = False
    paper_split: PaperSplit | None = None
    split_by: str = "speaker"
    folder: str = ""
    verify: Callable[[list], None] | None = None
    unusable: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    downloads: tuple[Download, ...] = ()
    steps: str = ""
    short: str = ""

    @property
    def called(self) -> str:
        """Its name where there is little room."""
        return self.short or self.title

    def four(self, wide: str) -> str:
        """Which of the four emotions a label of ``WIDE`` counts as, or ""."""
        return wide if wide in EMOTIONS else self.merge.get(wide, "")

    def emotion(self, native: str) -> str:
        """Which of the four emotions a native label counts as, or ""."""
        return self.four(self.emotions.get(native, ""))

    @property
    def declared(self) -> dict[str, int]:
        """Declared number of utterances per emotion of the four, after merging."""
        counts: Counter = Counter()
        for wide, number in self.expected.items():
            counts[self.four(wide)] += number
        return {emotion: counts[emotion] for emotion in EMOTIONS if emotion in counts}

    def locate(self, data_root: Path) -> Path:
        """The corpus' folder below ``data_root``, however its name is written there.

        Arguments
        ---------
        data_root : Path
            What holds one folder per corpus.

        Returns
        -------
        Path
            Of another case or punctuation (``EMO-DB``, ``Urdu``) only if there is none
            of the very name.

        Raises
        ------
        UserError
            If several could be meant.
        """
        name = self.folder or self.name
        exact = Path(data_root) / name
        if exact.is_dir():
            return exact
        alike = [path for path in folders(data_root) if plain(path.name) == plain(name)]
        if len(alike) > 1:
            raise UserError(
                f"{' and '.join(map(str, alike))} could both be {self.title}: rename one"
            )
        return alike[0] if alike else exact

    @property
    def access(self) -> str:
        """How to get it, in a word: a download, or what ``steps`` and licence say."""
        if self.downloads:
            return "download"
        said = f"{self.steps} {self.licence}".lower()
        return next((word for word in ACCESS if re.search(ACCESS[word], said)), "page")

    @property
    def policies(self) -> tuple[str, ...]:
        """How ``prepare --splits`` can split the corpus, the default first."""
        able = {
            "paper": self.paper_split,
            "speaker": self.speakers,
            "official": self.parts,
            "none": True,
        }
        return tuple(name for name in able if able[name])

    @property
    def default_splits(self) -> str:
        """The paper's split, else whole speakers, else the official parts, else none."""
        return self.policies[0]


def folders(data_root: Path) -> list[Path]:
    """The folders below one, by name; none if it cannot be read."""
    try:
        return sorted(path for path in Path(data_root).iterdir() if path.is_dir())
    except OSError:
        return []


def plain(name: str) -> str:
    """A folder's name without case and punctuation.

    Example
    -------
    >>> plain("EMO-DB")
    'emodb'
    """
    return "".join(filter(str.isalnum, name.casefold()))


def registry() -> dict[str, Corpus]:
    """All corpora by name, from the modules of ``data_prep.corpora``."""
    return _read_modules()[0]


def unusable_files() -> dict[str, str]:
    """By corpus name: a line on what is wrong with its file in one's own folder."""
    return _read_modules()[1]


@cache
def _read_modules() -> tuple[dict[str, Corpus], dict[str, str]]:
    shipped, *own = importlib.import_module("data_prep.corpora").__path__
    found, wrong = {}, {}
    for info in pkgutil.iter_modules([shipped]):
        found.update(_declared(info.name))
    for path in sorted(path for folder in own for path in Path(folder).glob("*.py")):
        if path.name.startswith("test_"):
            continue
        try:
            declared = _declared(path.stem)
        except (Exception, SystemExit) as error:  # whatever the file does
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            wrong[path.stem] = f"{path} is no corpus ({reason}): mend or remove it"
            continue
        for name, corpus in declared.items():
            if name in found:
                wrong[name] = f"{path}: the name {name} is taken: give it another"
            else:
                found[name] = corpus
    return dict(sorted(found.items())), wrong


def _declared(module_name: str) -> dict[str, Corpus]:
    module = importlib.import_module(f"data_prep.corpora.{module_name}")
    corpora = getattr(module, "CORPORA", None) or (module.CORPUS,)
    return {corpus.name: corpus for corpus in corpora}


def get(name: str) -> Corpus:
    """The corpus of that name; UserError, naming the nearest, if there is none."""
    known, wrong = registry(), unusable_files()
    if name in wrong:
        raise UserError(wrong[name])
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    raise UserError("; ".join([f"unknown corpus {name!r}: {hint}", *wrong.values()]))


def files(folder: Path, suffixes: Collection[str]) -> Iterator[tuple[str, str]]:
    """All files of some kinds below a folder, in a fixed order; links are followed.

    But for a link to a folder that it lies in, below which all would be there again.

    Files and folders whose name starts with a dot are passed over (macOS archives
    are full of ``._name.wav``).

    Arguments
    ---------
    folder : Path
        Where to look; UserError if a folder in it cannot be read.
    suffixes : collection of str
        The kinds, in lower case.

    Returns
    -------
    iterator of (str, str)
        Path below ``folder`` with forward slashes, and file name without suffix.
    """

    def refuse(error: OSError) -> None:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}: give the right to"
        ) from error

    above = {str(folder): (os.path.realpath(folder),)}  # real paths of what it lies in
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        chain, kept = above.pop(parent), []
        for name in sorted(name for name in folders if not name.startswith(".")):
            path, real = os.path.join(parent, name), os.path.join(chain[-1], name)
            real = os.path.realpath(path) if os.path.islink(path) else real
            if real not in chain:
                above[path] = (*chain, real)
                kept.append(name)
        folders[:] = kept
        below = Path(parent).relative_to(folder)
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes and not name.startswith("."):
                yield (below / name).as_posix(), stem


def audio_files(folder: Path) -> Iterator[tuple[str, str]]:
    """All audio files below a folder, as from ``files``."""
    return files(folder, AUDIO_SUFFIXES)


def clips(folder: Path) -> Iterator[tuple[str, str]]:
    """All audio and video files below a folder; a video and its .wav are one clip.

    Yields ``Utterance.path`` and ``Utterance.media`` (empty for a plain audio file).
    """
    found = [
        (path, *os.path.splitext(path))
        for path, _ in files(folder, AUDIO_SUFFIXES + VIDEO_SUFFIXES)
    ]
    videos = {stem: p for p, stem, end in found if end.lower() in VIDEO_SUFFIXES}
    heard = {stem for _, stem, end in found if end.lower() in AUDIO_SUFFIXES}
    for path, stem, suffix in found:
        if suffix.lower() == ".wav":
            yield path, videos.get(stem, "")
        elif suffix.lower() in AUDIO_SUFFIXES:
            yield path, ""
        elif stem not in heard:
            yield stem + ".wav", path


def twice(first: str, second: str, folder: Path | None = None) -> str:
    """Say what to do about two files of one ID.

    Arguments
    ---------
    first, second : str
        Their paths below the corpus' folder.
    folder : Path, optional
        That folder.

    Returns
    -------
    str

    Example
    -------
    >>> twice("a/wav/1.wav", "b/wav/1.wav")
    'a/wav/1.wav and b/wav/1.wav: point --data_folder at a or b in it, or remove one'
    >>> twice("1.wav", "old/1.wav")
    '1.wav and old/1.wav: remove one'
    """
    both = f"{first} and {second}"
    if folder and os.path.realpath(folder / first) == os.path.realpath(folder / second):
        return f"{both}, which are one file: remove the link"
    one, other = first.split("/"), second.split("/")
    same = len(os.path.commonprefix([one, other]))
    if same < min(len(one), len(other)) - 1:
        places = ("/".join(parts[: same + 1]) for parts in (one, other))
        return (
            f"{both}: point --data_folder at {' or '.join(places)} in it, or remove one"
        )
    return f"{both}: remove one"


def by_name(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Path by file name, of pairs from ``audio_files``; UserError if two share a name.

    Example
    -------
    >>> by_name([("samples/a.wav", "a")])
    {'a': 'samples/a.wav'}
    """
    index: dict[str, str] = {}
    for path, stem in found:
        if stem in index:
            raise UserError(f"two files with one ID: {twice(index[stem], path)}")
        index[stem] = path
    return index


def find(folder: Path, name: str) -> list[Path]:
    """Files of that name in a folder or up to two levels below, the nearest first."""
    return [
        path
        for level in ("", "*/", "*/*/")
        for path in sorted(folder.glob(level + name))
        if path.is_file()
    ]


def read_text(path: Path, fallback: str) -> str:
    """Read a text file in UTF-16 or UTF-8, or else in the encoding ``fallback``.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "0001.txt"
    >>> for encoding in ("utf-8", "utf-16", "gb18030"):
    ...     _ = path.write_text("0001 \u4e2d\u7acb", encoding)
    ...     print(read_text(path, "gb18030") == "0001 \u4e2d\u7acb")
    True
    True
    True
    """
    data = outside.read_bytes(path, "a label file")
    if b"\0" in data:
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(fallback, "replace")


def read_table(
    path: Path, columns: Collection[str], delimiter: str = ",", fallback: str = "cp1252"
) -> Iterator[dict[str, str]]:
    """Read a label file with a header, without stray blanks around its values.

    Arguments
    ---------
    path : Path
        The file; UserError if it is not a table.
    columns : collection of str
        The columns it must have; UserError if one is missing.
    delimiter : str
        Between values; those of a tab-separated file are never quoted. Where the header
        has the columns only by another one of ``DELIMITERS``, that is taken.
    fallback : str
        As for ``read_text``.
    """
    text = read_text(path, fallback)

    def reader(mark: str) -> Iterator[list[str]]:
        quoting = csv.QUOTE_NONE if mark == "\t" else csv.QUOTE_MINIMAL
        return csv.reader(
            io.StringIO(text, newline=""), delimiter=mark, quoting=quoting
        )

    def fits(mark: str) -> bool:
        return {*columns} <= {name.strip() for name in next(reader(mark), [])}

    try:
        marks = dict.fromkeys((delimiter, *DELIMITERS))
        rows = list(reader(next(filter(fits, marks), delimiter)))
    except csv.Error as error:
        raise UserError(f"{path} is no table ({error}): get it anew") from error
    header = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in columns if name not in header]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: get it anew")
    for values in filter(any, rows[1:]):
        values += [""] * (len(header) - len(values))
        yield {name: value.strip() for name, value in zip(header, values, strict=False)}


def match_files(
    folder: Path, pattern: str, on: str = "stem"
) -> Iterator[tuple[str, re.Match] | Rejected]:
    """Audio files by a regular expression that the whole stem (or path) must match.

    Yields (path, match), or Rejected where it does not. ``on`` is ``stem`` or ``path``.
    """
    # Else ſ and ı would pass for s and i, which no map knows.
    compiled = re.compile(pattern, re.IGNORECASE | re.ASCII)
    for path, stem in audio_files(folder):
        match = compiled.fullmatch(stem if on == "stem" else path)
        yield (path, match) if match else Rejected(path, "name does not fit the corpus")
