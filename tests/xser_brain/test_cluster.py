"""The SLURM back end: against stand-ins of SLURM's commands, and on a real SLURM."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import slurm

from data_prep.errors import UserError
from xser_brain.cli.train import main
from xser_brain.grids import cluster
from xser_brain.grids.cluster import ClusterOptions, SlurmJobs, Task, read_queue
from xser_brain.training.checkpoints import UNFINISHED

pytest.importorskip("submitit", reason='needs pip install "xser-brain[cluster]"')


def task(folder, name="a", *argv):
    return Task(name, argv or ("recipe.yaml",), folder / f"logs/{name}.log")


def record(folder):
    return json.loads((folder / "slurm/jobs.json").read_text("utf-8"))


def script_of(folder, job="1"):
    (path,) = folder.glob(f"slurm/xser-*/{job}_submission.sh")
    return path.read_text()


def home(folder, name="a"):
    """Where the files of a task's array lie."""
    return folder / "slurm" / record(folder)[name]["array"]


# --- Without SLURM


def test_read_queue():
    text = "xser-1 7_0 PENDING\nxser-1 7_12 RUNNING\nxser-2 9 NODE_FAIL\n\n"
    assert read_queue(text.strip()) == {
        ("xser-1", 0): ("7_0", "PENDING"),
        ("xser-1", 12): ("7_12", "RUNNING"),
        ("xser-2", 0): ("9", "NODE_FAIL"),
    }
    assert read_queue("") == {}


@pytest.mark.parametrize(
    "wrong", [{"time": 0}, {"cpus": 0}, {"gpus": -1}, {"parallel": 0}, {"memory": 0}]
)
def test_options_are_checked(wrong):
    with pytest.raises(UserError, match=f"^{next(iter(wrong))} is "):
        ClusterOptions(**wrong)


def test_needs_submitit(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r'pip install "xser-brain\[cluster\]"'):
        SlurmJobs([], tmp_path, ClusterOptions())


def test_needs_sbatch(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sbatch here"):
        SlurmJobs([], tmp_path, ClusterOptions())


class Commands:
    """SLURM's commands as scripts that say what they are told, and keep a record."""

    def __init__(self, folder):
        self.folder = folder
        self.write("srun", "")
        self.write("scancel", 'echo "$@" >> scancelled')
        self.write("sbatch", "echo >> n; echo Submitted batch job $(wc -l < n)")
        self.write("squeue", "cat queue")
        self.list({})

    def write(self, name, line):
        """Let a command do this."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\ncd {self.folder}\n{line}\n")
        path.chmod(0o755)

    def list(self, jobs):
        """Let squeue tell of these jobs: states by array, job id."""
        lines = [f"{array} {job} {state}\n" for (array, job), state in jobs.items()]
        (self.folder / "queue").write_text("".join(lines))

    def lines(self, name):
        """What a command has kept."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def commands(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Commands(folder)


@pytest.fixture
def submitted(commands, tmp_path):
    """Two tasks as job 1, and the name of their array."""
    tasks = [task(tmp_path, "a"), task(tmp_path, "b")]
    jobs = SlurmJobs(tasks, tmp_path / "slurm", ClusterOptions())
    assert jobs.submit() == ["a", "b"]
    return jobs, record(tmp_path)["a"]["array"]


def test_script(commands, tmp_path):
    options = ClusterOptions(
        partition="long",
        time=30,
        cpus=3,
        gpus=2,
        memory=1.5,
        parallel=2,
        setup=("module load cuda",),
    )
    tasks = [task(tmp_path, name) for name in "abc"]
    SlurmJobs(tasks, tmp_path / "slurm", options).submit()
    script = script_of(tmp_path).splitlines()
    given = {line.removeprefix("#SBATCH ") for line in script if "#SBATCH" in line}
    assert {
        "--partition=long", "--time=30", "--cpus-per-task=3", "--gpus-per-node=2",
        "--mem=1536M", "--array=0-2%2", "--requeue", "--signal=B:USR2@90",
        "--open-mode=append",
    } <= given  # fmt: skip
    assert "module load cuda" in script
    assert script[-1].startswith(f"exec {sys.executable} ")


def test_script_asks_for_no_more_than_is_set(commands, tmp_path):
    options = ClusterOptions(time=2)
    SlurmJobs([task(tmp_path)], tmp_path / "slurm", options).submit()
    script = script_of(tmp_path)
    assert not any(f"--{key}" in script for key in ("partition", "gpus", "mem", "arr"))
    assert "--signal=B:USR2@30" in script  # not before a short job has begun


def test_long_lists_are_several_arrays(commands, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ARRAY_SIZE", 2)
    tasks = [task(tmp_path, str(i)) for i in range(5)]
    SlurmJobs(tasks, tmp_path / "slurm", ClusterOptions()).submit()
    ids = [record(tmp_path)[str(i)]["id"] for i in range(5)]
    assert ids == ["1_0", "1_1", "2_0", "2_1", "3"]
    assert len({job["array"] for job in record(tmp_path).values()}) == 3


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", "waiting"),
        ("REQUEUED", "waiting"),
        ("RUNNING", "running"),
        ("COMPLETING", "running"),
        ("SUSPENDED", "running"),
        ("COMPLETED", "done"),
        ("FAILED", "failed"),
        ("OUT_OF_MEMORY", "failed"),
        ("TIMEOUT", "failed"),
        ("CANCELLED", "failed"),
    ],
)
def test_states(commands, submitted, word, state):
    jobs, array = submitted
    commands.list({(array, "1_0"): "PENDING", (array, "1_1"): word})
    assert jobs.poll() == {"a": "waiting", "b": state}


