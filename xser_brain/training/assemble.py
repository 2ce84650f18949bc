"""From a plan and a recipe's objects to the Brain that trains."""

import logging
from dataclasses import replace

import torch
from speechbrain.utils.epoch_loop import EpochCounterWithStopper
from speechbrain.utils.train_logger import FileTrainLogger

from data_prep.errors import UserError
from xser_brain.brain import XSERBrain
from xser_brain.data.sampling import Batches
from xser_brain.data.units import Vocabulary
from xser_brain.encoders import Encoder
from xser_brain.encoders.pieces import WithFrames
from xser_brain.head import StackedHead
from xser_brain.objectives import Objectives
from xser_brain.protocol import Plan, System
from xser_brain.solvers import Solution
from xser_brain.training.checkpoints import (
    AtomicCheckpointer,
    RunState,
    load_trained,
    save_trained,
)
from xser_brain.training.spec import Spec

logger = logging.getLogger(__name__)
FOR_ADAPTING = ("gradient_checkpointing", "compile_encoder")
ALWAYS = 10**9  # validations without a gain, where nothing shall stop early


def build_encoder(spec: Spec, plan: Plan) -> Encoder:
    """Build the encoder; where a piece offers one per language, the source's.

    Arguments
    ---------
    spec : Spec
        The run's.
    plan : Plan
        Who sees what.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        If it cannot be had.
    """
    model, adaptation = spec.hparams["model"], spec.hparams["adapt"]["adaptation"]
    pooling = spec.hparams["adapt"].get("pooling", "mean")
    solver = spec.system.solver
    if solver is not None and ("encoder_source" not in model or adaptation != "frozen"):
        raise UserError(
            f"{spec.system.name} needs a pretrained encoder that does not adapt: pass "
            "--encoder=whisper or another, and leave --adaptation out; or pass a --system "
            "that trains by steps, as --system=proposed"
        )
    if solver is not None and pooling != "mean":
        raise UserError(
            f"--pooling={pooling} is for systems that train by steps: {spec.system.name} "
            "is fitted to cached pooled vectors, of which it names the pooling itself "
            "(system.solver.poolings); leave it out"
        )
    sizes = {
        "projection": model.get("projection"),
        "hidden": spec.training.get("hidden"),
    }
    for key, size in sizes.items():
        if solver is not None and size:
            raise UserError(
                f"--{key}={size} is for heads that are trained by steps: "
                f"{spec.system.name} is fitted at once; leave it out"
            )
    for key in FOR_ADAPTING:
        if adaptation == "frozen" and spec.hparams["adapt"].get(key):
            raise UserError(
                f"--{key}={spec.hparams['adapt'][key]} is for encoders that adapt: pass "
                "--adaptation=lora or another, or leave it out"
            )
    if "encoder_source" not in model:
        if pooling != "mean":
            raise UserError(
                f"--pooling={pooling} is for pretrained encoders: "
                f"{spec.hparams['encoder']} has a pooling of its own; leave it out"
            )
        if adaptation != "frozen":
            raise UserError(
                f"--adaptation={adaptation} is for pretrained encoders: "
                f"{spec.hparams['encoder']} is trained from scratch; leave it out"
            )
        return model["build"]()
    source = model["encoder_source"]
    if not source:
        first = plan.setting.source[0]
        language = next(row.language for row in plan.train if row.corpus == first)
        source = model["sources"].get(language, model["sources"]["default"])
    if solver is None:
        return model["build"](source=source)
    return model["build"](source=source, pooling=solver.pooling)


def _needing_frames(system: System) -> list[str]:
    """The objectives on frames."""
    return [name for name, item in system.objectives.items() if item.needs_frames]


def require_frames(spec: Spec, encoder: Encoder) -> None:
    """Refuse an objective on frames where these do not train, or are not given.

    Arguments
    ---------
    spec : Spec
        The run's.
    encoder : Encoder
        The run's.

    Raises
    ------
    UserError
        If that is so.
    """
    for name in _needing_frames(spec.system):
        if encoder.frames_frozen:
            raise UserError(
                f"the objective {name} of {spec.system.name} trains the frames of an "
                f"encoder, and {spec.label} is frozen: pass --adaptation=lora, or use a "
                "--system without it"
            )
        if not encoder.gives_frames:
            raise UserError(
                f"the objective {name} of {spec.system.name} is on frames, and "
                f"{type(encoder).__name__} has a forward of its own: give it a "
                "with_frames too, or use a --system without it"
            )


def learn_units(spec: Spec, plan: Plan) -> Vocabulary | None:
    """Units of what is said in training, learnt anew each time: they come out the same.

    Arguments
    ---------
    spec : Spec
        The run's.
    plan : Plan
        Who sees what.

    Returns
    -------
    Vocabulary, optional
        None if no objective asks for them.
    """
    units = spec.system.units
    if units is None:
        return None
    vocabulary = units.learn(row.text for row in plan.train)
    logger.info(
        "%d units, learnt from %d sentences",
        len(vocabulary.pieces),
        vocabulary.sentences,
    )
    return vocabulary


