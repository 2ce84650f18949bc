"""One run: from a recipe's YAML to its artefacts.

The order is the protocol's: manifests are prepared, a plan is made, training and model
selection see the training languages, and only then is the first target file heard. (Its
manifest was written before: names, durations, and a hash of each recording.)
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import speechbrain as sb
from speechbrain.utils.distributed import ddp_init_group, if_main_process, run_on_main

from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from xser_brain import parallel
from xser_brain.brain import XSERBrain
from xser_brain.data.batches import Loader, by_duration
from xser_brain.data.sampling import Joined
from xser_brain.data.units import Vocabulary
from xser_brain.evaluation import embeddings
from xser_brain.protocol import Labels, Plan
from xser_brain.protocol.guard import guard_encoder
from xser_brain.solvers import Solution, Vectors
from xser_brain.training import assemble, console, folder, loggers, options, record
from xser_brain.training.reading import Reader
from xser_brain.training.spec import Spec, decisive_values, describe

logger = logging.getLogger(__name__)


def run(recipe: str | Path, overrides: Mapping, run_opts: dict) -> Path:
    """Train and score one system in one setting, or go on where it was stopped.

    Arguments
    ---------
    recipe : path
        The YAML file.
    overrides : mapping
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
    return carry_out(describe(recipe, overrides), run_opts)


def carry_out(spec: Spec, run_opts: dict) -> Path:
    """Train and score what a recipe came to; see ``run``.

    Arguments
    ---------
    spec : Spec
        From ``describe``.
    run_opts : dict
        SpeechBrain's run options.

    Returns
    -------
    Path
        The run's folder.
    """
    run_opts = options.settle(run_opts)
    options.require_device(run_opts)
    ddp_init_group(run_opts)
    with console.opened(run_opts["noprogressbar"]):
        return _carry_out(spec, run_opts)


def _carry_out(spec: Spec, run_opts: Mapping) -> Path:
    if run_opts["debug"]:
        spec = spec.debugging()
    folder.require_writable(spec.results)
    run_on_main(spec.prepare)
    plan = spec.plan()
    identity = spec.identity(plan, run_opts)
    locks = []  # held until this returns
    run_on_main(lambda: locks.append(folder.claim(spec.folder)))
    overwrite = spec.settings["overwrite"]
    run_on_main(folder.begin, [spec.folder, identity, overwrite])
    if folder.is_finished(spec.folder, identity):
        logger.info("this run is finished already; --overwrite=True runs it anew")
    else:
        _open(spec, run_opts)
        encoder = assemble.build_encoder(spec, plan)
        trained_on = plan.setting.trained_on(plan.system.trains_on)
        guard_encoder(encoder.adapted_on, trained_on, plan.setting.target)
        assemble.require_frames(spec, encoder)
        crop, device = float(spec.training["crop"]), run_opts["device"]
        root, transform = str(spec.data_root), spec.system.waveforms
        reader = Reader(
            spec.settings, encoder, root, device, crop, transform, spec.hashes
        )
        reader.require(plan.train, [*plan.valid, *plan.test, *plan.rest])
        solution = solve(spec, plan, reader) if spec.system.solver else None
        vocabulary = assemble.learn_units(spec, plan)
        brain = assemble.build_brain(
            spec, plan, encoder, reader.kind, run_opts, solution, vocabulary
        )
        if solution is None:
            train(brain, spec, plan, reader, run_opts, vocabulary)
        else:
            validate(brain, spec, plan, reader)
        # Scoring loads the best checkpoint, in which both are less.
        state = brain.hparams.run_state
        spent = {"steps": brain.optimizer_step, "seconds": state.seconds}
        # --- Training has ended: from here on the target may be decoded. ---
        outputs = score(brain, spec, plan, reader)
        if if_main_process():
            facts = reader.facts()
            choice = solution.choice if solution else None
            record.write(
                spec,
                plan,
                identity,
                brain,
                encoder,
                facts,
                outputs,
                spent,
                choice,
                vocabulary,
            )
    if if_main_process():
        record.announce(spec.folder)
    parallel.leave()
    return spec.folder


def _open(spec: Spec, run_opts: Mapping) -> None:
    """Begin the log, and write down what is run where."""
    # SpeechBrain would ask whichever pip comes first, for seconds in each run.
    sb.create_experiment_directory(
        spec.folder,
        log_config=console.log_config(
            run_opts["log_config"], bool(spec.settings.get("verbose"))
        ),
        save_env_desc=False,
    )
    write_atomic(spec.folder / "env.log", record.environment().encode())
    write_atomic(spec.folder / "hyperparams.yaml", spec.text.encode())
    sb.utils.seed.seed_everything(spec.seed, verbose=False)