def test_one_squeue_for_all(commands, submitted):
    jobs, array = submitted
    commands.write("squeue", 'echo "$@" >> asked; cat queue')
    jobs.poll()
    (asked,) = commands.lines("asked")
    assert f"--name={array}" in asked.split()


def test_what_slurm_has_forgotten_is_judged_by_its_result(submitted, tmp_path, caplog):
    jobs, _ = submitted
    path = home(tmp_path) / "0.json"
    path.write_text('{"done": true}')
    assert jobs.poll() == {"a": "done", "b": "failed"}
    path.write_text('{"done": ')
    assert jobs.poll() == {"a": "failed", "b": "failed"}
    assert [r.getMessage().split(",")[0] for r in caplog.records] == [
        "b: job 1_1 left no result",
        "a: job 1_0 left no result",
    ]


def test_states_stay_while_slurm_does_not_answer(commands, submitted, caplog):
    jobs, array = submitted
    commands.list({(array, "1_0"): "RUNNING", (array, "1_1"): "COMPLETED"})
    known = jobs.poll()
    commands.write("squeue", "echo squeue: error: no controller >&2; exit 1")
    assert jobs.poll() == known
    assert caplog.messages == ["squeue has failed: no controller; asking again later"]
    with pytest.raises(UserError, match="squeue has failed: no controller"):
        jobs.submit()


def test_restart_finds_its_jobs(commands, submitted, tmp_path):
    first, array = submitted
    commands.list({(array, "1_0"): "RUNNING", (array, "1_1"): "PENDING"})
    tasks = [*first.tasks.values(), task(tmp_path, "c")]
    again = SlurmJobs(tasks, tmp_path / "slurm", ClusterOptions())
    assert again.submit() == ["c"]
    assert again.poll() == {"a": "running", "b": "waiting", "c": "failed"}
    assert len(commands.lines("n")) == 2


