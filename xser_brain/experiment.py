"""One run: from a recipe's YAML to its artefacts.

The order is the protocol's: manifests are prepared, a plan is made, training and model
selection see the training languages, and only then is the first target file decoded.
"""

import csv
import errno
import hashlib
import io
import json
import logging
import platform
import re
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import ruamel.yaml
import speechbrain as sb
import torch
from speechbrain.dataio.sampler import DistributedSamplerWrapper
from speechbrain.utils.distributed import ddp_init_group, if_main_process, run_on_main
from speechbrain.utils.epoch_loop import EpochCounterWithStopper
from speechbrain.utils.train_logger import FileTrainLogger

from data_prep import corpus, prepare, standin
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS, Row, write_atomic
from xser_brain import hparams as hparams_module
from xser_brain.brain import XSERBrain
from xser_brain.checkpoints import (
    AtomicCheckpointer,
    RunState,
    load_trained,
    save_trained,
)
from xser_brain.dataio import Remembered, Utterances, by_duration, loader, read_waveform
from xser_brain.encoders.cache import FeatureCache
from xser_brain.encoders.health import check_layers
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.metrics import summarise
from xser_brain.model import EmbeddingHead
from xser_brain.objectives.adversary import SpeakerAdversary
from xser_brain.objectives.memory import EmbeddingMemory
from xser_brain.protocol import Plan, Setting, get_system, make_plan
from xser_brain.reports.confusion import draw_confusion
from xser_brain.sampling import HierarchicalBatches, RandomBatches

logger = logging.getLogger(__name__)

SCHEMA = 1
# Run options of SpeechBrain that decide on a result.
DECISIVE_OPTIONS = (
    "precision",
    "eval_precision",
    "grad_accumulation_factor",
    "max_grad_norm",
    "debug",
)
PREDICTIONS = "predictions.csv"
# The seed is told apart; where things lie and how fast they come changes no result.
NOT_HASHED = (
    "seed",
    "data_root",
    "results",
    "manifests",
    "features",
    "cache_limit",
    "audio_memory",
    "overwrite",
    "num_workers",
)