def _require_trained(brain: XSERBrain, spec: Spec) -> None:
    """Refuse to test what is not trained to its end: it would pass for the result."""
    latest = brain.checkpointer.find_checkpoint()
    if latest is None:
        raise UserError(f"{spec.folder} holds no trained model: leave --test_only out")
    steps = int(spec.training["steps"])
    if not latest.meta.get("ended", latest.meta["step"] >= steps):
        raise UserError(
            f"{spec.folder}: training stopped after {latest.meta['step']} of {steps} "
            "steps: leave --test_only out, and it goes on"
        )
    brain.test_only = False  # all it has to do is to see that it has ended


def train(
    brain: XSERBrain,
    spec: Spec,
    plan: Plan,
    reader: Reader,
    run_opts: Mapping,
    vocabulary: Vocabulary | None = None,
) -> None:
    """Train on the plan's training part, and select on its validation part.

    Arguments
    ---------
    brain, spec, plan, reader
        The run's.
    run_opts : mapping
        SpeechBrain's run options.
    vocabulary : Vocabulary, optional
        Units of what is said.

    Raises
    ------
    UserError
        If there is nothing to train on, or nothing trained to test.
    """
    train_set = reader.open(
        plan.train, plan.labels, training=True, augmented=True, vocabulary=vocabulary
    )
    languages = assemble.valid_languages(plan)
    valid_set = reader.open(plan.valid, replace(plan.labels, languages=languages))
    accumulated = run_opts["grad_accumulation_factor"]
    sampler = assemble.build_sampler(spec, plan, accumulated)
    brain.train_sampler = sampler
    brain.checkpointer.add_recoverable("sampler", sampler)
    run_on_main(brain.checkpointer.clean)
    run_on_main(brain.checkpointer.set_damaged_aside)
    if run_opts["test_only"]:
        _require_trained(brain, spec)
    trained_on = plan.setting.trained_on(plan.system.trains_on)
    logger.info("training on %s", ", ".join(trained_on))
    batches = by_duration(plan.valid, int(spec.training["batch_size"]))
    threads = reader.threads(int(spec.training["num_workers"]))
    values = decisive_values(spec.text)
    pinned = brain.device_type == "cuda"
    with loggers.opened(spec.loggers, spec.folder, spec.results, values) as more:
        brain.hparams.loggers = more
        brain.fit(
            brain.hparams.epoch_counter,
            Loader(train_set, Joined(sampler, accumulated), threads, pinned),
            Loader(valid_set, parallel.dealt(batches), threads, pinned),
        )


def solve(spec: Spec, plan: Plan, reader: Reader) -> Solution:
    """Let the system's solver fit the plan's training part.

    Arguments
    ---------
    spec, plan, reader
        The run's.

    Returns
    -------
    Solution

    Raises
    ------
    UserError
        If the encoder's vectors are not cached.
    """
    if reader.kind != "pooled":
        raise UserError(
            f"{spec.system.name} fits all utterances at once: leave --cache=none out"
        )
    trained_on = plan.setting.trained_on(plan.system.trains_on)
    logger.info("fitting %s", ", ".join(trained_on))
    views = reader.views(plan.train, training=True, augmented=True)
    labels = plan.labels
    vectors = Vectors(
        [np.stack([view[row.ID].numpy() for row in plan.train]) for view in views],
        np.array([labels.emotions.index(row.emotion) for row in plan.train]),
        np.array([labels.languages.index(row.language) for row in plan.train]),
        labels.languages,
        len(labels.emotions),
        reader.cache.encoder.poolings,
    )
    return spec.system.solver.solve(vectors)


def validate(brain: XSERBrain, spec: Spec, plan: Plan, reader: Reader) -> None:
    """Score what was solved on the plan's validation part, and save it.

    Arguments
    ---------
    brain, spec, plan, reader
        The run's.
    """
    languages = assemble.valid_languages(plan)
    valid_set = reader.open(plan.valid, replace(plan.labels, languages=languages))
    batches = by_duration(plan.valid, int(spec.training["batch_size"]))
    run_on_main(brain.checkpointer.clean)
    brain.validate(Loader(valid_set, parallel.dealt(batches), 0))


def score(brain: XSERBrain, spec: Spec, plan: Plan, reader: Reader) -> dict:
    """Predict the target, the validation part and a sample of what was trained on.

    Arguments
    ---------
    brain, spec, plan, reader
        The run's, after training.

    Returns
    -------
    dict
        For ``record.write``.
    """
    kept = embeddings.spread(plan.train, int(spec.settings["embeddings"]))
    parts = {"target": [*plan.test, *plan.rest], "valid": plan.valid, "train": kept}
    labels = Labels(emotions=plan.label_set.names)
    outputs = {}
    for part, rows in parts.items():
        if rows:
            dataset = reader.open(rows, labels, training=part == "train")
            batches = by_duration(rows, int(spec.training["batch_size"]))
            batches = parallel.dealt(batches)
            threads = reader.threads(int(spec.training["num_workers"]))
            pinned = brain.device_type == "cuda"
            loader = Loader(dataset, batches, threads, pinned)
            outputs[part] = rows, brain.predict(loader)
    return outputs
