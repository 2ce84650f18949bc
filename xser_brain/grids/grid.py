"""Many runs by one command: a grid of settings, systems, encoders and seeds.

A grid is a YAML file::

    recipes: [en_de/hparams/meld_to_emodb.yaml, ...]     # from the grid's folder
    systems: [baseline1, baseline2, proposed]
    seeds: [1, 2, 3]

or, instead of ``recipes``, one recipe and a language left out at a time::

    leave_one_out:
      recipe: leave_one_out/hparams/leave_one_out.yaml
      corpora: [ravdess, emodb, urdu, nemo]
      targets: [emodb]               # by default each of them

and, if need be, ``encoders`` (a list) and ``overrides`` (of a recipe's keys).
"""

import contextlib
import itertools
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol

from data_prep.errors import UserError
from data_prep.progress import bar, lock_alone
from xser_brain.grids import temporary
from xser_brain.grids.cluster import Task
from xser_brain.grids.once import said_once
from xser_brain.recipes import find, full_path, is_file
from xser_brain.reports.paper import paper_systems
from xser_brain.training import launch
from xser_brain.training.hparams import is_file_name, system_path
from xser_brain.training.stopping import Stopped
from xser_brain.yaml_text import read_yaml

logger = logging.getLogger(__name__)

KEYS = ("recipes", "leave_one_out", "systems", "encoders", "seeds", "overrides")
LEAVE_ONE_OUT_KEYS = ("recipe", "corpora", "targets")
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
LOG_LINES = 3  # of a failed run, shown at the end
LEAST_FREE = 100  # MB of disk


class Jobs(Protocol):
    """What carries tasks out: processes here, or a cluster."""

    def submit(self) -> None:
        """Start, or find what an earlier call has started."""

    def poll(self) -> dict[str, str]:
        """The state of each task by its name."""

    def cancel(self) -> None:
        """Stop what still runs."""


@dataclass(frozen=True)
class Grid:
    """What a grid's YAML says.

    Arguments
    ---------
    recipes : tuple of (Path, dict)
        A recipe for each setting, and the overrides that make it that setting.
    systems : tuple of str
        Pieces of ``recipes/common/systems``, or paths of YAML files.
    encoders : tuple of str or None
        Pieces of ``recipes/common/encoders``; None for the recipe's own.
    seeds : tuple of int
        One run each.
    overrides : mapping
        Of a recipe's keys, for all runs.
    """

    recipes: tuple[tuple[Path, dict], ...]
    systems: tuple[str, ...]
    encoders: tuple[str | None, ...]
    seeds: tuple[int, ...]
    overrides: Mapping

    def narrowed(
        self,
        systems: Sequence[str] | None,
        encoders: Sequence[str] | None,
        seeds: Sequence[int] | None,
    ) -> "Grid":
        """The same with what a command line gives instead."""
        changed = {}
        if systems:
            changed["systems"] = check_systems(systems, "--systems")
        if encoders:
            changed["encoders"] = _paths(encoders)
        if seeds:
            changed["seeds"] = check_seeds(seeds, "--seeds")
        return replace(self, **changed)


def read(path: Path) -> Grid:
    """Read a grid from YAML; UserError if something in it is wrong."""
    path = Path(path)
    if not is_file(path):
        raise UserError(f"no grid {path}: pass a YAML file, as paper.yaml")
    tree = read_yaml(path, "a grid", "pass a YAML file, as paper.yaml", "safe")
    _refuse_unknown(tree, KEYS, path)
    if ("recipes" in tree) == ("leave_one_out" in tree):
        raise UserError(f"{path}: give either recipes or leave_one_out")
    if "recipes" in tree:
        names = _list(tree, "recipes", path)
        recipes = [(find(str(name), path.parent), {}) for name in names]
    else:
        recipes = _left_out(tree["leave_one_out"], path)
    for recipe, _ in recipes:
        if not is_file(recipe):
            raise UserError(f"{path}: no recipe {recipe}: paths go from {path.parent}")
    overrides = tree.get("overrides") or {}
    if not isinstance(overrides, dict):
        raise UserError(f"{path}: overrides must be `key: value` lines")
    return Grid(
        tuple(recipes),
        check_systems(
            _list(tree, "systems", path, list(paper_systems())), path, path.parent
        ),
        _paths(_list(tree, "encoders", path, [None]), path.parent),
        check_seeds(_list(tree, "seeds", path, [1]), path),
        overrides,
    )