# The least value of the numbers that a run reads; whole ones have a whole least.
LEAST = {
    "run": {"seed": 0, "audio_memory": 0.0},
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run a recipe from the command line; ``train.py`` of every recipe is this.

    Arguments
    ---------
    argv : sequence of str, optional
        ``hparams/X.yaml [--key=value ...]``, with all run options of SpeechBrain.

    Returns
    -------
    int
        0, or 2 after a mistake that the user can mend.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if {"-h", "--help"} & set(argv):
            recipes = [arg for arg in argv if not arg.startswith("-")]
            print("".join(map(hparams_module.explain, recipes)))
        recipe, run_opts, text = sb.parse_arguments(argv)
        run(recipe, hparams_module.parse_overrides(text), run_opts)
    except UserError as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
            raise
        return _complain(f"cannot write {error.filename or ''}: {error.strerror}")
    except RuntimeError as error:
        if not re.search("PytorchStreamWriter|iostream error", str(error)):
            raise
        return _complain("cannot write a checkpoint: the disk is full")
    return 0


def _complain(message: str) -> int:
    # From a loader's process the message comes with its traceback around it.
    line = message.strip().splitlines()[-1].split("UserError: ")[-1]
    if line.startswith("cannot write"):
        line += (
            ": free the disk or pass --results=DIR; the run goes on where it stopped"
        )
    print(f"error: {line}", file=sys.stderr)
    return 2


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
    source = _names(hparams.get("source"))
    non_target = _names(hparams.get("non_target"))
    if "corpora" in hparams:
        language = corpus.get(target).language
        others = [
            name
            for name in _names(hparams["corpora"])
            if corpus.get(name).language != language
        ]
        source = source or tuple(others[:1])
        non_target = tuple(name for name in others if name not in source)
    for name in (*source, *non_target, target):
        corpus.get(name)
    return Setting(source, non_target, target)


def _manifest_paths(settings: dict, names: Sequence[str]) -> dict[str, Path]:
    folder = Path(settings["manifests"] or Path(settings["results"]) / "manifests")
    return {name: folder / f"{name}.csv" for name in names}


def _prepare(settings: dict, names: Sequence[str], data_root: Path) -> None:
    """Write stand-ins, if this is a demo, and manifests that are not up to date."""
    policy = None if settings["splits"] == "default" else settings["splits"]
    if policy not in (None, "paper", "speaker"):
        raise UserError(f"unknown splits {policy!r}: use paper, speaker or default")
    for name, path in _manifest_paths(settings, names).items():
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
    return hashlib.sha256(_hashed_lines(text).encode()).hexdigest()


def _hashed_lines(text: str) -> str:
    tree = ruamel.yaml.YAML().load(text)
    for key in NOT_HASHED:
        for part in (tree, *(v for v in tree.values() if isinstance(v, dict))):
            part.pop(key, None)
    stream = io.StringIO()
    ruamel.yaml.YAML().dump(tree, stream)
    return stream.getvalue()


def run(recipe: str | Path, overrides: dict, run_opts: dict) -> Path:
    """Train and score one system in one setting, or go on where it was stopped.

    Arguments
    ---------
    recipe : path
        The YAML file.
    overrides : dict
        Values that replace the recipe's.
    run_opts : dict
        SpeechBrain's run options.

    Returns
    -------
    Path
        The run's folder.

    Raises
    ------
    UserError
        On any mistake that the user can mend.
    """
    ddp_init_group(run_opts)
    text = hparams_module.resolve(recipe, overrides)
    hparams = hparams_module.load(text)
    _check(recipe, hparams)
    settings, training = hparams["run"], hparams["training"]
    setting, system_name = settle(hparams), str(settings["system"])
    names = setting.corpora(get_system(system_name))
    seed = int(settings["seed"])
    results = Path(settings["results"])
    label = _encoder_label(hparams)
    folder = results / setting.name / system_name / label / str(seed)

    _require_writable(results)
    data_root = _data_root(settings, names)
    manifests = _manifest_paths(settings, names)
    run_on_main(_prepare, [settings, names, data_root])
    plan = make_plan(setting, system_name, manifests, data_root)
    identity = {
        "hparams": _hashed_lines(text),
        "protocol": plan.sha256(),
        "options": {name: run_opts[name] for name in DECISIVE_OPTIONS},
    }
    run_on_main(_open_folder, [folder, identity, settings["overwrite"]])
    if (folder / "run.json").exists():
        logger.info("this run is finished already; --overwrite=True runs it anew")
        if if_main_process():
            _announce(folder)
        return folder
    plan.require_audio()
    sb.create_experiment_directory(folder, log_config=_log_config(run_opts))
    write_atomic(folder / "hyperparams.yaml", text.encode())

    sb.utils.seed.seed_everything(seed, verbose=False)
    encoder = _build_encoder(hparams, plan)
    target = [*plan.test, *plan.rest]
    crop = float(training["crop"])
    reader = _Reader(settings, encoder, str(data_root), run_opts, crop)
    reader.require(plan.train, plan.valid + target)
    brain = _build_brain(hparams, plan, encoder, reader.kind, folder, run_opts)
    train_set = reader.open(plan.train, plan.languages, plan.speakers, training=True)
    valid_set = reader.open(plan.valid, plan.languages)
    sampler = _sampler(plan, training, seed, run_opts["grad_accumulation_factor"])
    workers = 0 if reader.kind == "pooled" else int(training["num_workers"])
    train_loader = loader(train_set, sampler, workers)
    brain.train_sampler = sampler
    brain.checkpointer.add_recoverable("sampler", getattr(sampler, "sampler", sampler))
    brain.checkpointer.clean()
    valid_batches = by_duration(plan.valid, int(training["batch_size"]))
    if run_opts["test_only"] and not brain.checkpointer.list_checkpoints():
        raise UserError(f"{folder} holds no trained model: leave --test_only out")
    logger.info("training on %s", ", ".join(setting.trained_on(plan.system)))
    brain.fit(
        brain.hparams.epoch_counter,
        train_loader,
        loader(valid_set, valid_batches, workers),
    )
    # --- Training has ended: from here on the target may be heard. ---
    # Scoring loads the best checkpoint, in which both are less.
    steps, seconds = brain.optimizer_step, brain.hparams.run_state.seconds
    target_set = reader.open(target)
    batches = by_duration(target, int(training["batch_size"]))
    outputs = brain.predict(loader(target_set, batches, workers))
    if if_main_process():
        _write_artefacts(
            folder, plan, outputs, brain, seed,
            extra={
                "encoder": {**_encoder_facts(label, encoder), **reader.facts()},
                "hparams_sha256": hparams_sha256(text),
                "options": identity["options"],
                "protocol_sha256": identity["protocol"],
                "steps": steps,
                "seconds": seconds,
            },
        )  # fmt: skip
        _announce(folder)
    return folder


def _check(recipe: str | Path, hparams: dict) -> None:
    """Refuse a recipe that lacks something, or a number that is none."""
    for key in (*hparams_module.PIECES, "target", "encoder"):
        if not hparams.get(key):
            raise UserError(f"{recipe}: no {key}: add it as other recipes have it")
    for piece, numbers in LEAST.items():
        for key, least in numbers.items():
            value = hparams[piece].get(key)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or type(least)(value) != value or value < least:
                kind = "whole number" if isinstance(least, int) else "number"
                raise UserError(f"{key} is {value!r}: set a {kind} from {least} on")


def _require_writable(results: Path) -> None:
    probe = results / ".writable"
    write_atomic(probe, b"")
    probe.unlink(missing_ok=True)


def _open_folder(folder: Path, identity: dict, overwrite: bool) -> None:
    """Make a run's folder its own."""
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    path = folder / "identity.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != identity:
            raise UserError(
                f"{folder} holds a run with other settings ({_difference(before, identity)}"
                "): pass --overwrite=True to replace it, or --results=DIR to keep both"
            )
        return
    write_atomic(path, json.dumps(identity, indent=1).encode())


def _difference(before: dict, now: dict) -> str:
    if before.get("options") != now["options"]:
        return f"then {before.get('options')}, now {now['options']}"
    if before["hparams"] == now["hparams"]:
        return "the corpora or their splits changed"
    old, new = before["hparams"].splitlines(), now["hparams"].splitlines()
    added = [line.strip() for line in new if line not in old]
    removed = [line.strip() for line in old if line not in new]
    return f"then {'; '.join(removed) or 'less'}, now {'; '.join(added) or 'less'}"


def _log_config(run_opts: dict) -> str:
    return run_opts["log_config"] or sb.core.DEFAULT_LOG_CONFIG


def _build_encoder(hparams: dict, plan: Plan):
    """Build the encoder; where a piece offers one per language, the source's."""
    model, adapt = hparams["model"], hparams["adapt"]
    if "build" in model:
        if adapt["adaptation"] != "frozen":
            raise UserError(
                f"--adaptation={adapt['adaptation']} is for pretrained encoders: "
                f"{hparams['encoder']} is trained from scratch; leave it out"
            )
        return model["build"]()
    source = model["encoder_source"]
    if not source:
        language = corpus.get(plan.setting.source[0]).language
        source = model["sources"].get(language, model["sources"]["default"])
    return adapt["build"](source=source)


def _encoder_label(hparams: dict) -> str:
    """The encoder's name in the results: with its adaptation, unless it is frozen."""
    adaptation = hparams["adapt"]["adaptation"]
    suffix = "" if adaptation == "frozen" else f"-{adaptation}"
    return f"{hparams['encoder']}{suffix}"


class _Reader:
    """How utterances are read: as waveforms, or as what is frozen makes of them."""

    def __init__(
        self, settings: dict, encoder, data_root: str, run_opts: dict, crop: float
    ):
        self.data_root, self.crop = data_root, crop
        self.waveforms = Remembered(
            lambda row: read_waveform(row, data_root), float(settings["audio_memory"])
        )
        self.kind = _cached_kind(str(settings["cache"]).lower(), encoder)
        self.cache = None
        if self.kind:
            device = run_opts["device"] or sb.utils.distributed.infer_device()
            folder = settings["features"] or Path(settings["results"]) / "features"
            try:
                limit = float(settings["cache_limit"])
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"cache_limit is {settings['cache_limit']!r}: give GB, as 50"
                ) from error
            dtype = str(settings["cache_dtype"])
            self.cache = FeatureCache(
                folder, encoder.to(device), data_root, self.kind, dtype, limit
            )
        if self.kind == "prefix" and crop:
            logger.info(
                "cached: %s; of longer utterances training hears the middle %g s, "
                "the same in each epoch",
                self.cache.what,
                crop,
            )

    def facts(self) -> dict:
        """What run.json says about it: what is cached, and which piece is heard."""
        piece = {"pooled": "whole", "prefix": "middle", None: "random"}[self.kind]
        return {
            "cached": self.cache.what if self.cache else None,
            "cache_dtype": str(self.cache.dtype) if self.cache else None,
            "crop": piece if self.crop else "whole",
        }

    def require(self, train: Sequence[Row], others: Sequence[Row]) -> None:
        """Refuse a run that the cache cannot hold; reads no audio."""
        if self.cache:
            size = self.cache.size(train, self._heard(True)) + self.cache.size(others)
            self.cache.require(size)

    def _heard(self, training: bool) -> float:
        """Seconds heard of a longer utterance in what is cached; 0 for all."""
        return self.crop if training and self.kind == "prefix" else 0.0

    def open(
        self,
        rows: Sequence[Row],
        languages: Sequence[str] = (),
        speakers: Sequence[str] = (),
        training: bool = False,
    ) -> Utterances:
        """Allow these utterances to be read."""
        if self.cache is None:
            crop = self.crop if training else 0.0
            return Utterances(
                rows,
                self.waveforms,
                languages,
                speakers,
                crop,
            )
        features = self.cache.features(rows, self._heard(training))
        if self.kind == "pooled" and training:
            for warning in check_layers(features):
                logger.warning(warning)
        return Utterances(
            rows,
            lambda row: features[row.ID],
            languages,
            speakers,
            prefixes=self.kind == "prefix",
        )


