"""From a corpus' folder to its manifest: walk, map, split, probe, write."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from data_prep import __version__, audio, completeness, manifest, media, splits
from data_prep.corpus import Corpus, Rejected, Utterance, twice
from data_prep.errors import UserError
from data_prep.hashes import AudioHashes
from data_prep.locks import ALONE, Lock
from data_prep.outside import is_below
from data_prep.standin import is_standin

logger = logging.getLogger(__name__)
LOCK = ".lock"


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
        elif not all(map(is_below, filter(None, (item.path, item.media)))):
            rejected.append(Rejected(item.path, "leads out of the corpus' folder"))
        elif not item.id:
            rejected.append(Rejected(item.path, "the corpus gives it no name"))
        elif item.emotion not in corpus.emotions:
            known = ", ".join(corpus.emotions)
            reason = f"unknown emotion {item.emotion!r} (known: {known})"
            rejected.append(Rejected(item.media or item.path, reason))
        elif item.id in found:
            raise UserError(
                f"{folder}: two files with one ID {corpus.name}-{item.id}: "
                f"{twice(*(u.media or u.path for u in (found[item.id], item)), folder)}"
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
        state = [_state(folder / name) for name in (item.path, item.media) if name]
        wide = corpus.emotions[item.emotion]
        add(item, state, wide, corpus.four(wide), assignment[item.id])
    add(rejected)
    return digest.hexdigest()


def _state(path: Path) -> tuple[int, int, int] | None:
    """Size and dates of a file, or None if there is none; the last cannot be set back."""
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


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
) -> tuple[dict[str, audio.Header], dict[str, Rejected], list[str]]:
    """Open the audio of all utterances, after decoding what is a video or the like.

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
    dict, dict, list of str
        Headers and rejections by utterance id, and paths that are not on disk.

    Raises
    ------
    UserError
        If this is a copy of the corpus that is known to be damaged, or a video cannot
        be decoded for want of PyAV or of room.
    """
    rejected, usable, missing = {}, {}, []
    for item in utterances:
        there = [name for name in (item.media, item.path) if _is_file(folder, name)]
        if not there:
            missing.append(item.path)
        elif item.id in corpus.unusable:
            rejected[item.id] = Rejected(there[0], corpus.unusable[item.id])
        else:
            usable[item.id] = item
    for name, reason in media.decode(corpus.name, folder, usable.values()).items():
        rejected[name] = Rejected(usable.pop(name).media, reason)
    paths = [f"{folder}/{item.path}" for item in usable.values()]
    headers = {}
    results = audio.for_all(function, paths, corpus.name)
    for item, result in zip(usable.values(), results, strict=True):
        if isinstance(result, audio.AudioError):
            rejected[item.id] = Rejected(item.path, str(result))
        else:
            headers[item.id] = result
    if corpus.verify:
        corpus.verify(list(headers.values()))
    return headers, rejected, missing


def _is_file(folder: Path, name: str) -> bool:
    return bool(name) and os.path.isfile(f"{folder}/{name}")


def prepare(
    corpus: Corpus,
    folder: Path,
    save_folder: Path,
    policy: str | None = None,
    decode: bool = False,
    merge: bool = True,
    allow_incomplete: bool = True,
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
        One of ``splits.POLICIES``; by default the first that the corpus allows.
    decode : bool
        Decode every file and reject what is silent, cut short or not a number;
        otherwise only headers are read.
    merge : bool
        Whether to count a further label as one of the four emotions where the field
        does so with this corpus.
    allow_incomplete : bool
        Whether a copy is taken that lacks an emotion or more than a tenth of the
        declared utterances; that it does is said in any case.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    UserError
        If the folder does not hold the corpus, or not enough of it, or the manifest
        cannot be written.
    """
    folder, path = Path(folder), Path(save_folder) / f"{corpus.name}.csv"
    corpus = corpus if merge else replace(corpus, merge={})
    policy = policy or corpus.default_splits
    utterances, rejected = walk(corpus, folder)
    options = {"splits": policy, "decode": decode, "merged": dict(corpus.merge)}
    assignment = splits.split(utterances, corpus, policy)
    fingerprint = _fingerprint(corpus, folder, utterances, rejected, assignment)
    # Of several processes that need this manifest one writes it, the others wait.
    with Lock(path.with_name(LOCK)) as lock:
        lock.acquire(ALONE)
        if _is_fresh(path, options, fingerprint):
            logger.info("%s is up to date", path)
        else:
            _write(
                corpus,
                folder,
                path,
                utterances,
                rejected,
                assignment,
                options,
                fingerprint,
                allow_incomplete,
            )
        _tell_incomplete(
            corpus.name, manifest.read_sidecar(path).get("census", {}), allow_incomplete
        )
    return path