def check_systems(
    names: Sequence, where: object, folder: Path = Path()
) -> tuple[str, ...]:
    """Refuse unknown systems; paths of YAML files, from ``folder``, become absolute."""
    found = _paths([str(name) for name in names], folder)
    for name in found:
        try:
            system_path(name)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    return found


def _paths(names: Sequence, folder: Path = Path()) -> tuple:
    """Names of pieces; paths of files of one's own made absolute."""
    return tuple(
        str(full_path(str(name), folder)) if name and is_file_name(str(name)) else name
        for name in names
    )


def check_seeds(seeds: Sequence, where: object) -> tuple[int, ...]:
    """Refuse seeds that are not whole numbers from 0 on, or are named twice."""
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise UserError(f"{where}: the seed {seed!r} is no whole number from 0 on")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{where}: a seed is named twice: name each once")
    return tuple(seeds)


def _refuse_unknown(tree: Mapping, known: Sequence[str], path: Path) -> None:
    unknown = [key for key in tree if key not in known]
    if unknown:
        raise UserError(
            f"{path}: unknown key {unknown[0]!r}: there are {', '.join(known)}"
        )


def _list(tree: Mapping, key: str, path: Path, default: list | None = None) -> list:
    values = tree.get(key, default)
    if not isinstance(values, list) or not values:
        raise UserError(f"{path}: {key} must be a list, as [a, b]")
    return values


def _left_out(tree: object, path: Path) -> list[tuple[Path, dict]]:
    """A recipe per target, each with the corpora to choose from."""
    if not isinstance(tree, dict):
        raise UserError(
            f"{path}: leave_one_out must hold {', '.join(LEAVE_ONE_OUT_KEYS)}"
        )
    _refuse_unknown(tree, LEAVE_ONE_OUT_KEYS, path)
    corpora = _list(tree, "corpora", path)
    targets = _list(tree, "targets", path, corpora)
    name = tree.get("recipe", "leave_one_out/hparams/leave_one_out.yaml")
    recipe = find(str(name), path.parent)
    return [(recipe, {"corpora": corpora, "target": target}) for target in targets]


def _option(key: str, value: object) -> str:
    """As a recipe's command line takes it."""
    if isinstance(value, list | tuple):
        value = f"[{','.join(map(str, value))}]"
    return f"--{key}={'null' if value is None else value}"


@dataclass(frozen=True)
class Planned:
    """Tasks to do, and the names of runs that are finished already."""

    tasks: list[Task]
    finished: list[str]