def test_restart_submits_what_has_failed(commands, submitted, tmp_path):
    first, array = submitted
    commands.list({(array, "1_0"): "RUNNING", (array, "1_1"): "FAILED"})
    again = SlurmJobs(first.tasks.values(), tmp_path / "slurm", ClusterOptions())
    assert again.poll() == {"a": "running", "b": "failed"}
    assert again.submit() == ["b"]
    assert record(tmp_path)["a"]["id"] == "1_0"
    assert record(tmp_path)["b"]["id"] == "2"
    log = tmp_path / "logs/b.log"
    (home(tmp_path, "b") / "2_0_log.out").write_text("second\n")
    assert log.read_text() == "second\n"


def test_restart_after_a_submission_that_broke_off(commands, tmp_path, monkeypatch):
    """SLURM has the jobs, but was handed neither task; nobody wrote the ids down."""
    from submitit.core.utils import JobPaths

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    tasks = [task(tmp_path, "a"), task(tmp_path, "b")]
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(JobPaths, "move_temporary_file", die)
        SlurmJobs(tasks, tmp_path / "slurm", ClusterOptions()).submit()
    before = record(tmp_path)["a"]
    assert before["id"] is None
    commands.list(
        {(before["array"], "1_0"): "RUNNING", (before["array"], "1_1"): "PENDING"}
    )
    again = SlurmJobs(tasks, tmp_path / "slurm", ClusterOptions())
    assert again.submit() == ["a", "b"]
    assert commands.lines("scancelled") == ["--quiet 1_0", "--quiet 1_1"]
    assert record(tmp_path)["a"]["array"] != before["array"]


def test_restart_learns_the_id_of_a_job_from_slurm(commands, submitted, tmp_path):
    first, array = submitted
    path = tmp_path / "slurm/jobs.json"
    jobs = record(tmp_path)
    for job in jobs.values():
        job["id"] = None
    path.write_text(json.dumps(jobs))
    commands.list({(array, "1_0"): "RUNNING", (array, "1_1"): "RUNNING"})
    again = SlurmJobs(first.tasks.values(), tmp_path / "slurm", ClusterOptions())
    assert again.submit() == []
    commands.list({})
    (home(tmp_path) / "0.json").write_text('{"done": true}')
    assert again.poll() == {"a": "done", "b": "failed"}


def test_restart_lets_what_was_cancelled_end(
    commands, submitted, tmp_path, monkeypatch
):
    first, array = submitted
    commands.list({(array, "1_0"): "COMPLETING", (array, "1_1"): "COMPLETING"})

    def later(seconds):
        commands.list({(array, "1_0"): "CANCELLED", (array, "1_1"): "PENDING"})

    monkeypatch.setattr(cluster.time, "sleep", later)
    again = SlurmJobs(first.tasks.values(), tmp_path / "slurm", ClusterOptions())
    assert again.submit() == ["a"]


def test_another_task_of_the_same_name_is_refused(commands, submitted, tmp_path):
    _, array = submitted
    commands.list({(array, "1_0"): "RUNNING"})
    other = task(tmp_path, "a", "recipe.yaml", "--steps=5")
    with pytest.raises(UserError, match="with other options.*`scancel 1_0`"):
        SlurmJobs([other], tmp_path / "slurm", ClusterOptions()).submit()


def test_cancel_takes_only_its_own(commands, submitted, tmp_path):
    first, array = submitted
    commands.list(
        {
            (array, "1_0"): "COMPLETED",
            (array, "1_1"): "RUNNING",
            (array, "1_2"): "RUNNING",
        }
    )
    first.cancel()
    assert commands.lines("scancelled") == ["--quiet 1_1"]
    commands.list({(array, "1_0"): "COMPLETED", (array, "1_1"): "CANCELLED"})
    first.cancel()
    assert len(commands.lines("scancelled")) == 1


def test_refusal_is_one_line(commands, tmp_path):
    words = (
        "sbatch: error: No such account\\nsbatch: error: Batch job submission failed"
    )
    commands.write("sbatch", f"printf '{words}\\n' >&2; exit 1")
    with pytest.raises(UserError) as error:
        SlurmJobs([task(tmp_path)], tmp_path / "slurm", ClusterOptions()).submit()
    assert str(error.value) == (
        "SLURM refuses the jobs: No such account; Batch job submission failed"
    )


