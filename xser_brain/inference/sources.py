"""Where exported models come from: a folder, or the hub."""

import logging
import re
from pathlib import Path

from data_prep.errors import UserError
from xser_brain import starter
from xser_brain.encoders.weights import HUB_NAME, snapshot
from xser_brain.inference import config as schema

logger = logging.getLogger(__name__)
REVISION = re.compile(r"\w[\w./-]{0,200}")
MODEL = (schema.NAME, schema.WEIGHTS, *schema.ENCODER_FILES)


def model_folder(source: str | Path, revision: str | None = None) -> Path:
    """Find an exported model; see ``find_model``."""
    return find_model(source, revision)[0]


def find_model(source: str | Path, revision: str | None = None) -> tuple[Path, str]:
    """Find an exported model, and tell which one it is if it comes from the hub.

    Arguments
    ---------
    source : path or str
        A model's folder, the folder of the run that exported it, ``starter`` for the
        model that comes with this package, or a name on the Hugging Face hub, with
        ``@REVISION`` behind it if need be.
    revision : str, optional
        Of the hub's repository: a commit, which stays what it is, or a branch or tag.

    Returns
    -------
    Path
        Its folder.
    str
        ``NAME@COMMIT``; empty for a folder.

    Raises
    ------
    UserError
        If there is none.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision:
            raise UserError(f"{source} is a folder: --revision is for names on the hub")
        inner = folder / "model"
        return (inner if (inner / schema.NAME).is_file() else folder), ""
    if str(source) == starter.NAME and not revision:
        return starter.FOLDER, ""
    name, _, at = str(source).partition("@")
    if at and revision and at != revision:
        raise UserError(f"{source} and --revision={revision}: give one revision")
    revision = revision or at or None
    if revision and not REVISION.fullmatch(revision):
        raise UserError(f"{revision!r:.100} is no commit, branch or tag of the hub")
    if HUB_NAME.fullmatch(name):
        found = snapshot(name, revision, MODEL)
        _tell(name, revision, found.name)
        return found, f"{name}@{found.name}"
    raise UserError(
        f"no model {source}: pass the folder model/ of a run, a name on the hub, or starter"
    )


def _tell(name: str, revision: str | None, commit: str) -> None:
    if revision == commit:
        logger.info("model: %s, commit %s", name, commit)
        return
    logger.warning(
        "model: %s, commit %s, as the hub has it now: name it %s@%s to keep to it",
        name,
        commit,
        name,
        commit,
    )