@said_once("xser_brain.protocol.plan")
def plan(grid: Grid, results: Path, rest: Sequence[str] = ()) -> Planned:
    """Prepare all corpora once, and find what is still to be done.

    ``rest`` are further options of all runs, as ``--data_root=DIR``; where the grid's
    ``overrides`` say another value, these hold. UserError if a recipe is wrong, a
    corpus is missing, or a setting is not zero-shot.
    """
    from xser_brain.training import folder, hparams, options, spec

    processes, _ = launch.split(rest)
    named = {option.removeprefix("--").partition("=")[0] for option in rest}
    overrides = {k: v for k, v in grid.overrides.items() if k not in named}
    tasks, finished = [], []
    cells = list(itertools.product(grid.recipes, grid.encoders, grid.systems))
    prepared, seen = set(), {}
    for (recipe, changes), encoder, system in bar(cells, "planning", unit="cell"):
        chosen = {**overrides, **changes, "system": system, "results": results}
        if encoder:
            chosen["encoder"] = encoder
        common = [str(recipe), *rest, *(_option(*item) for item in chosen.items())]
        _, given, values = hparams.parse_arguments(launch.split(common)[1])
        run_opts = options.settle(given)
        described = spec.describe(recipe, values)
        needed = {*described.corpora} - prepared
        if needed:
            described.prepare()
            prepared |= needed
        identity = described.identity(described.plan(), run_opts)
        identity["processes"] = processes
        cell = described.folder.parent
        if seen.setdefault(cell, (recipe, changes, encoder)) != (
            recipe,
            changes,
            encoder,
        ):
            raise UserError(
                f"two cells of the grid would write to {cell}: give recipes of one "
                "source and target different --results"
            )
        for seed in grid.seeds:
            name = (cell / str(seed)).relative_to(results).as_posix()
            if folder.is_finished(cell / str(seed), {**identity, "seed": seed}):
                finished.append(name)
                continue
            log = results / "logs" / f"{name.replace('/', '.')}.log"
            argv = (*common, f"--seed={seed}", "--noprogressbar")
            tasks.append(Task(name, argv, log))
    # Seed by seed, so that a grid that is stopped has whole tables of fewer seeds.
    tasks.sort(key=lambda task: int(task.name.rsplit("/", 1)[1]))
    return Planned(tasks, finished)


class LocalJobs:
    """Processes of this machine, so many at once; with GPUs, one run on each named.

    Arguments
    ---------
    tasks : sequence of Task
        What to do, in this order.
    jobs : int, optional
        How many at once. By default one for each GPU, or for each core.
    threads : int, optional
        CPU threads of each. By default what the machine has, shared out.
    gpus : sequence of str
        The GPUs, as CUDA_VISIBLE_DEVICES names them; none: the CPU. One that is named
        more than once has so many runs at once, which share its memory.
    processes : int
        Of each run, each with a GPU of its own.

    Raises
    ------
    UserError
        If a run has more processes than there are GPUs, or two of them on one.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        jobs: int | None = None,
        threads: int | None = None,
        gpus: Sequence[str] = (),
        processes: int = 1,
    ):
        cores = len(os.sched_getaffinity(0))
        if gpus and len(gpus) < processes:
            raise UserError(
                f"{processes} processes a run and {len(gpus)} GPU(s): name more "
                "--devices, or ask for fewer --processes"
            )
        ends = range(processes, len(gpus) + 1, processes)
        dealt = [gpus[end - processes : end] for end in ends]
        for own in dealt:
            if len(set(own)) < len(own):
                raise UserError(
                    f"--devices={','.join(gpus)} gives a run of {processes} processes one "
                    "GPU twice: name as many different ones after each other, as 0,1,0,1"
                )
        shared = [",".join(own) for own in dealt]
        self.slots = shared[:jobs] or [None] * (jobs or max(1, cores // processes))
        self.threads = threads or max(1, cores // (len(self.slots) * processes))
        self.waiting: list[Task] = []
        self.running: dict[multiprocessing.Process, tuple[Task, str | None]] = {}
        self.states: dict[str, str] = {}
        self.add(tasks)

    def warm(self) -> None:
        """Make ready the process of which all others are copies, in the background.

        torch and SpeechBrain are loaded once, not once a run.
        """
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["xser_brain.grids.preload"])
        self.temporary = temporary.folder()
        # A Ctrl-C would end it in the midst of an import.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> "LocalJobs":
        self.warm()
        return self

    def __exit__(self, *error) -> None:
        # It would see that we have ended only once it has imported all it was told to,
        # and whoever reads our output would wait for that.
        server = forkserver._forkserver
        if server._forkserver_pid is not None:
            os.kill(server._forkserver_pid, signal.SIGKILL)
            server._stop()

    def add(self, tasks: Sequence[Task]) -> None:
        """Take on more.

        Arguments
        ---------
        tasks : sequence of Task
            What to do, after what there is.
        """
        self.waiting += tasks
        self.states |= dict.fromkeys((task.name for task in tasks), WAITING)

    def submit(self) -> None:
        """Make sure of that process."""
        self.warm()

    def poll(self) -> dict[str, str]:
        """Start what there is room for; wait a while for something to end."""
        while self.slots and self.waiting:
            task, slot = self.waiting.pop(0), self.slots.pop(0)
            process = self.context.Process(
                target=_run, args=(task, self.threads, slot, self.temporary)
            )
            process.start()
            self.running[process] = task, slot
            self.states[task.name] = RUNNING
        wait([process.sentinel for process in self.running], timeout=1.0)
        for process in [p for p in self.running if not p.is_alive()]:
            task, slot = self.running.pop(process)
            process.join()
            self.slots.append(slot)
            self.states[task.name] = FAILED if process.exitcode else DONE
            if process.exitcode < 0:
                _note(task.log, f"killed by signal {-process.exitcode}")
            process.close()
        return self.states

    def cancel(self) -> None:
        """End all processes; each saves first, and goes on from there another time."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.join()


