"""What a recipe comes to: its settings checked, its corpora, its place, its identity."""

import copy
import hashlib
import importlib.util
import json
import logging
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import ruamel.yaml
from ruamel.yaml.comments import CommentedSeq
from speechbrain.utils.seed import seed_everything
from torch.distributed import get_world_size, is_initialized

from data_prep import corpus, exchange, prepare, splits, standin
from data_prep.errors import UserError
from data_prep.hashes import AudioHashes
from data_prep.outside import printable
from xser_brain.data.augmentation import EmbeddingTransform, WaveformTransform
from xser_brain.evaluation.metrics import Metric
from xser_brain.evaluation.summary import check_metrics
from xser_brain.numbers import number
from xser_brain.objectives import Objective, Objectives
from xser_brain.protocol import LabelSet, Plan, Setting, System, make_plan
from xser_brain.protocol.system import TRAINS_ON
from xser_brain.solvers import Solver
from xser_brain.training import hparams as hparams_module
from xser_brain.training import loggers, options
from xser_brain.training.selection import selection_of

logger = logging.getLogger(__name__)
PURPOSES = ("result", "tuning")
DEBUG = "debug"  # the purpose, and the folder, of runs with --debug
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
    "allow_incomplete",
    "verbose",
    "loggers",
    "gradient_checkpointing",
)
# Keys that came later, of a piece or class, by the value that says what was done before:
# not told apart from it, so that runs of then are the same.
_ENCODER = {"pooling": "mean", "compile_encoder": False}
_HEAD = {"hidden": 0}
LATER = {
    "run": {"cache_precision": "fp32"},
    "adapt": _ENCODER,
    "training": _HEAD,
    "!name:xser_brain.encoders.pretrained.PretrainedEncoder": _ENCODER,
    "!name:xser_brain.head.EmbeddingHead": _HEAD,
}
SYSTEM_KEYS = (
    "trains_on",
    "sampler",
    "objectives",
    "selection",
    "augmentation",
    "solver",
)
AUGMENTATIONS = {"waveforms": WaveformTransform, "embeddings": EmbeddingTransform}
_INSTALLED = [
    Path(__file__).parents[1],
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
]
# The least value of the numbers that no class checks; whole ones have a whole least.
LEAST = {
    "run": {"seed": 0, "audio_memory": 0.0, "embeddings": 0},
    "training": {
        "steps": 1,
        "validate_every": 1,
        "patience": 1,
        "learning_rate": 0.0,
        "weight_decay": 0.0,
        "batch_size": 1,
        "crop": 0.0,
        "num_workers": 0,
    },
}


