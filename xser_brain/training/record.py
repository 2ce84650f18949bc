"""What a run leaves: predictions, embeddings, a picture, the model, and run.json."""

import csv
import io
import json
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import distributions, version
from pathlib import Path

import torch

from data_prep.manifest import SCHEMA as MANIFEST_SCHEMA
from data_prep.manifest import Row, write_atomic
from xser_brain.artefacts import IDENTITY, PREDICTIONS, RUN, read_run
from xser_brain.brain import XSERBrain, unwrapped
from xser_brain.data.units import Vocabulary
from xser_brain.evaluation import embeddings
from xser_brain.evaluation.summary import in_words, summarise
from xser_brain.inference.calibration import temper
from xser_brain.models.export import calibrate, collect, export
from xser_brain.protocol import Plan
from xser_brain.reports.confusion import draw_confusion
from xser_brain.training.spec import Spec, hparams_sha256

SCHEMA = 1
UNITS = "units.model"  # of sentencepiece, to look at what the units are
PACKAGES = ("xser-brain", "torch", "speechbrain", "transformers")


def environment() -> str:
    """The interpreter, the machine's system, and all that is installed."""
    packages = {f"{item.name}=={item.version}" for item in distributions()}
    return "\n".join([sys.version, platform.platform(), *sorted(packages), ""])


