"""Tasks on a SLURM cluster, as job arrays, through submitit.

What SLURM stops (a job whose time is up, that is pre-empted, whose node fails, or that
``scontrol requeue`` takes back) or what gets SIGUSR1 saves a checkpoint if it has the time,
is queued again and goes on from its last checkpoint. What dies by itself (a mistake, a
fault, too little memory) has failed; submitted once more, it goes on from its last
checkpoint as well.

submitit hands tasks over as pickles, which run code when they are read: each array has a
folder of its own for them, made by whoever submits it, and those that lie in a folder of
results already are never opened. What became of a task stands in JSON.

No accounting database is asked: ``squeue`` tells the state of all jobs in one call, and
of those that SLURM has forgotten by then, the result that they have left.
"""

import contextlib
import json
import logging
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess  # nosec B404 # runs only SLURM's commands
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.outside import CONTROL, read_json

logger = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed"]

# SLURM's states; a job in any other one is running, or about to end.
WAITING = (
    "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
    "RESV_DEL_HOLD", "SPECIAL_EXIT",
)  # fmt: skip
FAILED = (
    "BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT",
)  # fmt: skip
# SLURM's own limit, unless a site has set another, is 1001.
ARRAY_SIZE = 1000
# Seconds before the end of its time at which a job is told, to be queued again.
NOTICE = 90
# Seconds for which a job that is about to end is waited for, and between two looks.
ENDING, PAUSE = 60, 2
ARRAY, ID = re.compile(r"xser-[0-9a-f]{8}"), re.compile(r"\d+(_\d+)?")
JOB = {"array": str, "index": int, "argv": [str], "id": (str, type(None))}
OUTCOME = {"done": bool}


@dataclass(frozen=True)
class Task:
    """One run of a grid.

    Arguments
    ---------
    name : str
        Its name in the grid, as ``ravdess_to_emodb/proposed/whisper/1``.
    argv : tuple of str
        Arguments of ``xser_brain.cli.train.main``.
    log : Path
        Where its output is found.
    """

    name: str
    argv: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class ClusterOptions:
    """What a task asks of SLURM.

    For what is not here, sbatch reads the environment: ``SBATCH_ACCOUNT``,
    ``SBATCH_QOS``, ``SBATCH_CONSTRAINT`` and so on.

    Arguments
    ---------
    partition : str, optional
        By default the cluster's own default, as with ``memory``.
    time : int
        Minutes until a job is stopped and queued again.
    cpus, gpus : int
        Of one task, or of each of its processes.
    processes : int
        Of one task, all of them on one node.
    memory : float, optional
        GB of one task.
    parallel : int
        How many tasks of one submission run at once.
    requeues : int
        How often a task whose time is up is queued again. Other interruptions do not
        count.
    setup : tuple of str
        Lines of shell run before the task, as ``module load cuda``.

    Raises
    ------
    UserError
        If a number is too small.

    Example
    -------
    >>> ClusterOptions(partition="gpu", gpus=1, memory=16).time
    240
    """

    partition: str | None = None
    time: int = 240
    cpus: int = 1
    gpus: int = 0
    memory: float | None = None
    parallel: int = 32
    requeues: int = 10
    setup: tuple[str, ...] = ()
    processes: int = 1

    def __post_init__(self):
        least = {
            "time": 1, "cpus": 1, "gpus": 0, "parallel": 1, "requeues": 0, "processes": 1,
        }  # fmt: skip
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UserError(
                    f"{name} is {getattr(self, name)}: set a whole number from "
                    f"{value} on"
                )
        if self.memory is not None and self.memory <= 0:
            raise UserError(f"memory is {self.memory}: set a number of GB above 0")


@dataclass
class _Job:
    """Where a task was put: an element of an array, known by the array's own name."""

    array: str
    index: int
    argv: list[str]
    id: str | None = None


class _Run:
    """A task as it runs on its node; to go on from a checkpoint is to run again."""

    def __init__(self, argv: Sequence[str], outcome: str):
        self.argv, self.outcome = argv, outcome

    def __call__(self) -> None:
        import submitit

        from xser_brain.cli.train import main
        from xser_brain.training import stopping

        # submitit would note each one in the log, after the reason of a failure.
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
        notice = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
        queue_again = signal.getsignal(notice)
        with stopping.heeded(notice):  # saved first, then queued again
            code = main(self.argv)
        asked = code - 128
        if asked in (notice, signal.SIGUSR1) or (asked == signal.SIGTERM and _wanted()):
            queue_again(asked, None)  # which ends the process
        if code:  # so that SLURM, too, takes the job for failed
            sys.exit(code)
        write_atomic(self.outcome, json.dumps({"done": True}).encode())

    def checkpoint(self):
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _wanted() -> bool:
    """Whether the job still counts as running: nobody cancelled it, or queued it again."""
    job = os.environ.get("SLURM_JOB_ID", "")
    try:
        states = _slurm("squeue", f"--jobs={job}", "--noheader", "--format=%T").split()
    except UserError:
        return False
    return states == ["RUNNING"]