def _names(value: object) -> tuple[str, ...]:
    """Corpus names from a list, or from ``a,b,c``."""
    if value is None:
        return ()
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def settle(hparams: Mapping) -> Setting:
    """Read off a recipe which corpora play which part.

    A leave-one-language-out recipe gives ``corpora`` instead of the source and
    non-target ones: all but those of the target's language are trained on, the first
    of them as the source.

    Arguments
    ---------
    hparams : mapping
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


def _manifest_folder(settings: Mapping) -> Path:
    results = Path(settings.get("results") or "results")
    return Path(settings.get("manifests") or results / "manifests")


def hparams_sha256(text: str) -> str:
    """Hash a resolved recipe, but for where things lie.

    Arguments
    ---------
    text : str
        From ``xser_brain.training.hparams.resolve``.

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
        From ``xser_brain.training.hparams.resolve``.

    Returns
    -------
    dict of str to object
        By ``piece.key``; what is built shows as ``!new:...`` below a key ``!``.
    """
    return dict(_flat(ruamel.yaml.YAML().load(text)))


def _flat(node: object, name: str = "") -> Iterator[tuple[str, object]]:
    tag = getattr(getattr(node, "tag", None), "value", None)
    if tag:
        yield f"{name}.!", tag
    if isinstance(node, Mapping):
        before = LATER.get(str(tag)) or LATER.get(name, {})
        for key, value in node.items():
            if key not in NOT_HASHED and (key not in before or value != before[key]):
                yield from _flat(value, f"{name}.{key}" if name else key)
    elif isinstance(node, CommentedSeq) and any(map(_is_node, node)):
        for index, value in enumerate(node):
            yield from _flat(value, f"{name}.{index}")
    elif not tag:
        yield name, node


def _is_node(value: object) -> bool:
    return isinstance(value, Mapping) or getattr(value, "tag", None) is not None


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
    system : System
        What is trained.
    """

    text: str
    hparams: dict
    setting: Setting
    system: System

    @property
    def settings(self) -> dict:
        """The keys of ``recipes/common/run.yaml``."""
        return self.hparams["run"]

    @property
    def training(self) -> dict:
        """The keys of ``recipes/common/training.yaml``."""
        return self.hparams["training"]

    @property
    def seed(self) -> int:
        """Of all that is drawn at random."""
        return int(self.settings["seed"])

    @cached_property
    def label_set(self) -> LabelSet:
        """The classes."""
        return LabelSet.of(self.settings.get("labels", "paper"))

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Further metrics by name."""
        return self.settings.get("metrics") or {}

    @property
    def loggers(self) -> Sequence:
        """Where its curves go beside train_log.txt."""
        return self.settings.get("loggers") or ()

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpora it needs, the target last."""
        return self.setting.corpora(self.system.trains_on)

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
        parts = self.setting.name, self.system.name, self.label, str(self.seed)
        return self.results.joinpath(*parts)

    @property
    def data_root(self) -> Path:
        """The corpora's folder; a demo has its own unless one is given."""
        if self.settings["data_root"]:
            return Path(self.settings["data_root"]).expanduser().resolve()
        if self.settings["demo"]:
            return (self.results / "standins").resolve()
        raise UserError(
            "data_root is not set: pass --data_root=DIR, which holds one folder per "
            f"corpus ({', '.join(self.corpora)}), or --demo=True for synthetic stand-ins"
        )

    @property
    def manifests(self) -> dict[str, Path]:
        """Each corpus' manifest."""
        folder = _manifest_folder(self.settings)
        return {name: folder / f"{name}.csv" for name in self.corpora}

    @property
    def hashes(self) -> AudioHashes:
        """Those of the recordings, remembered beside the manifests."""
        return AudioHashes(_manifest_folder(self.settings))

    def prepare(self) -> None:
        """Write stand-ins, if this is a demo, and manifests that are not up to date.

        Raises
        ------
        UserError
            If a corpus is missing or is not what it should be.
        """
        policy = self.settings["splits"]
        policy = None if policy == "default" else policy
        if policy not in (None, *splits.POLICIES):
            known = ", ".join(splits.POLICIES)
            raise UserError(f"unknown splits {policy!r}: use {known} or default")
        for name, path in self.manifests.items():
            if name not in corpus.registry():  # taken in by `data_prep import`
                exchange.require_unchanged(path, self.data_root)
                continue
            folder = corpus.get(name).locate(self.data_root)
            if self.settings["demo"]:
                standin.write(name, folder)
            prepare.prepare(corpus.get(name), folder, path.parent, policy)

    def plan(self) -> Plan:
        """Who sees what; the corpora must have been prepared."""
        return make_plan(
            self.setting,
            self.system,
            self.manifests,
            self.data_root,
            self.label_set,
            bool(self.settings.get("allow_incomplete")),
        ).with_audio()

    def identity(self, plan: Plan, run_opts: Mapping) -> dict:
        """All that decides on a run's result.

        Arguments
        ---------
        plan : Plan
            From ``plan``.
        run_opts : mapping
            SpeechBrain's run options, from ``options.settle``.

        Returns
        -------
        dict
        """
        decisive = {name: run_opts[name] for name in options.DECISIVE}
        if run_opts["grad_accumulation_factor"] > 1:
            decisive["accumulated"] = "as one batch"  # before, each was a step's part
        return {
            "hparams": {
                **decisive_values(self.text),
                **self._own_code(),
                **(
                    {"system.transcripts": plan.transcripts()}
                    if self.system.units
                    else {}
                ),
            },
            "protocol": plan.sha256(),
            "options": decisive,
            "seed": self.seed,
            "audio": plan.audio(),
            "processes": get_world_size() if is_initialized() else 1,
        }

    def debugging(self) -> "Spec":
        """The same in a folder of its own: what debugging gives is no result."""
        run = {
            **self.settings,
            "results": self.results / DEBUG,
            "manifests": _manifest_folder(self.settings),
            "features": self.settings["features"] or self.results / "features",
            "purpose": DEBUG,
        }
        return replace(self, hparams={**self.hparams, "run": run})

    def _own_code(self) -> dict[str, str]:
        """Hashes of the Python files of one's own that define what is trained."""
        found = {}
        for item in (self.hparams["model"].get("build"), *self.system.parts()):
            item = getattr(item, "func", item)  # of a partial call
            kind = (
                item if callable(item) and hasattr(item, "__qualname__") else type(item)
            )
            module = sys.modules.get(kind.__module__)
            file = Path(getattr(module, "__file__", None) or "")
            if file.is_file() and not any(
                file.is_relative_to(folder) for folder in _INSTALLED
            ):
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                found[f"system.code.{kind.__module__}"] = digest
        return found


def describe(
    recipe: str | Path, overrides: Mapping, system: System | None = None
) -> Spec:
    """Resolve a recipe and check it; nothing is read or written but YAML.

    Arguments
    ---------
    recipe : path
        The YAML file.
    overrides : mapping
        Values that replace the recipe's.
    system : System, optional
        Instead of the one that the recipe names.

    Returns
    -------
    Spec

    Raises
    ------
    UserError
        If it is not sound.
    """
    system = copy.deepcopy(system)  # training changes what it is made of
    composed = hparams_module.compose(recipe, overrides, system)
    _name_foreign(tuple(composed.foreign()))
    _require_blocks(recipe, composed.tree)
    _find_modules_of(composed)
    text = composed.text()
    # What is built may draw its weights at once.
    seed = number("seed", composed.tree["run"].get("seed"), 0, True)
    seed_everything(seed, verbose=False)
    hparams = hparams_module.load(text)
    _check_numbers(hparams)
    if system is None:
        system = _system(hparams["run"]["system"], hparams)
    elif system.selection is None:
        selection = selection_of(hparams["training"].get("selection", "mean"))
        system = replace(system, selection=selection)
    _check_parts(system, hparams["training"]["samplers"])
    spec = Spec(text, hparams, settle(hparams), system)
    check_metrics(spec.metrics, len(spec.label_set.names))
    loggers.check(spec.loggers)
    return spec