def _tell_incomplete(name: str, census: dict, allowed: bool) -> None:
    """Say wherever a copy is used how it differs; refuse it if too much is missing."""
    lacks = completeness.lacking(census)
    if lacks and not allowed:
        raise UserError(
            f"{name} is incomplete, it lacks {lacks}: get the rest, or pass "
            "--allow_incomplete to go on without"
        )
    differs = completeness.differences(census)
    if differs:
        logger.warning(
            "%s: not what is declared: %s: an incomplete copy, or another edition",
            name,
            differs,
        )


def _write(
    corpus: Corpus,
    folder: Path,
    path: Path,
    utterances: list[Utterance],
    rejected: list[Rejected],
    assignment: dict[str, str],
    options: dict,
    fingerprint: str,
    allow_incomplete: bool,
) -> None:
    """Probe all files and write the manifest."""
    function = audio.check if options["decode"] else audio.probe
    headers, unusable, missing = probe(corpus, folder, utterances, function)
    if any(item.media for item in utterances):  # files may have been made meanwhile
        fingerprint = _fingerprint(corpus, folder, utterances, rejected, assignment)
    rejected += unusable.values()
    paths = {item.id: f"{folder}/{item.path}" for item in utterances}
    hashes = AudioHashes(path.parent).of(
        [paths[name] for name in headers], f"{corpus.name}, hashes"
    )
    root = _root(folder)
    rows = []
    for item in utterances:
        if item.id in unusable:
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
                emotion=corpus.emotion(item.emotion),
                native_emotion=item.emotion,
                split=assignment[item.id],
                gender=item.gender,
                intensity=item.intensity,
                text=item.text,
                sentence=item.sentence,
                session=item.session,
                category=corpus.emotions[item.emotion],
                arousal=item.arousal,
                valence=item.valence,
                dominance=item.dominance,
                audio_sha256=hashes[paths[item.id]].samples if header else "",
            )
        )
    if not rows:
        raise UserError(
            f"{folder}: none of {len(rejected)} files can be used; "
            f"{rejected[0].path}: {rejected[0].reason}"
        )
    standin = is_standin(folder)
    census = {} if standin else completeness.census(corpus, rows)
    if not allow_incomplete:  # before anything is written
        _tell_incomplete(corpus.name, census, False)
    manifest.write(
        path,
        rows,
        {
            "corpus": corpus.name,
            "title": corpus.title,
            "licence": corpus.licence,
            "standin": standin,
            "options": options,
            "tool_version": __version__,
            "fingerprint": fingerprint,
            "stereo": sum(header.channels > 1 for header in headers.values()),
            "census": census,
            "speaker_disjoint": splits.is_speaker_disjoint(utterances, assignment),
            "missing": missing,
            "rejected": [{"path": r.path, "reason": r.reason} for r in rejected],
        },
    )
    channels = {item.channel for item in utterances if item.channel is not None}
    _report(corpus, path, rows, rejected, missing, standin, channels)


def _report(
    corpus: Corpus,
    path: Path,
    rows: list[manifest.Row],
    rejected: list[Rejected],
    missing: list[str],
    standin: bool,
    channels: set[int],
) -> None:
    """Log what was written and everything that was left out."""
    parts = manifest.counts(rows)["splits"]
    if channels:
        logger.info(
            "%s: of its recordings, channel %s is taken, and not the mean of all",
            corpus.name,
            " or ".join(str(channel + 1) for channel in sorted(channels)),
        )
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