class SlurmJobs:
    """Tasks of a grid on a cluster, found again by whoever opens the same folder.

    Arguments
    ---------
    tasks : iterable of Task
        Those to run.
    folder : path
        For submitit's files and ``jobs.json``, which tells where each task was put; on
        a disk that all nodes see.
    options : ClusterOptions
        What a task asks for.

    Raises
    ------
    UserError
        If submitit or SLURM are not there, ``jobs.json`` is damaged, or a path or option
        would be a line of its own in a job's script.
    """

    def __init__(
        self, tasks: Iterable[Task], folder: str | Path, options: ClusterOptions
    ):
        _require_slurm()
        self.tasks = {task.name: task for task in tasks}
        self.folder = Path(folder).absolute()
        self.options = options
        self._record = self.folder / "jobs.json"
        self._jobs: dict[str, _Job] = {}
        for text in (str(self.folder), options.partition or ""):
            if CONTROL.search(text):
                raise UserError(
                    f"{text!r} cannot stand in a job's script: name it without line "
                    "breaks and the like"
                )
        if self._record.exists():
            self._jobs = _read_jobs(self._record)
        self._states: dict[str, State] = dict.fromkeys(self.tasks, "waiting")

    def submit(self) -> list[str]:
        """Submit all tasks but those that an earlier process has put in the queue.

        Returns
        -------
        list of str
            The tasks submitted, by name.

        Raises
        ------
        UserError
            If SLURM refuses them, in its own words, or a task is in the queue with
            other arguments.
        """
        queue = self._settled_queue()
        new = [t for t in self.tasks.values() if not self._attach(t, queue)]
        for start in range(0, len(new), ARRAY_SIZE):
            self._submit_array(new[start : start + ARRAY_SIZE])
        names = [task.name for task in new]
        self._states.update(dict.fromkeys(names, "waiting"))
        return names

    def poll(self) -> dict[str, State]:
        """Ask SLURM, in one call, how all tasks are doing.

        While SLURM does not answer, the states are the last ones known.

        Returns
        -------
        dict of str to str
            ``waiting``, ``running``, ``done`` or ``failed``, by task name.
        """
        try:
            queue = self._queue()
        except UserError as error:
            logger.warning("%s; asking again later", error)
            return dict(self._states)
        for name, job in self._known().items():
            job_id, word = queue.get(name, (job.id, ""))
            state = _state(word) if word else self._outcome(job)
            if state == "failed" and self._states[name] != "failed":
                how = f"ended as {word}" if word else "left no result"
                log = self.tasks[name].log
                logger.warning("%s: job %s %s, see %s", name, job_id, how, log)
            self._states[name] = state
        return dict(self._states)

    def cancel(self) -> None:
        """Take all tasks out of the queue; those that run are stopped.

        Raises
        ------
        UserError
            If SLURM does not answer.
        """
        alive = [job for job, word in self._queue().values() if _alive(word)]
        if alive:
            _slurm("scancel", "--quiet", *alive)

    def _known(self) -> dict[str, _Job]:
        return {name: self._jobs[name] for name in self.tasks if name in self._jobs}

    def _queue(self) -> dict[str, tuple[str, str]]:
        """Job id and state of the tasks that SLURM knows of."""
        known = self._known()
        if not known:
            return {}
        arrays = sorted({job.array for job in known.values()})
        text = _slurm(
            "squeue", "--me", "--array", "--states=all", "--noheader",
            "--format=%j %i %T", f"--name={','.join(arrays)}",
        )  # fmt: skip
        rows = read_queue(text)
        places = {name: (job.array, job.index) for name, job in known.items()}
        return {name: rows[place] for name, place in places.items() if place in rows}

    def _settled_queue(self) -> dict[str, tuple[str, str]]:
        """The queue once no job is between running and whatever comes next.

        A cancelled job, for one, runs on until SLURM loses patience with it.
        """
        for _ in range(ENDING // PAUSE):
            queue = self._queue()
            if not any(word == "COMPLETING" for _, word in queue.values()):
                break
            logger.info("waiting for jobs that are about to end")
            time.sleep(PAUSE)
        return queue

    def _attach(self, task: Task, queue: dict[str, tuple[str, str]]) -> bool:
        """Whether a task is in the queue already."""
        if task.name not in queue:
            return False
        job = self._jobs[task.name]
        job_id, word = queue[task.name]
        if not _alive(word):
            return False
        if job.argv != list(task.argv):
            raise UserError(
                f"{task.name} is in SLURM's queue with other options: wait for its "
                f"end or run `scancel {job_id}`, and start again"
            )
        paths = self._paths(job.array, job_id)
        if not paths.submitted_pickle.exists():
            # Whoever submitted it was stopped in between: it would wait in vain.
            _slurm("scancel", "--quiet", job_id)
            return False
        job.id = job_id
        _link(task.log, paths.stdout)
        return True

    def _submit_array(self, tasks: Sequence[Task]) -> None:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        array = f"xser-{secrets.token_hex(4)}"
        for index, task in enumerate(tasks):
            self._jobs[task.name] = _Job(array, index, list(task.argv))
        # Written first: a process stopped after sbatch finds the array by its name.
        self._write()
        # Nobody else's files lie in it, and nobody else may put some there.
        home = self.folder / array
        home.mkdir(mode=0o700)
        runs = [_Run(t.argv, str(_outcome_file(home, i))) for i, t in enumerate(tasks)]
        try:
            jobs = self._executor(array).submit_array(runs)
        except (FailedJobError, FailedSubmissionError) as error:
            raise UserError(
                f"SLURM refuses the jobs: {_one_line(str(error))}"
            ) from error
        for task, job in zip(tasks, jobs, strict=True):
            self._jobs[task.name].id = job.job_id
            _link(task.log, job.paths.stdout)
        self._write()

    def _executor(self, array: str):
        import submitit

        options = self.options
        notice = min(NOTICE, options.time * 60 // 4)
        # The task takes the shell's place, to be the only process that is told of its
        # end: srun and a shell would tell the loader's processes too, or none.
        executor = submitit.SlurmExecutor(
            self.folder / array,
            max_num_timeout=options.requeues,
            python=f"exec {shlex.quote(sys.executable)}",
        )
        executor.update_parameters(
            job_name=array,
            partition=options.partition,
            time=options.time,
            cpus_per_task=options.cpus * options.processes,
            gpus_per_node=options.gpus * options.processes or None,
            mem=None if options.memory is None else f"{options.memory * 1024:.0f}M",
            array_parallelism=options.parallel,
            setup=list(options.setup) or None,
            stderr_to_stdout=True,
            use_srun=False,
            additional_parameters={
                "requeue": True,
                "signal": f"B:{submitit.JobEnvironment.USR_SIG}@{notice}",
            },
        )
        return executor

    def _outcome(self, job: _Job) -> State:
        """What a job that SLURM has forgotten has come to."""
        if job.id is None:
            return "failed"
        path = _outcome_file(self.folder / job.array, job.index)
        with contextlib.suppress(UserError):
            if read_json(path, "the outcome of a job", OUTCOME)["done"]:
                return "done"
        return "failed"

    def _paths(self, array: str, job_id: str):
        import submitit

        return submitit.SlurmJob(self.folder / array, job_id).paths

    def _write(self) -> None:
        record = {name: asdict(job) for name, job in self._jobs.items()}
        write_atomic(self._record, json.dumps(record, indent=1).encode())


def _outcome_file(home: Path, index: int) -> Path:
    return home / f"{index}.json"


def _read_jobs(path: Path) -> dict[str, _Job]:
    what, mend = (
        "the list of submitted jobs",
        "delete it, and `scancel` what still runs",
    )
    jobs = {}
    for name, job in read_json(path, what, {str: JOB}, mend=mend).items():
        named = ARRAY.fullmatch(job["array"]) and ID.fullmatch(job["id"] or "0")
        if not named or job["index"] < 0:
            raise UserError(f"{path}, {what}, is damaged ({job!r:.100}): {mend}")
        jobs[name] = _Job(**{key: job[key] for key in JOB})
    return jobs


def read_queue(text: str) -> dict[tuple[str, int], tuple[str, str]]:
    r"""Read what squeue lists: an array's name, a job's id, its state.

    Arguments
    ---------
    text : str
        One job a line.

    Returns
    -------
    dict
        Job id and state, by array name and index.

    Example
    -------
    >>> read_queue("xser-1a 12_3 RUNNING\nxser-2b 13 COMPLETED\n")
    {('xser-1a', 3): ('12_3', 'RUNNING'), ('xser-2b', 0): ('13', 'COMPLETED')}
    """
    rows = {}
    for line in text.splitlines():
        array, job_id, word = line.split()
        _, _, index = job_id.partition("_")  # a task alone is no array
        rows[array, int(index or 0)] = job_id, word
    return rows


def _alive(word: str) -> bool:
    return _state(word) in ("waiting", "running")


def _state(word: str) -> State:
    if word == "COMPLETED":
        return "done"
    if word in FAILED:
        return "failed"
    return "waiting" if word in WAITING else "running"


def _require_slurm() -> None:
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UserError(
            'SLURM is used through submitit: pip install "xser-brain[cluster]"'
        ) from error
    if not shutil.which("sbatch"):
        raise UserError("no sbatch here: start this on a login node of a SLURM cluster")


def _slurm(*command: str) -> str:
    """What one of SLURM's commands prints."""
    result = subprocess.run(  # nosec B603 # a list, and no shell
        command, capture_output=True, text=True
    )
    if result.returncode:
        raise UserError(f"{command[0]} has failed: {_one_line(result.stderr)}")
    return result.stdout


def _one_line(text: str) -> str:
    lines = (re.sub(r"^\w+: (error: )?", "", line) for line in text.splitlines())
    return "; ".join(line.strip() for line in lines if line.strip())


def _link(log: Path, output: Path) -> None:
    """Let a task's log be the file that SLURM writes, whose name has the job's id."""
    log.parent.mkdir(parents=True, exist_ok=True)
    temporary = log.with_name(f".{log.name}.{os.getpid()}.tmp")
    temporary.symlink_to(os.path.relpath(output.resolve(), log.parent.resolve()))
    os.replace(temporary, log)