def build_modules(
    spec: Spec,
    plan: Plan,
    encoder: Encoder,
    solution: Solution | None = None,
    vocabulary: Vocabulary | None = None,
) -> dict:
    """Everything that trains, the encoder apart.

    Arguments
    ---------
    spec : Spec
        The run's.
    plan : Plan
        Who sees what.
    encoder : Encoder
        The run's.
    solution : Solution, optional
        Of the system's solver, which leaves nothing to train.
    vocabulary : Vocabulary, optional
        Units of what is said.

    Returns
    -------
    dict of str to torch.nn.Module
        ``head``, ``classifier`` and ``objectives``.
    """
    if solution is not None:
        return {**_solved(solution, encoder), "objectives": Objectives({})}
    model = spec.hparams["model"]
    projection = model["projection"]
    if projection is None:
        projection = model["frozen_projection"] if encoder.frames_frozen else 0
    head = spec.training["head"](
        encoder.vectors, encoder.width, int(projection), float(model["dropout"])
    )
    classifier = torch.nn.Linear(head.width, len(plan.label_set.names))
    labels = replace(plan.labels, units=vocabulary.pieces if vocabulary else ())
    for objective in spec.system.objectives.values():
        objective.prepare(head.width, labels, encoder.frame_width)
    objectives = Objectives(spec.system.objectives)
    return {"head": head, "classifier": classifier, "objectives": objectives}


def _solved(solution: Solution, encoder: Encoder) -> dict:
    """Head and classifier of a solution."""
    head = StackedHead(solution.vectors, encoder.width)
    classifier = torch.nn.Linear(head.width, len(solution.bias)).requires_grad_(False)
    for tensor, array in (
        (head.mean, solution.mean),
        (head.scale, solution.scale),
        (classifier.weight, solution.weights),
        (classifier.bias, solution.bias),
    ):
        tensor.copy_(torch.from_numpy(array))
    return {"head": head, "classifier": classifier}


def build_sampler(spec: Spec, plan: Plan, accumulated: int) -> Batches:
    """The system's batch sampler; of each batch every process takes its share.

    It gives the batches of as many optimiser steps as are between two validations.

    Arguments
    ---------
    spec : Spec
        The run's.
    plan : Plan
        Who sees what.
    accumulated : int
        Batches of one optimiser step.

    Returns
    -------
    Batches

    Raises
    ------
    UserError
        If what it makes is no sampler.
    """
    make = spec.system.sampler
    make = make if callable(make) else spec.training["samplers"][make]
    batches = int(spec.training["validate_every"]) * accumulated
    sampler = make(plan.train, batches=batches, seed=spec.seed)
    if not isinstance(sampler, Batches):
        raise UserError(
            f"system {spec.system.name}: its sampler is a {type(sampler).__name__}: "
            "subclass xser_brain.data.sampling.Batches, which resumes"
        )
    return sampler


def build_brain(
    spec: Spec,
    plan: Plan,
    encoder: Encoder,
    cached: str | None,
    run_opts: dict,
    solution: Solution | None = None,
    vocabulary: Vocabulary | None = None,
) -> XSERBrain:
    """The Brain, with a checkpointer that knows all that a resumed run needs.

    Arguments
    ---------
    spec : Spec
        The run's.
    plan : Plan
        Who sees what.
    encoder : Encoder
        The run's.
    cached : str, optional
        What of it is cached: ``pooled`` leaves the encoder out of training.
    run_opts : dict
        SpeechBrain's run options.
    solution : Solution, optional
        Of the system's solver.
    vocabulary : Vocabulary, optional
        Units of what is said.

    Returns
    -------
    XSERBrain
    """
    training, selection = spec.training, spec.system.selection
    modules = build_modules(spec, plan, encoder, solution, vocabulary)
    if cached != "pooled":
        modules["encoder"] = encoder
    steps, every = int(training["steps"]), int(training["validate_every"])
    if solution is not None:
        steps = every = 1
    patience = int(training["patience"]) if selection.stops_early else ALWAYS
    counter = EpochCounterWithStopper(-(-steps // every), patience, 0, "max")
    counter.min_delta = 0.0  # or a tie would count as an improvement
    run_state = RunState()
    checkpointer = AtomicCheckpointer(
        spec.folder / "save", {"counter": counter, "run_state": run_state}
    )
    if vocabulary:  # before what it decides on the size of
        checkpointer.add_recoverable("units", vocabulary)
    for name, module in modules.items():
        if name == "encoder":
            checkpointer.add_recoverable(
                name,
                module,
                custom_load_hook=load_trained,
                custom_save_hook=save_trained,
            )
        elif module.state_dict():
            checkpointer.add_recoverable(name, module)
    if _needing_frames(spec.system):
        modules["encoder"] = WithFrames(encoder)
    pretrained = "encoder_source" in spec.hparams["model"]
    rate = (spec.hparams["adapt"] if pretrained else training)[
        "encoder_learning_rate" if pretrained else "learning_rate"
    ]
    return XSERBrain(
        modules,
        training["optimizer"],
        {
            "embedding_transform": spec.system.embeddings,
            "learning_rate": float(training["learning_rate"]),
            "encoder_learning_rate": float(rate),
            "schedule": training["schedule"],
            "steps": steps,
            "optimizer_step_limit": steps,
            "selection": selection,
            "languages": valid_languages(plan),
            "epoch_counter": counter,
            "run_state": run_state,
            "loggers": (),
            "train_logger": FileTrainLogger(
                str(spec.folder / "train_log.txt"), precision=4
            ),
        },
        run_opts,
        checkpointer,
    )


def valid_languages(plan: Plan) -> tuple[str, ...]:
    """The languages of the validation parts, sorted."""
    return tuple(sorted({row.language for row in plan.valid}))
