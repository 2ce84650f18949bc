"""Where exported models come from: a folder, or the hub."""

from pathlib import Path

from data_prep.errors import UserError
from xser_brain.encoders.weights import HUB_NAME, snapshot
from xser_brain.inference import config as schema

MODEL = (schema.NAME, schema.WEIGHTS, *schema.ENCODER_FILES)


def model_folder(source: str | Path, revision: str | None = None) -> Path:
    """Find an exported model.

    Arguments
    ---------
    source : path or str
        A model's folder, the folder of the run that exported it, or a name on the
        Hugging Face hub.
    revision : str, optional
        Of the hub's repository.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        If there is none.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        inner = folder / "model"
        return inner if (inner / schema.NAME).is_file() else folder
    if HUB_NAME.fullmatch(str(source)):
        return snapshot(str(source), revision, MODEL)
    raise UserError(
        f"no model {source}: pass the folder model/ of a run, or a name on the hub"
    )