def _cached_kind(choice: str, encoder) -> str | None:
    """What of an encoder is cached: pooled features, a prefix, or nothing."""
    if choice not in ("auto", "none"):
        raise UserError(f"unknown cache {choice!r}: use auto or none")
    if choice == "none":
        return None
    if encoder.frozen:
        return "pooled"
    return None if encoder.prefix_layers is None else "prefix"


def _sampler(plan: Plan, training: dict, seed: int, accumulated: int):
    """The system's batch sampler; under DDP each process takes its share.

    It gives the batches of as many optimiser steps as are between two validations.
    """
    processes = (
        torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    )
    batches = int(training["validate_every"]) * processes * accumulated
    if plan.system.sampler == "hierarchical":
        sampler = HierarchicalBatches(
            [row.language for row in plan.train],
            [row.emotion for row in plan.train],
            [row.speaker for row in plan.train],
            [min(row.duration, float(training["crop"])) for row in plan.train],
            length_pool=int(training["length_pool"]),
            n_languages=int(training["languages_per_batch"]),
            n_emotions=int(training["emotions_per_batch"]),
            n_utterances=int(training["utterances_per_cell"]),
            batches=batches,
            seed=seed,
        )
    else:
        size = int(training["batch_size"])
        sampler = RandomBatches(len(plan.train), size, batches, seed)
    return (
        DistributedSamplerWrapper(sampler, shuffle=False) if processes > 1 else sampler
    )


