"""One run: from a recipe's YAML to its artefacts.

The order is the protocol's: manifests are prepared, a plan is made, training and model
selection see the training languages, and only then is the first target file decoded.
"""

import csv
import errno
import io
import json
import logging
import platform
import re
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import distributions, version
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.dataio.sampler import DistributedSamplerWrapper
from speechbrain.utils.distributed import ddp_init_group, if_main_process, run_on_main
from speechbrain.utils.epoch_loop import EpochCounterWithStopper
from speechbrain.utils.train_logger import FileTrainLogger

from data_prep.errors import UserError
from data_prep.locks import ALONE, AT_ONCE, Lock
from data_prep.manifest import EMOTIONS, Row, write_atomic
from xser_brain import embeddings
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
from xser_brain.export import calibrate, collect, export
from xser_brain.inference.calibration import temper
from xser_brain.metrics import summarise
from xser_brain.model import EmbeddingHead
from xser_brain.objectives.adversary import SpeakerAdversary
from xser_brain.objectives.memory import EmbeddingMemory
from xser_brain.protocol import Plan
from xser_brain.reports.confusion import draw_confusion
from xser_brain.sampling import HierarchicalBatches, RandomBatches
from xser_brain.spec import (
    describe,
    hparams_sha256,
    identify,
    is_finished,
    prepare_corpora,
)

logger = logging.getLogger(__name__)

SCHEMA = 1
PREDICTIONS = "predictions.csv"
CLAIM_SECONDS = 30


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
    spec = describe(recipe, overrides)
    hparams, settings, training = spec.hparams, spec.settings, spec.hparams["training"]
    setting, folder, seed = spec.setting, spec.folder, int(spec.settings["seed"])

    _require_writable(spec.results)
    run_on_main(prepare_corpora, [spec])
    plan = spec.plan()
    identity = identify(spec, plan, run_opts)
    lock = Lock(folder.with_name(f".{seed}.lock"))
    run_on_main(_claim, [lock, folder])
    run_on_main(_open_folder, [folder, identity, settings["overwrite"]])
    if is_finished(folder, identity):
        logger.info("this run is finished already; --overwrite=True runs it anew")
        if if_main_process():
            _announce(folder)
        return folder
    plan.require_audio()
    # SpeechBrain would ask whichever pip comes first, for seconds in each run.
    sb.create_experiment_directory(
        folder, log_config=_log_config(run_opts), save_env_desc=False
    )
    write_atomic(folder / "env.log", _environment().encode())
    write_atomic(folder / "hyperparams.yaml", spec.text.encode())

    sb.utils.seed.seed_everything(seed, verbose=False)
    encoder = _build_encoder(hparams, plan)
    target = [*plan.test, *plan.rest]
    crop = float(training["crop"])
    reader = _Reader(settings, encoder, str(spec.data_root), run_opts, crop)
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
    parts = {"target": (target, outputs)}
    kept = embeddings.spread(plan.train, int(settings["embeddings"]))
    for part, rows in (("valid", plan.valid), ("train", kept)):
        if rows:
            chosen = reader.open(rows, training=part == "train")
            batches = by_duration(rows, int(training["batch_size"]))
            parts[part] = rows, brain.predict(loader(chosen, batches, workers))
    if if_main_process():
        embeddings.save(folder, parts)
        heard = {part: outputs for part, (_, outputs) in parts.items()}
        calibration = calibrate(heard["valid"], outputs)
        temperature = calibration["temperature"]
        model = collect(encoder, brain.modules, temperature, heard.get("train"))
        build = hparams["model"].get("build", hparams["adapt"]["build"])
        outputs["probabilities"] = temper(outputs["probabilities"], temperature)
        _write_artefacts(
            folder, plan, outputs, brain, seed,
            partial(export, folder / "model", model, build, settings["whole"]),
            extra={
                "calibration": calibration,
                "encoder": {**_encoder_facts(spec.label, encoder), **reader.facts()},
                "purpose": settings["purpose"],
                "hparams_sha256": hparams_sha256(spec.text),
                "options": identity["options"],
                "protocol_sha256": identity["protocol"],
                "steps": steps,
                "seconds": seconds,
            },
        )  # fmt: skip
        _announce(folder)
    return folder


def _claim(lock: Lock, folder: Path) -> None:
    """Be the only process that writes a run; one that was just killed takes a while."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(CLAIM_SECONDS):
        if lock.acquire(ALONE | AT_ONCE):
            return
        time.sleep(1)
    raise UserError(
        f"another process trains {folder}: wait for it, or pass --results=DIR"
    )


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
    old, new = before["hparams"], now["hparams"]
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]

    def told(values: dict) -> str:
        return "; ".join(f"{key.split('.')[-1]}: {values.get(key)}" for key in changed)

    return f"then {told(old)}, now {told(new)}"


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
        first = plan.setting.source[0]
        language = next(row.language for row in plan.train if row.corpus == first)
        source = model["sources"].get(language, model["sources"]["default"])
    return adapt["build"](source=source)


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


def _write_artefacts(folder, plan, outputs, brain, seed, leave, extra) -> None:
    """Write predictions, pictures, the model (``leave``) and, last, run.json."""
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
        "layer_weights": _unwrapped(brain.modules.head).weights(),
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
    leave(record)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomic(folder / "run.json", text.encode())


def _environment() -> str:
    """The interpreter, the machine's system, and all that is installed."""
    packages = {f"{item.name}=={item.version}" for item in distributions()}
    return "\n".join([sys.version, platform.platform(), *sorted(packages), ""])


def _unwrapped(module):
    """A module as it was before several processes shared it."""
    return getattr(module, "module", module)


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
    lines.append(
        "label recordings by it: xser predict RUN FILE; compare runs: xser tables"
    )
    print("\n".join(lines))
