"""From a corpus' folder to its manifest: walk, map, split, probe, write."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from data_prep import __version__, audio, manifest, splits
from data_prep.corpus import MEND, Corpus, Rejected, Utterance
from data_prep.errors import UserError
from data_prep.standin import is_standin

logger = logging.getLogger(__name__)


def walk(corpus: Corpus, folder: Path) -> tuple[list[Utterance], list[Rejected]]:
    """Walk a corpus' folder; open no audio.

    Arguments
    ---------
    corpus : Corpus
        Its declaration.
    folder : Path
        Where it lies.

    Returns
    -------
    list of Utterance, list of Rejected

    Raises
    ------
    UserError
        If the folder is missing, holds no such corpus, or two files share an id.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"no folder {folder}: get {corpus.title} ({corpus.homepage}) and put it "
            f"there; it should hold {corpus.layout}"
        )
    found: dict[str, Utterance] = {}
    rejected = []
    for item in corpus.utterances(folder):
        if isinstance(item, Rejected):
            rejected.append(item)
        elif item.emotion not in corpus.emotions:
            known = ", ".join(corpus.emotions)
            reason = f"unknown emotion {item.emotion!r} (known: {known})"
            rejected.append(Rejected(item.path, reason))
        elif item.id in found:
            raise UserError(
                f"{folder}: two files with one ID {corpus.name}-{item.id}: "
                f"{found[item.id].path} and {item.path}: {MEND}"
            )
        else:
            found[item.id] = item
    if not found:
        seen = ", and nothing of the kind is there"
        if rejected:
            first = rejected[0]
            seen = (
                f"; {len(rejected)} files do not fit, as {first.path}: {first.reason}"
            )
        raise UserError(
            f"{folder} does not look like {corpus.title}: it should hold "
            f"{corpus.layout}{seen}"
        )
    return list(found.values()), rejected


def _fingerprint(
    corpus: Corpus,
    folder: Path,
    utterances: list[Utterance],
    rejected: list[Rejected],
    assignment: dict[str, str],
) -> str:
    """Change with a label, a name, a size or a date, and with the corpus' rules."""
    digest = hashlib.sha256()

    def add(*values: object) -> None:
        digest.update(repr(values).encode("utf-8", manifest.NOT_UTF8))

    add(
        manifest.SCHEMA, _root(folder), corpus.language, sorted(corpus.unusable.items())
    )
    for item in utterances:
        try:
            stat = os.stat(folder / item.path)
            state = (stat.st_size, stat.st_mtime_ns)
        except OSError:
            state = None
        add(item, state, corpus.emotions[item.emotion], assignment[item.id])
    add(rejected)
    return digest.hexdigest()


def _root(folder: Path) -> str:
    """The folder as the manifest writes it; a link keeps the name it is found by."""
    return f"{manifest.DATA_ROOT}/{os.path.basename(os.path.abspath(folder))}"


def _is_fresh(path: Path, options: dict, fingerprint: str) -> bool:
    """Whether a manifest needs no redoing; one checked more strictly will do."""
    try:
        sidecar = manifest.read_sidecar(path)
    except UserError:
        return False
    stricter = {**options, "decode": True}
    return sidecar.get("fingerprint") == fingerprint and (
        sidecar.get("options") in (options, stricter)
    )


def probe(
    corpus: Corpus,
    folder: Path,
    utterances: list[Utterance],
    function: Callable[[str], audio.Header],
) -> tuple[dict[str, audio.Header], list[Rejected], list[str]]:
    """Open the audio of all utterances.

    Arguments
    ---------
    corpus : Corpus
        Named beside the progress bar.
    folder : Path
        Its folder.
    utterances : list of Utterance
        What was found.
    function : callable
        ``audio.probe`` or ``audio.check``.

    Returns
    -------
    dict, list of Rejected, list of str
        Headers by utterance id, unusable files, and paths that are not on disk.

    Raises
    ------
    UserError
        If this is a copy of the corpus that is known to be damaged.
    """
    present = [item for item in utterances if (folder / item.path).is_file()]
    usable = [item for item in present if item.id not in corpus.unusable]
    headers = {}
    rejected = [
        Rejected(item.path, corpus.unusable[item.id])
        for item in present
        if item.id in corpus.unusable
    ]
    paths = [str(folder / item.path) for item in usable]
    results = audio.for_all(function, paths, corpus.name)
    for item, result in zip(usable, results, strict=True):
        if isinstance(result, audio.AudioError):
            rejected.append(Rejected(item.path, str(result)))
        else:
            headers[item.id] = result
    if corpus.verify:
        corpus.verify(list(headers.values()))
    on_disk = {item.id for item in present}
    missing = [item.path for item in utterances if item.id not in on_disk]
    return headers, rejected, missing