@cache
def _name_foreign(files: tuple[Path, ...]) -> None:
    """Say once, before anything runs, whose code it is that runs."""
    if files:
        names = ", ".join(printable(path) for path in files)
        logger.warning(
            "not of the installed recipes, and recipes are programs, which may do what "
            "you may: %s",
            names,
        )


def _find_modules_of(composed: hparams_module.Composed) -> None:
    """Let a recipe name classes of Python files beside it, or in the current folder."""
    folders = dict.fromkeys((*composed.folders, Path.cwd().resolve()))
    for name in composed.modules():
        files = [folder / f"{name}.py" for folder in folders]
        files = [file for file in files if file.is_file()]
        if not files:
            continue
        if str(files[0].parent) not in sys.path:
            sys.path.append(str(files[0].parent))
            importlib.invalidate_caches()
        loaded, found = sys.modules.get(name), importlib.util.find_spec(name)
        origin = getattr(loaded, "__file__", None) if loaded else found.origin
        for other in (Path(origin or "built in").resolve(), *files[1:]):
            if other != files[0]:
                raise UserError(
                    f"{files[0]} has the name of another module "
                    f"({other if other.is_file() else 'built in'}): rename it"
                )


def _check_parts(system: System, samplers: Mapping) -> None:
    """Refuse objects that are not what they stand for, before anything is written."""

    def refused(what: str, value: object, mend: str) -> UserError:
        return UserError(f"system {system.name}: {what} is {value!r:.80}: {mend}")

    for name, objective in system.objectives.items():
        if not isinstance(objective, Objective):
            mend = (
                "name an object of a subclass of xser_brain.objectives.Objective, as "
                "!new:mylab.MyLoss"
            )
            raise refused(f"the objective {name}", objective, mend)
        if "." in name or name == "loss" or hasattr(Objectives, name):
            raise UserError(
                f"system {system.name}: an objective cannot be called {name}: give it "
                "another name"
            )
        if objective.transcript_units not in (None, system.units):
            mend = "let all objectives of a system ask for the same"
            raise refused(f"the units of {name}", objective.transcript_units, mend)
    sampler = system.sampler
    if not callable(sampler) and sampler not in [*samplers]:
        mend = f"use one of {', '.join(samplers)}, or !name: of a class"
        raise refused("the sampler", sampler, mend)
    if not isinstance(system.solver, Solver | None):
        mend = "name an object of a subclass of xser_brain.solvers.Solver"
        raise refused("the solver", system.solver, mend)
    for key, kind in AUGMENTATIONS.items():
        transform = getattr(system, key)
        if not isinstance(transform, kind | None):
            mend = f"name an object of a subclass of {kind.__module__}.{kind.__name__}"
            raise refused(f"the augmentation {key}", transform, mend)


def _require_blocks(recipe: str | Path, tree: Mapping) -> None:
    for key in (*hparams_module.BLOCKS, "target", "encoder"):
        if not tree.get(key):
            raise UserError(f"{recipe}: no {key}: add it as other recipes have it")


def _check_numbers(hparams: Mapping) -> None:
    """Refuse numbers that make no sense and are nobody else's to check."""
    purpose = hparams["run"]["purpose"]
    if purpose not in PURPOSES:
        raise UserError(f"purpose is {purpose!r}: use one of {', '.join(PURPOSES)}")
    for block, numbers in LEAST.items():
        for key, least in numbers.items():
            number(key, hparams[block].get(key), least, isinstance(least, int))


def _system(name: str, hparams: Mapping) -> System:
    """The system that the block of that name describes."""
    block = hparams["system"]
    for key in block:
        if key not in SYSTEM_KEYS:
            raise UserError(
                f"system {name}: unknown key {key!r}: there are {', '.join(SYSTEM_KEYS)}"
            )
    if "trains_on" not in block:
        raise UserError(f"system {name}: no trains_on: say {', '.join(TRAINS_ON)}")
    augmentation = block.get("augmentation") or {}
    if not isinstance(augmentation, Mapping):
        raise UserError(
            f"system {name}: augmentation is {augmentation!r}: indent "
            f"{' or '.join(AUGMENTATIONS)} below it"
        )
    for key in augmentation:
        if key not in AUGMENTATIONS:
            raise UserError(
                f"system {name}: unknown augmentation {key!r}: there are "
                f"{', '.join(AUGMENTATIONS)}"
            )
    selection = block.get("selection") or hparams["training"].get("selection", "mean")
    return System(
        name,
        block["trains_on"],
        block.get("objectives"),
        block.get("sampler", "random"),
        selection_of(selection),
        solver=block.get("solver"),
        **augmentation,
    )