def _build_brain(
    hparams: dict, plan: Plan, encoder, cached: str | None, folder: Path, run_opts: dict
):
    training, objectives = hparams["training"], hparams["objectives"]
    model = hparams["model"]
    projection = model["projection"]
    if projection is None:
        projection = model["frozen_projection"] if encoder.frozen else 0
    head = EmbeddingHead(
        encoder.layers, encoder.width, int(projection), float(model["dropout"])
    )
    modules = {
        "head": head,
        "classifier": torch.nn.Linear(head.width, len(EMOTIONS)),
    }
    if cached != "pooled":
        modules["encoder"] = encoder
    if plan.system.adversary:
        modules["adversary"] = SpeakerAdversary(
            head.width,
            len(plan.speakers),
            hidden=int(objectives["adversary_hidden"]),
            dropout=float(objectives["adversary_dropout"]),
        )
    if plan.system.supcon and int(objectives["memory_size"]):
        modules["memory"] = EmbeddingMemory(
            int(objectives["memory_size"]), head.width, int(objectives["memory_start"])
        )
    steps, every = int(training["steps"]), int(training["validate_every"])
    counter = EpochCounterWithStopper(
        -(-steps // every), int(training["patience"]), 0, "max"
    )
    counter.min_delta = 0.0  # or a tie would count as an improvement
    run_state = RunState()
    checkpointer = AtomicCheckpointer(
        folder / "save", {"counter": counter, "run_state": run_state}
    )
    for name, module in modules.items():
        if isinstance(module, PretrainedEncoder):
            checkpointer.add_recoverable(
                name,
                module,
                custom_load_hook=load_trained,
                custom_save_hook=save_trained,
            )
        elif module.state_dict():
            checkpointer.add_recoverable(name, module)
    return XSERBrain(
        modules,
        training["optimizer"],
        {
            "supcon": objectives["supcon"] if plan.system.supcon else None,
            "alpha": float(objectives["alpha"]),
            "beta": float(objectives["beta"]),
            "adversary_schedule": objectives["adversary_schedule"],
            "learning_rate": float(training["learning_rate"]),
            "encoder_learning_rate": float(
                hparams["adapt"]["encoder_learning_rate"]
                if isinstance(encoder, PretrainedEncoder)
                else training["learning_rate"]
            ),
            "warmup": int(training["warmup"]),
            "steps": steps,
            "optimizer_step_limit": steps,
            "languages": plan.languages,
            "epoch_counter": counter,
            "run_state": run_state,
            "train_logger": FileTrainLogger(str(folder / "train_log.txt"), precision=4),
        },
        run_opts,
        checkpointer,
    )


def _encoder_facts(name: str, encoder) -> dict:
    return {
        "name": str(name),
        "source": getattr(encoder, "source", None),
        "frozen": encoder.frozen,
        "parameters": sum(p.numel() for p in encoder.parameters()),
    }


def _write_artefacts(folder, plan, outputs, brain, seed, extra) -> None:
    """Write predictions, pictures and, last, run.json."""
    rows = {row.ID: row for row in [*plan.test, *plan.rest]}
    test = {row.ID for row in plan.test}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["ID", "language", "speaker", "emotion", "predicted",
         *(f"p_{emotion}" for emotion in EMOTIONS), "subset"]
    )  # fmt: skip
    predicted = outputs["probabilities"].argmax(-1)
    scored = sorted(
        zip(outputs["ids"], predicted, outputs["probabilities"], strict=True),
        key=lambda item: item[0],
    )
    for row_id, label, probabilities in scored:
        row = rows[row_id]
        writer.writerow(
            [row_id, row.language, row.speaker, row.emotion, EMOTIONS[label],
             *(f"{p:.6f}" for p in probabilities),
             "test" if row_id in test else "rest"]
        )  # fmt: skip
    write_atomic(folder / PREDICTIONS, buffer.getvalue().encode())

    def score(ids: set[str]) -> dict:
        chosen = [item for item in scored if item[0] in ids]
        return summarise(
            [EMOTIONS.index(rows[i].emotion) for i, _, _ in chosen],
            [label for _, label, _ in chosen],
            [rows[i].speaker for i, _, _ in chosen],
            EMOTIONS,
            seed=0,
        )

    target_test = score(test)
    target_all = score(set(rows)) if plan.rest else None
    result = target_all or target_test
    title = f"{plan.setting.name}, {plan.system_name}, n = {result['n']}"
    draw_confusion(
        folder / "confusion.png",
        result["confusion"],
        EMOTIONS,
        title + (" (synthetic stand-ins)" if plan.standin else ""),
    )
    best = brain.checkpointer.find_checkpoint(max_key="uar").meta
    record = {
        "schema": SCHEMA,
        "standin": plan.standin,
        "setting": {
            **asdict(plan.setting),
            "languages": {"train": plan.languages, "target": plan.test[0].language},
        },
        "system": plan.system_name,
        "zero_shot": plan.system.zero_shot,
        "seed": seed,
        **extra,
        "manifest_sha256": plan.manifests,
        "counts": plan.counts(),
        "audit": plan.audit(),
        "valid": {
            "uar": best["valid_uar"],
            "mean": best["uar"],
            "step": best["step"],
        },
        "target_test": target_test,
        "target_all": target_all,
        "trainable_parameters": sum(
            p.numel() for p in brain.modules.parameters() if p.requires_grad
        ),
        "peak_memory_mb": _peak_memory_mb(),
        "versions": {
            "python": platform.python_version(),
            **{
                name: version(name)
                for name in ("xser-brain", "torch", "speechbrain", "transformers")
            },
        },
        "device": _device_name(brain.device),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomic(folder / "run.json", text.encode())


def _peak_memory_mb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if "cuda" in device else device


def _announce(folder: Path) -> None:
    """Print a finished run's result and where it lies."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = [
        f"{record['setting']['target']} never heard in training"
        if record["zero_shot"]
        else f"{record['setting']['target']} heard in training: not zero-shot"
    ]
    if record["standin"]:
        lines.append("synthetic stand-ins: these figures say nothing about real speech")
    for name, title in (("target_test", "test part"), ("target_all", "whole corpus")):
        result = record[name]
        if not result:
            continue
        line = f"{title:>12}, n = {result['n']:>5}:"
        for key, label in (("uar", "UAR"), ("macro_f1", "macro-F1")):
            low, high = result["ci95"][key]
            line += (
                f"  {label} {result[key]:.2f} % (95 % interval {low:.1f}-{high:.1f})"
            )
        lines.append(line)
        if result["ci95_speaker"]:
            low, high = result["ci95_speaker"]["uar"]
            lines.append(f"{'':>23} UAR over speakers resampled: {low:.1f}-{high:.1f}")
    lines.append(f"everything written to {folder.resolve()}")
    print("\n".join(lines))