def prepare(
    corpus: Corpus,
    folder: Path,
    save_folder: Path,
    policy: str | None = None,
    decode: bool = False,
) -> Path:
    """Write a corpus' manifest, unless it stands already and nothing has changed.

    Arguments
    ---------
    corpus : Corpus
        Its declaration.
    folder : Path
        Where it lies.
    save_folder : Path
        Where ``<corpus>.csv`` and ``<corpus>.json`` are written.
    policy : str, optional
        ``paper`` or ``speaker``; by default the paper's split where there is one.
    decode : bool
        Decode every file and reject what is silent, cut short or not a number;
        otherwise only headers are read.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    UserError
        If the folder does not hold the corpus, or the manifest cannot be written.
    """
    folder, path = Path(folder), Path(save_folder) / f"{corpus.name}.csv"
    policy = policy or corpus.default_splits
    utterances, rejected = walk(corpus, folder)
    options = {"splits": policy, "decode": decode}
    assignment = splits.split(utterances, corpus, policy)
    fingerprint = _fingerprint(corpus, folder, utterances, rejected, assignment)
    if _is_fresh(path, options, fingerprint):
        logger.info("%s is up to date", path)
        return path

    function = audio.check if decode else audio.probe
    headers, unusable, missing = probe(corpus, folder, utterances, function)
    rejected += unusable
    bad = {item.path for item in unusable}
    root = _root(folder)
    rows = []
    for item in utterances:
        if item.path in bad:
            continue
        header = headers.get(item.id)
        rows.append(
            manifest.Row(
                ID=f"{corpus.name}-{item.id}",
                duration=round(header.duration, 4) if header else 0.0,
                wav=f"{root}/{item.path}",
                sample_rate=header.sample_rate if header else 0,
                corpus=corpus.name,
                language=corpus.language,
                speaker=f"{corpus.name}-{item.speaker}" if item.speaker else "",
                emotion=corpus.emotions[item.emotion],
                native_emotion=item.emotion,
                split=assignment[item.id],
                gender=item.gender,
                intensity=item.intensity,
                text=item.text,
                session=item.session,
            )
        )
    if not rows:
        raise UserError(
            f"{folder}: none of {len(rejected)} files can be used; "
            f"{rejected[0].path}: {rejected[0].reason}"
        )
    standin = is_standin(folder)
    manifest.write(
        path,
        rows,
        {
            "corpus": corpus.name,
            "title": corpus.title,
            "standin": standin,
            "options": options,
            "tool_version": __version__,
            "fingerprint": fingerprint,
            "stereo": sum(header.channels > 1 for header in headers.values()),
            "speaker_disjoint": policy == "speaker"
            or corpus.paper_split.speaker_disjoint,
            "missing": missing,
            "rejected": [{"path": r.path, "reason": r.reason} for r in rejected],
        },
    )
    _report(corpus, path, rows, rejected, missing, standin)
    return path


def _report(
    corpus: Corpus,
    path: Path,
    rows: list[manifest.Row],
    rejected: list[Rejected],
    missing: list[str],
    standin: bool,
) -> None:
    """Log what was written and everything that was left out."""
    parts = manifest.counts(rows)["splits"]
    logger.info(
        "%s%s: %d utterances, in the four emotions %s train / valid / test, "
        "%d training speakers; written to %s",
        corpus.name,
        " (a synthetic stand-in)" if standin else "",
        len(rows),
        " / ".join(str(parts[part]["utterances"]) for part in manifest.SPLITS),
        parts["train"]["speakers"],
        path,
    )
    if missing:
        logger.warning(
            "%s: the audio of %d utterances is not on disk (%s, ...): they are listed "
            "in %s and can be planned, not trained on%s",
            corpus.name,
            len(missing),
            missing[0],
            manifest.sidecar_path(path),
            f"; {corpus.missing}" if corpus.missing else "",
        )
    for reason, number in Counter(item.reason for item in rejected).most_common(5):
        example = next(item.path for item in rejected if item.reason == reason)
        logger.warning(
            "%s: %d file(s) rejected, as %s: %s", corpus.name, number, example, reason
        )
    if rejected:
        logger.warning(
            "%s: all %d rejected files stand in %s",
            corpus.name,
            len(rejected),
            manifest.sidecar_path(path),
        )
