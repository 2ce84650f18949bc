"""Runs of several processes: how they are started, stopped and continued."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from small import RECIPE
from test_experiment import assert_equal, checkpoints

from xser_brain.cli import main as xser
from xser_brain.cli.train import main
from xser_brain.training import launch, stopping

RUN = Path("ravdess_to_emodb/proposed/ecapa/1")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
TRAIN = [sys.executable, "-m", "xser_brain", "train"]
STEPS = {"steps": 40, "validate_every": 10}


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_processes_that_makes_no_sense(value, argv, complaint, tmp_path):
    line = complaint([*argv(tmp_path), f"--processes={value}"])
    assert f"--processes is {value!r}: set a whole number from 1 on" in line


def test_torchrun_and_processes_exclude_each_other(
    argv, complaint, tmp_path, monkeypatch
):
    monkeypatch.setenv("RANK", "0")
    assert "leave --processes out" in complaint([*argv(tmp_path), "--processes=2"])


def test_number_after_a_space():
    assert launch.split(["--processes", "3", "a.yaml"]) == (3, ["a.yaml"])


# --- With processes


def start(command, **options):
    return subprocess.Popen(
        [str(part) for part in command],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, **options,
    )  # fmt: skip


def end(process, seconds=240):
    """Exit code and stderr."""
    try:
        error = process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"still there after {seconds} s: {process.communicate()[1]}")
    return process.returncode, error


def wait_for_step(run: Path, step: int, process) -> None:
    """Until the log tells of a validation at that step."""
    log = run / "train_log.txt"
    for _ in range(2400):
        if log.exists() and f"step: {step}," in log.read_text():
            return
        if process.poll() is not None:
            pytest.fail(process.communicate()[1])
        time.sleep(0.05)
    pytest.fail(f"no step {step}")


def children(process) -> list[int]:
    """Processes that it has started and that work on the run."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = map(int, path.read_text().split())
    return [
        n for n in found if b"spawn_main" in Path(f"/proc/{n}/cmdline").read_bytes()
    ]


def gone(number: int) -> bool:
    try:
        return (
            Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        )
    except OSError:
        return True


@pytest.fixture(scope="module")
def pair(argv, tmp_path_factory):
    """An undisturbed run of two processes."""
    results = tmp_path_factory.mktemp("pair")
    code, error = end(start([*TRAIN, *argv(results, **STEPS), "--processes=2"]))
    assert code == 0, error
    return results / RUN


def assert_as(folder: Path, pair: Path) -> None:
    assert_equal(checkpoints(folder), checkpoints(pair))
    for name in ("predictions.csv", "train_log.txt"):
        assert (folder / name).read_bytes() == (pair / name).read_bytes(), name


@pytest.mark.slow
def test_as_with_torchrun(pair, argv, tmp_path):
    command = [*TORCHRUN, "--standalone", "--nproc_per_node=2", "-m", "xser_brain"]
    code, error = end(start([*command, "train", *argv(tmp_path, **STEPS)]))
    assert code == 0, error
    assert_as(tmp_path / RUN, pair)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("SIGTERM", "launcher"),
        ("SIGTERM", "all"),
        ("SIGINT", "all"),  # as a terminal does it
        ("SIGUSR1", "one process"),
    ],
)
def test_a_signal_saves_and_the_run_goes_on(name, who, pair, argv, tmp_path):
    number = getattr(signal, name)
    command = [*TRAIN, *argv(tmp_path, **STEPS), "--processes=2"]
    process = start(command, start_new_session=True)
    wait_for_step(tmp_path / RUN, 10, process)
    if who == "all":
        os.killpg(process.pid, number)
    elif who == "launcher":
        os.kill(process.pid, number)
    else:
        os.kill(children(process)[1], number)
    code, error = end(process)
    assert code == 128 + number, error
    assert "Traceback" not in error
    assert len(re.findall("stopped by SIG", error)) == 1
    metas = [yaml.safe_load(p.read_text()) for p in tmp_path.rglob("CKPT.yaml")]
    assert max(meta["step"] for meta in metas) >= 10
    assert end(start(command))[0] == 0
    assert_as(tmp_path / RUN, pair)


@pytest.mark.slow
def test_torchrun_passes_a_signal_on(pair, argv, tmp_path):
    command = [*TORCHRUN, "--standalone", "--nproc_per_node=2", "-m", "xser_brain"]
    command += ["train", *argv(tmp_path, **STEPS)]
    process = start(command, start_new_session=True)
    wait_for_step(tmp_path / RUN, 10, process)
    os.kill(process.pid, signal.SIGTERM)
    _, error = end(process)
    assert "stopped by SIGTERM: the same command goes on from here" in error
    assert end(start(command))[0] == 0
    assert_as(tmp_path / RUN, pair)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["one process", "launcher"])
