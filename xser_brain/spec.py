"""What a recipe comes to: its settings checked, its corpora, its place, its identity."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ruamel.yaml
from ruamel.yaml.comments import CommentedMap

from data_prep import corpus, exchange, prepare, splits, standin
from data_prep.errors import UserError
from xser_brain import hparams as hparams_module
from xser_brain.protocol import Plan, Setting, get_system, make_plan

# Run options of SpeechBrain that decide on a result.
DECISIVE_OPTIONS = (
    "precision",
    "eval_precision",
    "grad_accumulation_factor",
    "max_grad_norm",
    "debug",
)
PURPOSES = ("result", "tuning")
# The seed is told apart; where things lie and how fast they come changes no result.
NOT_HASHED = (
    "seed",
    "data_root",
    "results",
    "manifests",
    "features",
    "cache_limit",
    "audio_memory",
    "embeddings",
    "overwrite",
    "whole",
    "num_workers",
)


# The least value of the numbers that a run reads; whole ones have a whole least.
LEAST = {
    "run": {"seed": 0, "audio_memory": 0.0, "embeddings": 0},
    "training": {
        "steps": 1,
        "validate_every": 1,
        "patience": 1,
        "learning_rate": 0.0,
        "warmup": 0,
        "weight_decay": 0.0,
        "batch_size": 1,
        "languages_per_batch": 1,
        "emotions_per_batch": 1,
        "utterances_per_cell": 1,
        "length_pool": 1,
        "crop": 0.0,
        "num_workers": 0,
    },
    "objectives": {
        "alpha": 0.0,
        "beta": 0.0,
        "memory_size": 0,
        "memory_start": 0,
        "adversary_hidden": 1,
    },
}


def _names(value: object) -> tuple[str, ...]:
    """Corpus names from a list, or from ``a,b,c``."""
    if value is None:
        return ()
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def settle(hparams: dict) -> Setting:
    """Read off a recipe which corpora play which part.

    A leave-one-language-out recipe gives ``corpora`` instead of the source and
    non-target ones: all but those of the target's language are trained on, the first
    of them as the source.

    Arguments
    ---------
    hparams : dict
        A recipe.

    Returns
    -------
    Setting

    Raises
    ------
    UserError
        If a corpus is unknown or plays two parts.

    Example
    -------
    >>> settle({"corpora": "ravdess,urdu,emodb", "target": "emodb"}).non_target
    ('urdu',)
    """
    target = str(hparams["target"])
    run = hparams.get("run")  # not yet built: a tag
    folder = _manifest_folder(run if isinstance(run, Mapping) else {})
    source = _names(hparams.get("source"))
    non_target = _names(hparams.get("non_target"))
    if "corpora" in hparams:
        language = exchange.lookup(target, folder).language
        others = [
            name
            for name in _names(hparams["corpora"])
            if exchange.lookup(name, folder).language != language
        ]
        source = source or tuple(others[:1])
        non_target = tuple(name for name in others if name not in source)
    for name in (*source, *non_target, target):
        exchange.lookup(name, folder)
    return Setting(source, non_target, target)


def _manifest_paths(settings: dict, names: Sequence[str]) -> dict[str, Path]:
    folder = _manifest_folder(settings)
    return {name: folder / f"{name}.csv" for name in names}


def _manifest_folder(settings: dict) -> Path:
    results = Path(settings.get("results") or "results")
    return Path(settings.get("manifests") or results / "manifests")


def _prepare(settings: dict, names: Sequence[str], data_root: Path) -> None:
    """Write stand-ins, if this is a demo, and manifests that are not up to date."""
    policy = None if settings["splits"] == "default" else settings["splits"]
    if policy not in (None, *splits.POLICIES):
        known = ", ".join(splits.POLICIES)
        raise UserError(f"unknown splits {policy!r}: use {known} or default")
    for name, path in _manifest_paths(settings, names).items():
        if name not in corpus.registry():  # taken in by `data_prep import`
            continue
        folder = corpus.get(name).locate(data_root)
        if settings["demo"]:
            standin.write(name, folder)
        prepare.prepare(corpus.get(name), folder, path.parent, policy)


def _data_root(settings: dict, names: Sequence[str]) -> Path:
    """The corpora's folder; a demo has its own unless one is given."""
    if settings["data_root"]:
        return Path(settings["data_root"]).expanduser().resolve()
    if settings["demo"]:
        return (Path(settings["results"]) / "standins").resolve()
    raise UserError(
        "data_root is not set: pass --data_root=DIR, which holds one folder per "
        f"corpus ({', '.join(names)}), or --demo=True for synthetic stand-ins"
    )