def write(
    spec: Spec,
    plan: Plan,
    identity: Mapping,
    brain: XSERBrain,
    encoder,
    reading: Mapping,
    outputs: Mapping[str, tuple[Sequence[Row], Mapping]],
    spent: Mapping,
    choice: Mapping | None = None,
    vocabulary: Vocabulary | None = None,
) -> None:
    """Write a run's artefacts, run.json last.

    Arguments
    ---------
    spec, plan, identity, brain, encoder
        The run's.
    reading : mapping
        From ``Reader.facts``.
    outputs : mapping
        ``target``, ``valid`` and, if any were kept, ``train``, each utterances and what
        ``XSERBrain.predict`` gives for them.
    spent : mapping
        ``steps`` and ``seconds`` of the training.
    choice : mapping, optional
        What settings were chosen among which, and how.
    vocabulary : Vocabulary, optional
        Units of what is said.
    """
    folder = spec.folder
    best = brain.checkpointer.find_checkpoint(max_key="score").meta
    embeddings.save(folder, outputs)
    predicted = {part: given for part, (_, given) in outputs.items()}
    target = predicted["target"]
    calibration = calibrate(predicted["valid"], target)
    temperature = calibration["temperature"]
    probabilities = temper(target["probabilities"], temperature)
    rows = {row.ID: row for row in [*plan.test, *plan.rest]}
    scored = sorted(zip(target["ids"], probabilities, strict=True), key=lambda i: i[0])
    write_predictions(folder / PREDICTIONS, plan, scored)
    target_test = _score(plan, [row.ID for row in plan.test], rows, scored, spec)
    target_all = _score(plan, rows, rows, scored, spec) if plan.rest else None
    result = target_all or target_test
    title = f"{plan.setting.name}, {plan.system.name}, n = {result['n']}"
    draw_confusion(
        folder / "confusion.png",
        result["confusion"],
        plan.label_set.names,
        title + (" (synthetic stand-ins)" if plan.standin else ""),
    )
    record = {
        "schema": SCHEMA,
        "standin": plan.standin,
        "setting": {
            **asdict(plan.setting),
            "languages": {
                "train": list(plan.labels.languages),
                "target": plan.test[0].language,
            },
        },
        "system": plan.system.name,
        "zero_shot": plan.system.zero_shot,
        "trains_on": plan.system.trains_on,
        "objectives": list(plan.system.objectives),
        "labels": list(plan.label_set.names),
        "label_set": plan.label_set.name,
        "metrics": _metric_names(spec),
        "seed": spec.seed,
        "calibration": calibration,
        "encoder": {
            "name": spec.label,
            "source": getattr(encoder, "source", None),
            "frozen": encoder.frames_frozen,
            **({"adapted_on": list(encoder.adapted_on)} if encoder.adapted_on else {}),
            "parameters": sum(p.numel() for p in encoder.parameters()),
            **reading,
        },
        "purpose": spec.settings["purpose"],
        "hparams_sha256": hparams_sha256(spec.text),
        "options": identity["options"],
        "processes": identity["processes"],
        "protocol_sha256": identity["protocol"],
        **spent,
        "manifest_sha256": plan.manifests,
        "manifest_schema": MANIFEST_SCHEMA,
        "audio_sha256": plan.audio(),
        "incomplete": plan.incomplete,
        "licences": plan.licences,
        "counts": plan.counts(),
        "audit": plan.audit(),
        "valid": {
            "uar": best["valid_uar"],
            "mean": best["uar"],
            "step": best["step"],
            "selection": plan.system.selection.describe(),
            "score": best["score"],
        },
        **({"choice": choice} if choice else {}),
        **({"units": vocabulary.describe()} if vocabulary else {}),
        "target_test": target_test,
        "target_all": target_all,
        "layer_weights": unwrapped(brain.modules.head).weights(),
        "steps_left_out": brain.left_out,
        "trainable_parameters": sum(
            p.numel() for p in brain.modules.parameters() if p.requires_grad
        ),
        "peak_memory_mb": _peak_memory_mb(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "device": _device_name(brain.device),
    }
    model = collect(encoder, brain.modules, temperature, predicted.get("train"))
    export(folder / "model", model, spec.settings["whole"], record)
    if vocabulary:
        write_atomic(folder / UNITS, vocabulary.model)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (folder / IDENTITY).stat()  # a folder moved meanwhile was made anew
    write_atomic(folder / RUN, text.encode())


def write_predictions(
    path: Path, plan: Plan, scored: Sequence[tuple[str, Sequence[float]]]
) -> None:
    """Write predictions.csv.

    Arguments
    ---------
    path : Path
        The file.
    plan : Plan
        The run's.
    scored : sequence of (str, (classes,) numpy.ndarray)
        IDs of target utterances and probabilities.
    """
    rows = {row.ID: row for row in [*plan.test, *plan.rest]}
    test = {row.ID for row in plan.test}
    labels = plan.label_set.names
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = ["ID", "language", "speaker", "emotion", "predicted"]
    writer.writerow([*columns, *(f"p_{label}" for label in labels), "subset"])
    for row_id, given in scored:
        row = rows[row_id]
        shares = (f"{p:.6f}" for p in given)
        writer.writerow(
            [row_id, row.language, row.speaker, row.emotion, labels[given.argmax()],
             *shares, "test" if row_id in test else "rest"]
        )  # fmt: skip
    write_atomic(path, buffer.getvalue().encode())


def _score(plan: Plan, ids, rows: Mapping, scored, spec: Spec) -> dict:
    """What run.json says of a part of the target."""
    labels, chosen = plan.label_set.names, set(ids)
    part = [(rows[i], given.argmax()) for i, given in scored if i in chosen]
    return summarise(
        [labels.index(row.emotion) for row, _ in part],
        [label for _, label in part],
        [row.speaker for row, _ in part],
        labels,
        spec.metrics,
    )


def _metric_names(spec: Spec) -> dict[str, str]:
    """Further metrics by name, and where they are defined."""
    functions = {name: getattr(of, "func", of) for name, of in spec.metrics.items()}
    return {
        name: f"{function.__module__}.{function.__qualname__}"
        for name, function in functions.items()
    }


def _peak_memory_mb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if "cuda" in device else device


def announce(folder: Path) -> None:
    """Print a finished run's result and where it lies.

    Arguments
    ---------
    folder : Path
        The run's.
    """
    record = read_run(folder)
    lines = [
        f"{record['setting']['target']} never heard in training"
        if record["zero_shot"]
        else f"{record['setting']['target']} heard in training: not zero-shot"
    ]
    if record.get("purpose") == "debug":
        lines.append("of a few batches, to debug: these figures are no result")
    if record["standin"]:
        lines.append("synthetic stand-ins: these figures say nothing about real speech")
    incomplete = record.get("incomplete", {})  # runs of earlier versions do not say
    lines += [f"{name} lacks {what}" for name, what in incomplete.items()]
    for name, title in (("target_test", "test part"), ("target_all", "whole corpus")):
        result = record[name]
        if not result:
            continue
        absent = result.get("absent")
        lines.append(
            f"{title:>12}, n = {result['n']:>5}:  UAR {in_words(result)}"
            f"  macro-F1 {in_words(result, 'macro_f1')}"
            + (f"  without {', '.join(absent)}" if absent else "")
        )
    lines.append(f"everything written to {folder.resolve()}")
    lines.append(
        "label recordings by it: xser predict RUN FILE; compare runs: xser tables"
    )
    print("\n".join(lines))