def test_a_kill(victim, pair, argv, tmp_path):
    command = [*TRAIN, *argv(tmp_path, **STEPS), "--processes=2"]
    process = start(command)
    wait_for_step(tmp_path / RUN, 20, process)
    workers = children(process)
    assert len(workers) == 2
    if victim == "launcher":
        process.kill()
        assert end(process)[0] == -9
    else:
        os.kill(workers[0], signal.SIGKILL)
        code, error = end(process)
        assert code == 2
        # Python may warn of the dead one's semaphores below.
        assert re.search("^error: .*the run goes on where it was saved$", error, re.M)
        assert "Traceback" not in error
    for _ in range(600):
        if all(map(gone, workers)):
            break
        time.sleep(0.1)
    assert all(map(gone, workers))
    assert end(start(command))[0] == 0
    assert_as(tmp_path / RUN, pair)


@pytest.mark.slow
def test_a_mistake_is_one_line(argv, tmp_path):
    argv = argv(tmp_path, data_root=tmp_path / "nowhere")
    code, error = end(start([*TRAIN, *argv, "--processes=2"]))
    assert code == 2
    lines = [line for line in error.splitlines() if "error: " in line]
    assert len(lines) == 1, error
    assert lines[0].startswith("error: ")
    assert "nowhere" in lines[0]
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_mishap_of_one_is_one_line(pair, argv, tmp_path):
    """Said in the process that it befell, and told by the one that started it."""
    command = [*TRAIN, *argv(tmp_path, **STEPS), "--processes=2"]
    process = start(command)
    run = tmp_path / RUN
    wait_for_step(run, 10, process)
    run.rename(tmp_path / "elsewhere")
    code, error = end(process)
    assert code == 2
    assert re.search("^error: .* is not there: .*move it back", error, re.M), error
    assert "Traceback" not in error
    (tmp_path / "elsewhere").rename(run)
    assert end(start(command))[0] == 0
    assert_as(run, pair)


@pytest.mark.slow
def test_another_number_of_processes_is_refused(pair, argv, complaint, tmp_path):
    shutil.copytree(pair.parents[3], tmp_path / "results")
    (tmp_path / "results" / RUN / "run.json").unlink()
    line = complaint(argv(tmp_path / "results", **STEPS))
    assert "processes" in line


@pytest.mark.slow
def test_a_grid_of_runs_of_two_processes(pair, argv, tmp_path, capsys):
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"recipes: [{RECIPE}]\nsystems: [proposed]\n")
    _, *options = argv(tmp_path / "unused", **STEPS)
    options = [o for o in options if not o.startswith(("--results", "--noprogress"))]
    command = ["grid", str(grid), "--results", str(tmp_path / "r"), "--jobs=1"]
    assert xser([*command, "--processes=2", *options]) == 0
    assert_as(tmp_path / "r" / RUN, pair)
    assert xser([*command, "--processes=2", "--dry_run", *options]) == 0
    assert "# 0 to do, 1 finished" in capsys.readouterr().out


# --- Several machines


@pytest.fixture
def machines():
    """Two network namespaces, joined by a cable: commands that run in them."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("may not make network namespaces (root and iproute2 are needed)")
    names = [f"xser{secrets.token_hex(3)}" for _ in range(2)]
    ends = [f"v{name[4:]}" for name in names]
    setup = [
        *(f"netns add {name}" for name in names),
        f"link add {ends[0]} type veth peer name {ends[1]}",
        *(
            command
            for i, name in enumerate(names)
            for command in (
                f"link set {ends[i]} netns {name}",
                f"-n {name} addr add 10.77.0.{i + 1}/24 dev {ends[i]}",
                f"-n {name} link set {ends[i]} up",
                f"-n {name} link set lo up",
            )
        ),
    ]
    try:
        for command in setup:
            done = subprocess.run(
                ["ip", *command.split()], capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"may not make network namespaces: {done.stderr}")
        yield [["ip", "netns", "exec", name] for name in names], ends
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@pytest.mark.slow
def test_two_machines(machines, pair, argv, tmp_path):
    prefixes, ends = machines
    processes = []
    for i, prefix in enumerate(prefixes):
        processes.append(
            start(
                [
                    *prefix,
                    "env",
                    f"GLOO_SOCKET_IFNAME={ends[i]}",
                    *TORCHRUN,
                    "--nnodes=2",
                    "--nproc_per_node=1",
                    f"--node_rank={i}",
                    "--master_addr=10.77.0.1",
                    "--master_port=29511",
                    "-m",
                    "xser_brain",
                    "train",
                    *argv(tmp_path, **STEPS),
                ]
            )  # fmt: skip
        )
    for process in processes:
        code, error = end(process)
        assert code == 0, error
    assert_as(tmp_path / RUN, pair)


def test_signals_of_a_terminal_and_a_launcher_are_one():
    with stopping.heeded(), stopping.saving():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping.asked() == signal.SIGINT


@pytest.mark.slow
def test_runs_without_processes_are_what_they_were(argv, tmp_path, finished):
    assert main([*argv(tmp_path), "--processes=1"]) == 0
    name = "predictions.csv"
    assert (tmp_path / RUN / name).read_bytes() == (finished / name).read_bytes()