# Stops itself at the eighth step; submitit runs it, as on a node.
STOPPED = """
import os, sys, torch
from submitit.core.submission import process_job
from xser_brain import brain

start, calls = brain.XSERBrain.on_fit_batch_start, []

def signalled(*args, **kwargs):
    calls.append(1)
    if len(calls) == 8:
        os.kill(os.getpid(), int(sys.argv[2]))
    return start(*args, **kwargs)

brain.XSERBrain.on_fit_batch_start = signalled
torch.set_num_threads(1)
process_job(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("name", "state", "again"),
    [
        ("SIGUSR2", "RUNNING", True),  # its time is up
        pytest.param("SIGUSR1", "RUNNING", True, marks=pytest.mark.slow),
        pytest.param("SIGTERM", "RUNNING", True, marks=pytest.mark.slow),
        # Cancelled, or queued again by SLURM.
        pytest.param("SIGTERM", "COMPLETING", False, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_queues_again(
    name, state, again, commands, argv, python, tmp_path
):
    """What a node does, but for SLURM's own commands."""
    number = getattr(signal, name)
    commands.write("scontrol", 'echo "$@" >> told')
    run = cluster.Task("a", tuple(argv(tmp_path / "results")), tmp_path / "a.log")
    SlurmJobs([run], tmp_path / "slurm", ClusterOptions()).submit()
    commands.write("squeue", f"echo {state}")
    env = {"SLURM_JOB_ID": "1", "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_NODELIST": "n"}
    ended = python(STOPPED, str(home(tmp_path)), str(int(number)), **env)
    assert ended.returncode, ended.stderr
    assert f"stopped by {name}" in ended.stderr
    assert commands.lines("told") == (["requeue 1"] if again else [])
    saved = list((tmp_path / "results").rglob("CKPT.yaml"))
    assert any("step: 8" in path.read_text() for path in saved)


# --- A stranger's grid that is continued