def hparams_sha256(text: str) -> str:
    """Hash a resolved recipe, but for where things lie.

    Arguments
    ---------
    text : str
        From ``xser_brain.hparams.resolve``.

    Returns
    -------
    str
    """
    text = json.dumps(decisive_values(text), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def decisive_values(text: str) -> dict[str, object]:
    """All values of a recipe that may change a result, its seed apart.

    Arguments
    ---------
    text : str
        From ``xser_brain.hparams.resolve``.

    Returns
    -------
    dict of str to object
        By ``piece.key``; what is built shows as ``!new:...`` below a key ``!``.
    """
    return dict(_flat(ruamel.yaml.YAML().load(text)))


def _flat(node: CommentedMap, above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        name = f"{above}{key}"
        if key in NOT_HASHED:
            continue
        tag = getattr(getattr(value, "tag", None), "value", None)
        if tag:
            yield f"{name}.!", tag
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif not tag:
            yield name, value


@dataclass(frozen=True)
class Spec:
    """What a recipe and its overrides come to.

    Arguments
    ---------
    text : str
        The resolved YAML.
    hparams : dict
        What it builds.
    setting : Setting
        Which corpora play which part.
    """

    text: str
    hparams: dict
    setting: Setting

    @property
    def settings(self) -> dict:
        """The keys of ``recipes/common/run.yaml``."""
        return self.hparams["run"]

    @property
    def system(self) -> str:
        """Key of ``SYSTEMS``."""
        return str(self.settings["system"])

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpora it needs, the target last."""
        return self.setting.corpora(get_system(self.system))

    @property
    def label(self) -> str:
        """The encoder's name in the results: with its adaptation, unless frozen."""
        adaptation = self.hparams["adapt"]["adaptation"]
        suffix = "" if adaptation == "frozen" else f"-{adaptation}"
        return f"{self.hparams['encoder']}{suffix}"

    @property
    def results(self) -> Path:
        """Where all runs go."""
        return Path(self.settings["results"])

    @property
    def folder(self) -> Path:
        """Where this run goes."""
        seed = str(int(self.settings["seed"]))
        return self.results / self.setting.name / self.system / self.label / seed

    @property
    def data_root(self) -> Path:
        """The corpora's folder; a demo has its own unless one is given."""
        return _data_root(self.settings, self.corpora)

    def plan(self) -> Plan:
        """Who sees what; the corpora must have been prepared."""
        manifests = _manifest_paths(self.settings, self.corpora)
        return make_plan(self.setting, self.system, manifests, self.data_root)


def describe(recipe: str | Path, overrides: dict) -> Spec:
    """Resolve a recipe and check it; nothing is read or written but YAML.

    Arguments
    ---------
    recipe : path
        The YAML file.
    overrides : dict
        Values that replace the recipe's.

    Returns
    -------
    Spec

    Raises
    ------
    UserError
        If it is not sound.
    """
    text = hparams_module.resolve(recipe, overrides)
    hparams = hparams_module.load(text)
    _check(recipe, hparams)
    return Spec(text, hparams, settle(hparams))


def prepare_corpora(spec: Spec) -> None:
    """Write stand-ins, if this is a demo, and manifests that are not up to date.

    Arguments
    ---------
    spec : Spec
        From ``describe``.

    Raises
    ------
    UserError
        If a corpus is missing or is not what it should be.
    """
    _prepare(spec.settings, spec.corpora, spec.data_root)


def identify(spec: Spec, plan: Plan, run_opts: dict) -> dict:
    """All that decides on a run's result but its seed.

    Arguments
    ---------
    spec : Spec
        From ``describe``.
    plan : Plan
        From ``spec.plan``.
    run_opts : dict
        SpeechBrain's run options.

    Returns
    -------
    dict
    """
    return {
        "hparams": decisive_values(spec.text),
        "protocol": plan.sha256(),
        "options": {name: run_opts[name] for name in DECISIVE_OPTIONS},
    }


def is_finished(folder: Path, identity: dict) -> bool:
    """Whether a folder holds the whole result of just this run.

    Arguments
    ---------
    folder : Path
        A run's folder.
    identity : dict
        From ``identify``.

    Returns
    -------
    bool
    """
    try:
        kept = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
        json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return kept == identity


def _check(recipe: str | Path, hparams: dict) -> None:
    """Refuse a recipe that lacks something, or a number that is none."""
    for key in (*hparams_module.PIECES, "target", "encoder"):
        if not hparams.get(key):
            raise UserError(f"{recipe}: no {key}: add it as other recipes have it")
    purpose = hparams["run"]["purpose"]
    if purpose not in PURPOSES:
        raise UserError(f"purpose is {purpose!r}: use one of {', '.join(PURPOSES)}")
    for piece, numbers in LEAST.items():
        for key, least in numbers.items():
            value = hparams[piece].get(key)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or type(least)(value) != value or value < least:
                kind = "whole number" if isinstance(least, int) else "number"
                raise UserError(f"{key} is {value!r}: set a {kind} from {least} on")
