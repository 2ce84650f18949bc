"""Where models and their pretrained encoders come from: a folder, or the hub."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import CONFIG_MAPPING, AutoModel

from data_prep.errors import UserError
from xser_brain.inference import config as schema

ENCODER_JSON = ("config.json", "preprocessor_config.json")
MODEL = (schema.NAME, schema.WEIGHTS, *schema.ENCODER_FILES)
# Keys by which a configuration could have other code, or other weights, loaded.
REFUSED = (
    "auto_map",
    "base_model_name_or_path",
    "fusion_config",
    "kernel_config",
    "quantization_config",
    "transformers_weights",
)
MAPPINGS = ("id2label", "label2id", "task_specific_params")
# The most that a number may be, by its name, or by what its name ends with.
MOST = {
    "feature_size": 2**10,
    "n_fft": 2**14,
    "layers": 100,
    "heads": 2**8,
    "labels": 2**16,
    "model": 2**14,
    "dim": 2**16,
    "size": 2**20,
}
MOST_OTHERWISE = 2**31
# What transformers builds beside an encoder whose weights are there: Whisper's decoder.
SPARE = 2e8


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
    if schema.HUB_NAME.fullmatch(str(source)):
        return _snapshot(str(source), revision, MODEL)
    raise UserError(
        f"no model {source}: pass the folder model/ of a run, or a name on the hub"
    )


def encoder_folder(source: str, revision: str | None = None) -> Path:
    """Find a pretrained encoder's folder and check what it says of itself.

    Arguments
    ---------
    source : str
        An absolute path, or a name on the Hugging Face hub.
    revision : str, optional
        Of the hub's repository.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        If it is not there, or is not what is safe to load.
    """
    if Path(source).is_absolute():
        folder = Path(source)
        if not (folder / "config.json").is_file():
            raise UserError(
                f"no pretrained encoder in {folder}, which this model was trained "
                "with: pass --encoder_source=DIR with a copy of it"
            )
    else:
        folder = _snapshot(source, revision, (*ENCODER_JSON, "*.safetensors"))
        if not any(folder.glob("*.safetensors")):
            folder = _snapshot(source, revision, (*ENCODER_JSON, "pytorch_model.bin"))
    check_encoder(folder)
    return folder


def _snapshot(name: str, revision: str | None, files: Sequence[str]) -> Path:
    import huggingface_hub  # only who asks for the hub waits for it
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(
            huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns=list(files)
            )
        )
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"cannot get {name} from the hub ({reason[:200]}): pass a folder, or a name "
            f"that can be reached (where there is a network: `hf download {name}`)"
        ) from error


def check_encoder(folder: Path) -> None:
    """Refuse an encoder's folder that could load code or ask for too much memory.

    Arguments
    ---------
    folder : Path
        With the files of transformers.

    Raises
    ------
    UserError
        If something in it is out of range.
    """
    if (folder / "adapter_config.json").exists():
        raise UserError(f"{folder} holds an adapter of peft: that is no encoder")
    config = _read(folder / "config.json")
    if config.get("model_type") not in schema.MODEL_TYPES:
        raise UserError(
            f"{folder} is a model of type {config.get('model_type')!r:.50}: use one of "
            f"{', '.join(schema.MODEL_TYPES)}"
        )
    if (folder / "preprocessor_config.json").is_file():
        _read(folder / "preprocessor_config.json")
    weights = [
        path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")
    ]
    size = sum(path.stat().st_size for path in weights)
    with torch.device("meta"):
        model = AutoModel.from_config(
            CONFIG_MAPPING[config.pop("model_type")].from_dict(config)
        )
    # At four bytes a value of what may be stored as two.
    built = 4 * sum(math.prod(p.shape) for p in model.parameters())
    if built > 4 * size + 4 * SPARE:
        raise UserError(
            f"{folder / 'config.json'} describes a model of {built / 1e9:.1f} GB and "
            f"there are weights of {size / 1e9:.1f} GB: get the encoder anew"
        )


def _read(path: Path) -> dict:
    """Read a configuration of transformers and check its keys and numbers."""
    try:
        with path.open("rb") as stream:
            data = stream.read(schema.LARGEST_CONFIG + 1)
        values = json.loads(data) if len(data) <= schema.LARGEST_CONFIG else None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): get it anew") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is no configuration: get the encoder anew")
    for key, value in values.items():
        named = "implementation" in key and isinstance(value, str)
        nested = isinstance(value, dict) and key not in MAPPINGS
        if key in REFUSED or named or nested:
            raise UserError(f"{path}: {key} may ask for other code or weights: refused")
        most = MOST.get(key, MOST.get(key.rpartition("_")[2], MOST_OTHERWISE))
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not -most <= number <= most:
                raise UserError(f"{path}: {key} is {number:g}: out of range")
    return values