class Code:
    """What runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def stranger(tmp_path):
    """Results whose every pickle makes a folder when it is read; and that folder."""
    ran = tmp_path / "ran"
    folder = tmp_path / "slurm"
    folder.mkdir()
    job = {"array": "xser-0123abcd", "index": 0, "argv": ["recipe.yaml"], "id": "1"}
    (folder / "jobs.json").write_text(json.dumps({"a": job}))
    for place in (folder, folder / "xser-0123abcd"):
        place.mkdir(exist_ok=True)
        for name in ("1_0_result.pkl", "1_submitted.pkl", "1_0_0_result.pkl"):
            (place / name).write_bytes(pickle.dumps(Code(ran)))
    return ran


def test_no_pickle_of_a_results_folder_is_opened(commands, stranger, tmp_path):
    jobs = SlurmJobs([task(tmp_path)], tmp_path / "slurm", ClusterOptions())
    assert jobs.poll() == {"a": "failed"}
    commands.list({("xser-0123abcd", "1"): "RUNNING"})
    jobs.submit()
    assert jobs.poll() == {"a": "running"}
    commands.list({})
    assert jobs.poll() == {"a": "failed"}
    assert not stranger.exists()


def test_nodes_open_only_what_was_submitted(commands, stranger, tmp_path):
    """As SLURM would start it: of job 1, for which a pickle lies about already."""
    SlurmJobs([task(tmp_path)], tmp_path / "slurm", ClusterOptions()).submit()
    command = script_of(tmp_path).splitlines()[-1]
    environment = {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
    done = subprocess.run(
        ["sh", "-c", f"export SUBMITIT_EXECUTOR=slurm; {command}"],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "no recipe recipe.yaml" in done.stderr
    assert not stranger.exists()
    assert os.stat(home(tmp_path)).st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "change",
    [
        {"array": "../../x"},
        {"array": 7},
        {"index": -1},
        {"index": "0"},
        {"id": "../1"},
        {"id": 1},
        {"argv": "recipe.yaml"},
        {"argv": [1]},
    ],
)
def test_damaged_list_of_jobs_is_one_line(commands, submitted, tmp_path, change):
    jobs = record(tmp_path)
    jobs["a"] |= change
    (tmp_path / "slurm/jobs.json").write_text(json.dumps(jobs))
    with pytest.raises(UserError, match="jobs.json.*is damaged.*: delete it"):
        SlurmJobs([task(tmp_path)], tmp_path / "slurm", ClusterOptions())


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "[" * 9999, '{"a": {}}'])
def test_what_is_no_list_of_jobs_is_one_line(commands, submitted, tmp_path, text):
    (tmp_path / "slurm/jobs.json").write_text(text)
    with pytest.raises(UserError, match="jobs.json.*is damaged"):
        SlurmJobs([task(tmp_path)], tmp_path / "slurm", ClusterOptions())


def test_no_line_of_a_script_comes_from_a_path(commands, tmp_path):
    folder = tmp_path / "a\n#SBATCH --uid=0\ntouch ran\n/slurm"
    with pytest.raises(UserError, match="cannot stand in a job's script"):
        SlurmJobs([task(tmp_path)], folder, ClusterOptions())
    options = ClusterOptions(partition="a\ntouch ran")
    with pytest.raises(UserError, match="cannot stand in a job's script"):
        SlurmJobs([task(tmp_path)], tmp_path / "slurm", options)


# --- On a real SLURM

# At its second checkpoint a run waits for the file GO: it has something to go on from,
# and cannot have finished. Asked to stop, it waits no longer; once SLURM has taken it
# back, not again.
PAUSE = f"""
import os, sys, time

def pause(event, args):
    global seen
    if event != "os.rename":
        return
    if os.path.basename(os.fspath(args[0])).startswith("{UNFINISHED}CKPT"):
        seen += 1
        stopping = sys.modules["xser_brain.training.stopping"]
        while seen == 2 and not os.path.exists(os.environ["GO"]):
            if stopping.asked():
                break
            time.sleep(0.05)

seen = 0
if "SLURM_RESTART_COUNT" not in os.environ:
    sys.addaudithook(pause)
"""
RUNS = [("proposed", 1), ("proposed", 2), ("baseline1", 1), ("without_supcon", 1)]


@pytest.fixture(scope="module")
def node():
    if slurm.missing():
        pytest.skip(
            f"no {' and no '.join(slurm.missing())}: apt-get install slurm-wlm munge"
        )
    with slurm.single_node():
        yield


def wait(condition, explain=str):
    """Wait for something, ten minutes at most."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.2)
    pytest.fail(explain())


class Grid:
    """Runs on the node, which wait halfway until they are let go."""

    def __init__(self, folder, argv, runs=(), other=(), **options):
        self.folder = folder
        self.go = folder / "go"
        folder.joinpath("hook").mkdir(parents=True)
        folder.joinpath("hook/sitecustomize.py").write_text(PAUSE)
        self.tasks = list(other)
        for system, seed in runs:
            changes = {"system": system, "seed": seed}
            args = tuple(argv(folder / "results", **changes))
            self.tasks.append(task(folder, f"{system}/{seed}", *args))
        setup = f"export GO={self.go} PYTHONPATH={folder / 'hook'}"
        self.options = ClusterOptions(setup=(setup,), **options)

    def open(self):
        """The jobs, as another process would find them."""
        return SlurmJobs(self.tasks, self.folder / "slurm", self.options)

    def run(self, name):
        """The folder of a run."""
        system, seed = name.split("/")
        return self.folder / f"results/ravdess_to_emodb/{system}/ecapa/{seed}"

    def log(self, name):
        """What a task has said so far."""
        path = self.folder / f"logs/{name}.log"
        return path.read_text() if path.exists() else ""

    def wait(self, condition):
        """Wait, and tell what the tasks have said if it is in vain."""
        wait(condition, lambda: "\n".join(self.log(t.name) for t in self.tasks))

    def wait_halfway(self):
        """Until all runs have a checkpoint."""
        self.wait(
            lambda: all(any(self.run(t.name).glob("save/CKPT*")) for t in self.tasks)
        )

    def wait_for_restart(self, name):
        """Not for the two minutes for which SLURM lets a job lie that it took back."""
        job = record(self.folder)[name]["id"]
        command = ["scontrol", "update", f"JobId={job}", "StartTime=now"]

        def restarted():
            subprocess.run(command, capture_output=True)  # refused until it lies there
            return self.log(name).count("Starting with JobEnvironment") > 1

        self.wait(restarted)