def _note(log: Path, line: str) -> None:
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def _run(task: Task, threads: int, gpu: str | None, temporaries: Path) -> None:
    """One run, in a process of its own."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    temporary.use(temporaries)
    lock_alone()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu or ""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("a", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
    import torch

    from xser_brain.cli.train import main

    torch.set_num_threads(threads)
    sys.exit(main(task.argv))


def _end_with_parent() -> None:
    """A run whose grid was killed must not go on beside the one started next."""
    multiprocessing.parent_process().join()
    os._exit(1)


def carry_out(planned: Planned, jobs: Jobs, pause: float = 0.0) -> dict[str, str]:
    """Run the jobs with one progress bar, and return the state of each task.

    ``pause`` is how many seconds pass between two looks at them.
    """
    total = len(planned.tasks) + len(planned.finished)
    jobs.submit()
    states, told = {}, 0
    # Its time left goes by all that was done, not by the last few.
    finished = len(planned.finished)
    with bar(
        desc="runs", total=total, initial=finished, unit="run", smoothing=0
    ) as shown:
        try:
            while True:
                states = jobs.poll()
                counts = Counter(states.values())
                ended = counts[DONE] + counts[FAILED]
                if shown.disable and ended > told:
                    left = f"{finished + ended} of {total} runs have ended"
                    print(f"{left}, {counts[FAILED]} failed", flush=True)
                told = ended
                shown.update(finished + ended - shown.n)
                shown.set_postfix(running=counts[RUNNING], failed=counts[FAILED])
                if ended == len(planned.tasks):
                    return states
                time.sleep(pause)
        except (KeyboardInterrupt, Stopped):
            jobs.cancel()
            raise


def last_lines(log: Path, count: int = LOG_LINES) -> list[str]:
    """The end of a log, where the reason of a failure stands."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ["it left no log"]
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-count:]


def summary(planned: Planned, states: Mapping[str, str]) -> str:
    """What became of the runs, with the last lines of those that failed."""
    lines = []
    for task in planned.tasks:
        if states[task.name] == FAILED:
            lines += [f"failed: {task.name} (all of it: {task.log})"]
            lines += [f"    {line}" for line in last_lines(task.log)]
    done = sum(state == DONE for state in states.values())
    lines.append(
        f"{done} runs done, {len(planned.finished)} were finished before, "
        f"{len(states) - done} failed"
    )
    return "\n".join(lines)


def require_disk(results: Path) -> None:
    """Make the folder for runs; UserError if the disk is full or read-only."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(results).free / 1e6
    except OSError as error:
        raise UserError(
            f"cannot write to {results}: {error.strerror}: pass --results=DIR"
        ) from error
    if free < LEAST_FREE:
        raise UserError(
            f"no room in {results}: {free:.0f} MB are free, {LEAST_FREE} MB at least are "
            "needed: free the disk or pass --results=DIR"
        )
