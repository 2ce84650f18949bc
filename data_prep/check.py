"""What is wrong with a copy of a corpus, file by file, and how it was meant to be."""

import difflib
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from data_prep import hashes, splits
from data_prep.audio import Header
from data_prep.corpus import Corpus, Rejected, Utterance
from data_prep.errors import UserError
from data_prep.vocabulary import WIDE

SHOWN = 5  # of what repeats itself
ENTRIES = 8  # of the top of a folder
COMPARED = 2000  # names, to find the one that is most like another
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z"}
DIFFERS = "   differs"
HOURS_OFF = 0.05  # share by which the hours may differ from the declared


def problems(found: Iterable[Rejected], shown: int | None = SHOWN) -> Iterator[str]:
    """Name every file that cannot be used, those with the same reason together.

    Arguments
    ---------
    found : iterable of Rejected
        The files.
    shown : int, optional
        How many for each reason; None for all.

    Returns
    -------
    iterator of str
        Lines.

    Example
    -------
    >>> for line in problems([Rejected(f"{i}.wav", "silent") for i in range(9)], 2):
    ...     print(line)
    0.wav: silent
    1.wav: silent
      and 7 more: silent
    """
    groups = defaultdict(list)
    for item in found:
        groups[re.sub(r"\d[\d.,]*", "#", item.reason)].append(item)
    for group in groups.values():
        for item in group[:shown]:
            yield f"{item.path}: {item.reason}"
        if shown is not None and len(group) > shown:
            yield f"  and {len(group) - shown:,} more: {group[0].reason}"


def expectation(corpus: Corpus, folder: Path, missing: list[str]) -> Iterator[str]:
    """Put what the corpus expects beside what the folder holds.

    Arguments
    ---------
    corpus : Corpus
        Its declaration.
    folder : Path
        Where it should lie.
    missing : list of str
        Paths that are not on disk, if some are known.

    Returns
    -------
    iterator of str
        Lines: the layout, what comes nearest to a missing file, and the top of the
        folder.
    """
    held = list(_files(folder))
    if missing:
        near = _nearest(missing[0], held)
        yield f"expected {missing[0]}, found {near or 'nothing like it'}"
    yield f"expected {corpus.layout}"
    yield from overview(folder, held)


def overview(folder: Path, held: list[str]) -> Iterator[str]:
    """Tell what a folder holds: kinds of files, and the top of its tree.

    Arguments
    ---------
    folder : Path
        The folder.
    held : list of str
        Its files, with forward slashes.

    Returns
    -------
    iterator of str
        Lines.

    Example
    -------
    >>> for line in overview(Path("emodb"), ["audio/a.flac", "audio/b.flac", "c.txt"]):
    ...     print(line)
    found    emodb with 3 files: 2 .flac, 1 .txt
               audio/ with 2 files, as audio/a.flac
               c.txt
    """
    kinds = Counter(PurePosixPath(path).suffix.lower() or "no suffix" for path in held)
    counts = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common(6))
    yield f"found    {folder} with {len(held):,} files" + (f": {counts}" * bool(held))
    tops = defaultdict(list)
    for path in held:
        tops[path.split("/")[0]].append(path)
    for name, paths in list(tops.items())[:ENTRIES]:
        inside = (
            "" if paths == [name] else f"/ with {len(paths):,} files, as {paths[0]}"
        )
        yield f"           {name}{inside}"
    if len(tops) > ENTRIES:
        yield f"           and {len(tops) - ENTRIES:,} more"
    if kinds.keys() & ARCHIVES:
        yield "           there are archives: unpack them"


def _files(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(parent).relative_to(folder)
        for name in sorted(names):
            if not name.startswith("."):
                yield (below / name).as_posix()


def _nearest(path: str, held: list[str]) -> str:
    """The file most like a path: one of the same name, or else a similar one."""
    stem = PurePosixPath(path).stem.lower()
    for other in held:
        if PurePosixPath(other).stem.lower() == stem:
            return other
    return next(iter(difflib.get_close_matches(path, held[:COMPARED], 1, 0.4)), "")


def table(
    corpus: Corpus, utterances: list[Utterance], headers: Mapping[str, Header]
) -> Iterator[str]:
    """Compare declared, found and usable counts.

    Arguments
    ---------
    corpus : Corpus
        Its declaration.
    utterances : list of Utterance
        What was found.
    headers : mapping
        Header by utterance id, of what is usable.

    Returns
    -------
    iterator of str
        Lines; those that differ from the declared say so.
    """
    labels = {item.id: corpus.emotions[item.emotion] for item in utterances}
    found = Counter(labels.values())
    usable = Counter(labels[name] for name in headers)
    hours = sum(header.duration for header in headers.values()) / 3600
    speakers = len({item.speaker for item in utterances if item.speaker})
    rows = [
        ("utterances", corpus.size, len(utterances), len(headers)),
        ("speakers", corpus.speakers, speakers, ""),
    ]
    for wide in WIDE:
        if found[wide] or wide in corpus.expected:
            rows.append(
                (wide, corpus.expected.get(wide, ""), found[wide], usable[wide])
            )
    for emotion in sorted(set(corpus.merge.values())):
        merged = [wide for wide in WIDE if corpus.four(wide) == emotion]
        sums = (sum(count[wide] for wide in merged) for count in (found, usable))
        rows.append((f"{emotion}, merged", corpus.declared.get(emotion, ""), *sums))
    yield f"{'':16}{'declared':>10}{'found':>10}{'usable':>10}"
    for name, declared, *counts in rows:
        yield _line(name, declared, *counts, differs=declared not in ("", counts[0]))
    off = abs(hours - corpus.hours) > HOURS_OFF * corpus.hours
    declared = f"{corpus.hours:.2f}" if corpus.hours else ""
    yield _line("hours", declared, "", f"{hours:.2f}", differs=off and declared != "")


def _line(name: str, *values: object, differs: bool) -> str:
    cells = "".join(f"{value:>10}" for value in values)
    return f"{name:16}{cells}" + DIFFERS * differs


def twins(
    corpus: Corpus, folder: Path, utterances: list[Utterance], verbose: bool = False
) -> Iterator[str]:
    """Name recordings that are there twice, under two names, emotions or splits.

    Arguments
    ---------
    corpus : Corpus
        Its declaration.
    folder : Path
        Where it lies.
    utterances : list of Utterance
        Those that can be heard.
    verbose : bool
        Whether to name all of them.

    Returns
    -------
    iterator of str
        Lines.
    """
    paths = [f"{folder}/{item.path}" for item in utterances]
    found = hashes.AudioHashes().of(paths, f"{corpus.name}, hashes")
    try:
        assignment = splits.split(utterances, corpus, corpus.default_splits)
    except UserError:  # too little is there to be split
        assignment = {}
    yield from hashes.twins(
        (
            (found[path].samples, item.path, item.emotion, assignment.get(item.id, ""))
            for path, item in zip(paths, utterances, strict=True)
        ),
        None if verbose else hashes.SHOWN,
    )


def unfinished(corpus: Corpus) -> Iterator[str]:
    """Name the lines of a corpus' file that are still to be filled in.

    Arguments
    ---------
    corpus : Corpus
        Its declaration.

    Returns
    -------
    iterator of str
        Lines.
    """
    source = Path(sys.modules[corpus.utterances.__module__].__file__)
    for number, line in enumerate(source.read_text("utf-8").splitlines(), 1):
        if "TODO" in line:
            yield f"{source}:{number}: {line.strip()}"