def in_queue():
    command = ["squeue", "--noheader", "--array", "--format=%i"]
    return set(subprocess.check_output(command, text=True).splitlines())


@pytest.fixture(scope="module")
def late(node, argv, tmp_path_factory):
    """Runs of three minutes at most, submitted before all else; they are not pushed out.

    In one grid they may begin again, in the other only once.
    """
    grids = []
    for requeues, run, other in (
        (3, RUNS[0], [("mistake", "nowhere.yaml")]),
        (0, RUNS[2], []),
    ):
        folder = tmp_path_factory.mktemp("late")
        others = [task(folder, *args) for args in other]
        options = {"partition": "urgent", "time": 3, "requeues": requeues}
        grids.append(Grid(folder, argv, [run], others, **options))
        grids[-1].open().submit()
    return grids


@pytest.fixture(scope="module")
def predictions(argv, finished, tmp_path_factory):
    """What the runs predict that nothing interrupts, by name."""
    found = {"proposed/1": (finished / "predictions.csv").read_bytes()}
    results = tmp_path_factory.mktemp("here")
    for system, seed in RUNS[1:]:
        assert main(argv(results, system=system, seed=seed)) == 0
        run = results / f"ravdess_to_emodb/{system}/ecapa/{seed}"
        found[f"{system}/{seed}"] = (run / "predictions.csv").read_bytes()
    return found


def test_refusal_has_the_words_of_slurm(node, tmp_path):
    options = ClusterOptions(partition="nowhere")
    with pytest.raises(UserError) as error:
        SlurmJobs([task(tmp_path)], tmp_path / "slurm", options).submit()
    assert "invalid partition specified: nowhere" in str(error.value)
    assert "\n" not in str(error.value)


def test_as_many_at_once_as_allowed_until_all_are_cancelled(node, tmp_path):
    tasks = [task(tmp_path, name) for name in "abc"]
    options = ClusterOptions(time=10, parallel=2, setup=("sleep 100",))
    jobs = SlurmJobs(tasks, tmp_path / "slurm", options)
    jobs.submit()
    wait(lambda: list(jobs.poll().values()) == ["running", "running", "waiting"])
    jobs.cancel()
    wait(lambda: set(jobs.poll().values()) == {"failed"})
    assert not in_queue()


