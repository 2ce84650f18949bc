"""Load an exported model; nothing in its folder is run.

Weights are safetensors, the rest is JSON: a pickle is refused unread, and no YAML is
looked at. Sizes and hashes are compared before a weight is read, names, types and
shapes before it is copied.
"""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from data_prep.errors import UserError
from xser_brain.encoders import find
from xser_brain.head import build_head
from xser_brain.inference import config as schema
from xser_brain.inference.model import EmotionModel

CHUNK = 2**22  # bytes


def load(folder: Path, encoder_source: str | None = None) -> tuple[EmotionModel, dict]:
    """Load a model.

    Arguments
    ---------
    folder : Path
        From ``xser_brain.inference.sources.model_folder``.
    encoder_source : str, optional
        Another place of the pretrained encoder; its weights must be the same.

    Returns
    -------
    EmotionModel
        In evaluation mode, with nothing to train.
    dict
        Its configuration.

    Raises
    ------
    UserError
        If anything is missing, damaged, or not what the model was trained with.
    """
    config = schema.read(folder)
    for name, facts in config["files"].items():
        _verify(folder / name, facts)
    try:
        return _load(folder, config, encoder_source).eval().requires_grad_(
            False
        ), config
    except UserError:
        raise
    # What libraries say of a folder that was made to confuse them is without end.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{folder} cannot be loaded ({reason}): get it again"
        ) from error


def identify(path: Path) -> dict:
    """Size and hash of a file.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    dict
        ``size`` in bytes and ``sha256``.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
        return {"size": stream.tell(), "sha256": digest.hexdigest()}


def _verify(path: Path, facts: dict) -> None:
    try:
        if not path.is_file():
            raise UserError(f"no file {path}: get the model again")
        # Only what has the right size is read, and so no more than is allowed.
        same = path.stat().st_size == facts["size"] and identify(path) == facts
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if not same:
        raise UserError(
            f"{path} is damaged (not the {facts['size']} bytes that were exported): "
            "get the model again"
        )


def _load(folder: Path, config: dict, encoder_source: str | None) -> EmotionModel:
    tensors = _read_weights(folder / schema.WEIGHTS)
    description = config["encoder"]
    family = find(description["family"])
    expected = family.expected_state(description)
    if expected is not None:
        found = {n[8:]: t for n, t in tensors.items() if n[:8] == "encoder."}
        _require_same(expected, found, folder / schema.WEIGHTS)
    encoder = family.from_description(description, folder, encoder_source)
    beyond = [n for n in _taken(config, encoder.vectors) if n >= encoder.vectors]
    if beyond:
        raise UserError(
            f"{folder / schema.NAME}: its head takes vector {beyond[0]} of an encoder that "
            f"gives {encoder.vectors}: get the model again"
        )
    head = build_head(config, encoder.vectors, encoder.width)
    model = EmotionModel(
        encoder,
        head,
        nn.Linear(head.width, len(config["labels"])),
        float(config["calibration"]["temperature"]),
        torch.empty(2, head.width) if config["statistics"] else None,
    )
    _require_same(model.trained(), tensors, folder / schema.WEIGHTS)
    model.load_state_dict(tensors, strict=False)
    return model


def _taken(config: dict, there: int) -> list[int]:
    """The encoder's vectors that the heads take."""
    taken = list(config.get("vectors") or [])
    for member in config.get("members", []):
        first, count = member["takes"]
        taken.append(first + count - 1)
        taken += [
            first + number if number < count else there
            for number in member.get("vectors") or []
        ]
    return taken


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a safetensors file ({error}): get it again"
        ) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{path}: {name:.100} holds NaN or infinite weights")
    return tensors


def _require_same(expected: dict, found: dict, path: Path) -> None:
    def kind(tensor: torch.Tensor) -> tuple:
        return tuple(tensor.shape), tensor.dtype

    wrong = sorted(
        name
        for name in expected.keys() | found.keys()
        if name not in expected
        or name not in found
        or kind(expected[name]) != kind(found[name])
    )
    if wrong:
        raise UserError(
            f"{path} does not fit {schema.NAME}: {len(wrong)} weights are missing, "
            f"superfluous or of another shape, as {wrong[0]:.100}"
        )
