"""Where pretrained encoders come from, a folder or the hub, and which are safe to load."""

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError

from data_prep.errors import UserError
from data_prep.outside import printable
from xser_brain.checks import text

logger = logging.getLogger(__name__)
MODEL_TYPES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper")
is_revision = text(r"[\w.-]{1,100}")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
ELSEWHERE = "pass --encoder_source=DIR with a copy of this encoder"
SETTINGS = ("config.json", "preprocessor_config.json")
FILES = (*SETTINGS, "model.safetensors")  # of an encoder within a model's folder
INSIDE = "encoder"  # the name of its folder there
# In config.json: the corpora to which the weights were adapted.
ADAPTED_ON = "adapted_on"
LARGEST_CONFIG = 2**20  # bytes
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


def is_source(value: object) -> bool:
    """Whether this can name an encoder: a hub name, or an absolute path.

    Example
    -------
    >>> [is_source(s) for s in ("openai/whisper-base", "/models/w", "../w", "a/b/c")]
    [True, True, False, False]
    """
    if not isinstance(value, str) or len(value) > 4096 or not value.isprintable():
        return False
    return Path(value).is_absolute() or bool(HUB_NAME.fullmatch(value))


def locate(
    description: Mapping, folder: Path | None = None, source: str | None = None
) -> Path:
    """The folder of the pretrained encoder that a model was trained with, once checked.

    Arguments
    ---------
    description : mapping
        From ``PretrainedEncoder.describe``.
    folder : Path, optional
        Of the exported model, which may hold the encoder.
    source : str, optional
        Where the encoder is now, if it has moved since training.
    """
    if description["included"] and not source:
        where = folder / INSIDE
        if strangers := {path.name for path in where.iterdir()} - set(FILES):
            raise UserError(
                f"{where} holds more than an encoder: {INSIDE}/{min(strangers)}"
            )
        check_encoder(where)
        return where
    name, revision = source or description["source"], description["revision"]
    if source:
        name = str(Path(source).resolve()) if Path(source).is_dir() else source
        revision = None
    logger.info("pretrained encoder: %s %s", name, revision or "")
    return encoder_folder(name, revision)


def encoder_folder(source: str, revision: str | None = None) -> Path:
    """The folder of an encoder that is safe to load, from a path or the hub.

    UserError if it is not there or not safe (see ``check_encoder``).
    """
    if Path(source).is_absolute():
        folder = Path(source)
        if not (folder / "config.json").is_file():
            raise UserError(
                f"no pretrained encoder in {folder}, which this model was trained "
                "with: pass --encoder_source=DIR with a copy of it"
            )
    else:
        folder = snapshot(source, revision, (*SETTINGS, "*.safetensors"), ELSEWHERE)
        if not any(folder.glob("*.safetensors")):
            other = (*SETTINGS, "pytorch_model.bin")
            folder = snapshot(source, revision, other, ELSEWHERE)
        if revision != folder.name:
            logger.warning(
                "pretrained encoder: %s, commit %s, as the hub has it now",
                source,
                folder.name,
            )
    check_encoder(folder)
    return folder


def snapshot(
    name: str, revision: str | None, files: Sequence[str], mend: str = "pass a folder"
) -> Path:
    """Get files of a repository, by names or patterns: their folder in the hub's cache.

    UserError if that fails; ``mend`` is what to do without the hub.
    """
    import huggingface_hub  # only who asks for the hub waits for it
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        found = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(files)
        )
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0]
        raise UserError(
            f"cannot get {name} from the hub ({reason[:200]}): {mend}, or a name "
            f"that can be reached (where there is a network: `hf download {name}`)"
        ) from error
    return Path(found)


def check_encoder(folder: Path) -> None:
    """Refuse an encoder's folder that could load code or ask for too much memory."""
    import transformers  # only a pretrained encoder needs it

    if (folder / "adapter_config.json").exists():
        raise UserError(f"{folder} holds an adapter of peft, not an encoder")
    config = _read(folder / "config.json")
    if config.get("model_type") not in MODEL_TYPES:
        raise UserError(
            f"{folder} is a model of type {config.get('model_type')!r:.50}: use one of "
            f"{', '.join(MODEL_TYPES)}"
        )
    if (folder / "preprocessor_config.json").is_file():
        _read(folder / "preprocessor_config.json")
    weights = [
        path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")
    ]
    size = sum(path.stat().st_size for path in weights)
    kind = transformers.CONFIG_MAPPING[config.pop("model_type")]
    try:
        with torch.device("meta"):
            model = transformers.AutoModel.from_config(kind.from_dict(config))
    # Numbers that do not go together; each class of transformers says so in its way.
    except Exception as error:
        reason = printable(" ".join(str(error).split()))[:200]
        raise UserError(
            f"{folder / 'config.json'} describes no encoder ({reason}): get it again"
        ) from error
    # At four bytes a value of what may be stored as two.
    built = 4 * sum(math.prod(p.shape) for p in model.parameters())
    if built > 4 * size + 4 * SPARE:
        raise UserError(
            f"{folder / 'config.json'} describes a model of {built / 1e9:.1f} GB and "
            f"there are weights of {size / 1e9:.1f} GB: get the encoder again"
        )


def write_encoder(
    source: Path,
    folder: Path,
    adapted: Mapping[str, torch.Tensor] | None = None,
    corpora: Sequence[str] = (),
) -> None:
    """Write an encoder as transformers reads it, and nothing else.

    Arguments
    ---------
    source : Path
        The pretrained encoder, from ``locate``.
    folder : Path
        Where to; UserError if it cannot be written to.
    adapted : mapping of str to torch.Tensor, optional
        Weights in place of the pretrained ones, by their names there.
    corpora : sequence of str
        To which they were adapted, for ``config.json``.
    """
    import transformers  # only a pretrained encoder needs it

    model = transformers.AutoModel.from_pretrained(  # nosec B615 # a folder
        source, dtype=torch.float32 if adapted else "auto"
    )
    if adapted:
        model.load_state_dict({**model.state_dict(), **adapted})
        setattr(model.config, ADAPTED_ON, list(corpora))
    model.config._name_or_path = ""  # its folder on this machine
    state = {k: v for k, v in model.state_dict().items() if k[:8] != "decoder."}
    try:
        model.save_pretrained(folder, state_dict=state, max_shard_size="1TB")
        prepared = transformers.AutoFeatureExtractor.from_pretrained(  # nosec B615
            source
        )
        prepared.save_pretrained(folder)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {folder}: {error}") from error
    for path in folder.iterdir():
        if path.name not in FILES:
            path.unlink()


def _read(path: Path) -> dict:
    """Read a configuration of transformers and check its keys and numbers."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_CONFIG + 1)
        values = json.loads(data) if len(data) <= LARGEST_CONFIG else None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): get it again") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a configuration: get the encoder again")
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