@pytest.mark.slow
def test_interrupted_tasks_go_on(late, argv, tmp_path, predictions, caplog):
    """Pre-empted, requeued and killed tasks predict what the uninterrupted ones do."""
    grid = Grid(tmp_path, argv, RUNS, time=60, gpus=1)
    names = {t.name for t in grid.tasks}
    jobs = grid.open()
    assert set(jobs.submit()) == names
    grid.wait_halfway()
    assert set(jobs.poll().values()) == {"running"}

    # Who submitted is stopped and started again.
    before = in_queue()
    jobs = grid.open()
    assert jobs.submit() == []
    assert in_queue() == before

    # All four GPUs are in use, so that one task has to give way.
    urgent = ["sbatch", "--partition=urgent", "--gpus-per-node=1", "--wrap=true"]
    subprocess.run([*urgent, "--output=/dev/null"], check=True)
    grid.wait(lambda: "waiting" in jobs.poll().values())
    (preempted,) = (name for name, state in jobs.poll().items() if state == "waiting")
    assert "DUE TO PREEMPTION" in grid.log(preempted)
    requeued, killed, _ = sorted(names - {preempted})
    subprocess.run(
        ["scontrol", "requeue", record(tmp_path)[requeued]["id"]], check=True
    )
    array, _, index = record(tmp_path)[killed]["id"].partition("_")
    (process,) = slurm.processes(
        SLURM_CONF=os.environ["SLURM_CONF"],
        SLURM_ARRAY_JOB_ID=array,
        SLURM_ARRAY_TASK_ID=index,
    )
    os.kill(process, signal.SIGKILL)
    grid.wait(lambda: jobs.poll()[killed] == "failed")
    assert "ended as FAILED" in caplog.text

    # What SLURM stopped is in the queue; what died is submitted again.
    assert not list(tmp_path.rglob("run.json"))
    jobs = grid.open()
    assert jobs.submit() == [killed]
    grid.go.touch()
    for name in (preempted, requeued):
        grid.wait_for_restart(name)
    grid.wait(lambda: set(jobs.poll().values()) == {"done"})
    for name in names:
        assert (grid.run(name) / "predictions.csv").read_bytes() == predictions[name]
        resumed = "going on from step" in grid.log(name).partition(": validation")[0]
        assert resumed == (name == killed)  # its log is that of its second job


@pytest.mark.slow
def test_mistake_has_failed(late):
    grid, _ = late
    grid.wait(lambda: grid.open().poll()["mistake"] == "failed")
    assert grid.log("mistake").splitlines()[-1].startswith("error: no recipe nowhere")


@pytest.mark.slow
def test_time_out(late, predictions):
    """A task goes on after its time is up, but not for ever."""
    grid, last = late
    grid.wait(lambda: "Requeued job" in grid.log("proposed/1"))
    grid.wait_for_restart("proposed/1")
    last.wait(lambda: last.open().poll() == {"baseline1/1": "failed"})
    assert "timed-out too many times" in last.log("baseline1/1").splitlines()[-1]
    grid.wait(lambda: grid.open().poll()["proposed/1"] == "done")
    log = grid.log("proposed/1")
    assert "going on from step" in log.partition("Requeued job")[2]
    written = (grid.run("proposed/1") / "predictions.csv").read_bytes()
    assert written == predictions["proposed/1"]


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on(node, argv, tmp_path):
    """Both are stopped, queued again and go on as two that nobody stopped."""
    grid = Grid(tmp_path / "slurm", argv, RUNS[:1], time=30, processes=2)
    (one,) = grid.tasks
    grid.tasks = [replace(one, argv=(*one.argv, "--processes=2"))]
    jobs = grid.open()
    jobs.submit()
    assert "--cpus-per-task=2" in script_of(
        grid.folder, record(grid.folder)[one.name]["id"]
    )
    grid.wait_halfway()
    grid.go.touch()
    job = record(grid.folder)[one.name]["id"]
    subprocess.run(["scontrol", "requeue", job], check=True)
    grid.wait_for_restart(one.name)
    grid.wait(lambda: jobs.poll() == {one.name: "done"})
    here = argv(tmp_path / "here", system="proposed", seed=1)
    command = [sys.executable, "-m", "xser_brain", "train", *here, "--processes=2"]
    subprocess.run(command, check=True, capture_output=True)
    (expected,) = (tmp_path / "here").rglob("predictions.csv")
    found = grid.run(one.name) / "predictions.csv"
    assert found.read_bytes() == expected.read_bytes()
