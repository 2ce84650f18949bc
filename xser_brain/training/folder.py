"""A run's folder: one process, one run, and what it was begun with."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from data_prep.errors import UserError
from data_prep.locks import ALONE, AT_ONCE, Lock
from data_prep.manifest import write_atomic
from xser_brain.artefacts import IDENTITY, RUN, find_file, read_identity, read_run

CLAIM_SECONDS = 30
LATER = ("seed", "processes", "audio")  # keys that earlier versions did not write


def claim(folder: Path) -> Lock:
    """Be the only process that writes a run; one that was just killed takes a while.

    Arguments
    ---------
    folder : Path
        The run's.

    Returns
    -------
    Lock
        Held for as long as it lives.

    Raises
    ------
    UserError
        If another process trains that run.
    """
    lock = Lock(folder.with_name(f".{folder.name}.lock"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(CLAIM_SECONDS):
        if lock.acquire(ALONE | AT_ONCE):
            return lock
        time.sleep(1)
    raise UserError(
        f"another process trains {folder}: wait for it, or pass --results=DIR"
    )


def require_writable(results: Path) -> None:
    """Refuse to start where nothing can be written.

    Arguments
    ---------
    results : Path
        Where runs go.

    Raises
    ------
    UserError
        If that is so.
    """
    probe = results / ".writable"
    write_atomic(probe, b"")
    probe.unlink(missing_ok=True)


def begin(folder: Path, identity: Mapping, overwrite: bool) -> None:
    """Make a run's folder its own.

    Arguments
    ---------
    folder : Path
        The run's.
    identity : mapping
        From ``Spec.identity``.
    overwrite : bool
        Whether to forget what the folder holds.

    Raises
    ------
    UserError
        If it holds another run.
    """
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    path = folder / IDENTITY
    _refuse_links(folder)
    if path.exists():
        before = _known(folder, identity)
        if before == identity or is_finished(folder, identity):
            return
        # One that a mistake ended before anything was trained has nothing to lose.
        if any(folder.glob("save/*")) or (folder / RUN).exists():
            raise UserError(
                f"{folder} holds a run with other settings ({_difference(before, identity)}"
                "): pass --overwrite=True to replace it, or --results=DIR to keep both"
            )
    write_atomic(path, json.dumps(identity, indent=1).encode())


def _known(folder: Path, identity: Mapping) -> dict:
    """What a folder's run was begun with; earlier versions wrote down less."""
    before = read_identity(folder)
    if before is None:
        raise UserError(f"{folder} holds no {IDENTITY}")
    if "seed" not in before and (folder / RUN).exists():
        before["seed"] = read_run(folder).get("seed", identity["seed"])
    return {**{key: identity[key] for key in LATER}, **before}


def is_finished(folder: Path, identity: Mapping) -> bool:
    """Whether a folder holds the whole result of just this run.

    Arguments
    ---------
    folder : Path
        A run's folder.
    identity : mapping
        From ``Spec.identity``.

    Returns
    -------
    bool
    """
    try:
        before = _known(folder, identity)
        read_run(folder)
    except UserError:
        return False
    # However many processes it took, it is done.
    return {**before, "processes": identity["processes"]} == identity


def _refuse_links(folder: Path) -> None:
    """Of a folder that a stranger began: logs would be written to what links lead to."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            find_file(folder, path.relative_to(folder).as_posix())


def _difference(before: dict, now: Mapping) -> str:
    for key in ("options", "seed", "processes"):
        if before.get(key) != now[key]:
            return f"then {key} {before.get(key)}, now {now[key]}"
    if before["hparams"] == now["hparams"]:
        if before["protocol"] != now["protocol"]:
            return "the corpora or their splits changed"
        then = before["audio"]
        changed = [key for key in now["audio"] if then.get(key) != now["audio"][key]]
        return f"the recordings of {', '.join(changed)} changed since"
    old, new = before["hparams"], now["hparams"]
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]

    def shown(values: dict) -> str:
        own = (f"{k.split('.')[-1]}: {values[k]}" for k in changed if k in values)
        return "; ".join(dict.fromkeys(own)) or "the defaults"

    return f"then {shown(old)}, now {shown(new)}"
