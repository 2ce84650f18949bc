"""Grids: what they come to, and that they can be stopped and started at will."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import RECIPE, ROOT, TINY

from data_prep.errors import UserError
from xser_brain.cli import main
from xser_brain.grids import grid
from xser_brain.grids.cluster import Task
from xser_brain.protocol import PAPER_SETTINGS
from xser_brain.reports.paper import paper_systems
from xser_brain.training.hparams import parse_arguments
from xser_brain.training.spec import settle

GRIDS = (
    "paper.yaml",
    "tuning.yaml",
    "cameo.yaml",
    "leave_one_out/ablation.yaml",
    "leave_one_out/adapted.yaml",
    "leave_one_out/grid.yaml",
    "leave_one_out/robust.yaml",
)


@pytest.fixture
def write(tmp_path):
    """Write a grid's YAML."""

    def write(text: str) -> Path:
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return path

    return write


TAKEN = ("--results", "--steps", "--warmup")


def options(standins: Path, results: Path, **changes) -> list[str]:
    values = {"data_root": standins, **TINY, **changes}
    return [f"--results={results}", *(f"--{k}={v}" for k, v in values.items())]


def two_systems(seeds: str = "[1]") -> str:
    return f"recipes: [{RECIPE}]\nsystems: [baseline1, proposed]\nseeds: {seeds}\n"


def test_the_papers_grid_is_table_1():
    import ruamel.yaml

    chosen = grid.read(ROOT / "recipes/paper.yaml")
    found = []
    for recipe, changes in chosen.recipes:
        lines = [x for x in recipe.read_text().splitlines() if "!include" not in x]
        tree = ruamel.yaml.YAML(typ="safe").load("\n".join(lines[:8]))
        found.append(settle({**tree, **changes}))
    assert found == list(PAPER_SETTINGS.values())
    assert chosen.systems == paper_systems()


@pytest.mark.parametrize("name", GRIDS)
def test_grids_of_the_recipes_can_be_read(name):
    chosen = grid.read(ROOT / "recipes" / name)
    assert all(recipe.is_file() for recipe, _ in chosen.recipes)


def test_no_target_is_tuned_on():
    targets = {changes["target"] for _, changes in
               grid.read(ROOT / "recipes/tuning.yaml").recipes}  # fmt: skip
    assert not targets & {setting.target for setting in PAPER_SETTINGS.values()}


def test_a_language_left_out_at_a_time(write):
    recipe = ROOT / "recipes/leave_one_out/hparams/leave_one_out.yaml"
    path = write(
        f"leave_one_out:\n  recipe: {recipe}\n  corpora: [urdu, emodb]\nseeds: [3]\n"
    )
    corpora = ["urdu", "emodb"]
    assert grid.read(path).recipes == (
        (recipe, {"corpora": corpora, "target": "urdu"}),
        (recipe, {"corpora": corpora, "target": "emodb"}),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: [a.yaml]", "unknown key 'recipe': there are recipes"),
        ("systems: [proposed]", "either recipes or leave_one_out"),
        ("recipes: [a.yaml]\nleave_one_out: {}", "either recipes or leave_one_out"),
        ("recipes: [a.yaml]", "no recipe .*a.yaml"),
        ("recipes: a.yaml", "recipes must be a list"),
        (f"recipes: [{RECIPE}]\nsystems: [best]", "unknown system 'best'"),
        (f"recipes: [{RECIPE}]\nsystems: [[]]", "system"),
        (f"recipes: [{RECIPE}]\nseeds: [1, 1]", "named twice"),
        (f"recipes: [{RECIPE}]\nseeds: [-1]", "no whole number"),
        (f"recipes: [{RECIPE}]\nseeds: [one]", "no whole number"),
        (f"recipes: [{RECIPE}]\noverrides: [1]", "overrides must be"),
        ("leave_one_out: [urdu]", "leave_one_out must hold"),
        ("leave_one_out: {corpora: [urdu], target: urdu}", "unknown key 'target'"),
        ("- a", "is it a grid"),
        ("a: [", "not sound YAML"),
    ],
)
def test_mistakes_in_a_grid(write, text, message):
    with pytest.raises(UserError, match=message):
        grid.read(write(text))


def test_an_unknown_corpus(write, standins, tmp_path, capsys):
    recipe = ROOT / "recipes/leave_one_out/hparams/leave_one_out.yaml"
    path = write(
        f"leave_one_out: {{recipe: {recipe}, corpora: [emodb, urud]}}\nencoders: [ecapa]"
    )
    call = ["grid", str(path), "--dry_run", *options(standins, tmp_path / "r")]
    assert main([x for x in call if "non_target" not in x]) == 2
    assert "did you mean urdu" in capsys.readouterr().err


def test_no_grid(tmp_path, capsys):
    assert main(["grid", str(tmp_path / "none.yaml")]) == 2
    assert "no grid" in capsys.readouterr().err


def test_no_free_disk(tmp_path, monkeypatch, write, capsys):
    usage = type("Usage", (), {"free": 5e6})
    monkeypatch.setattr(grid.shutil, "disk_usage", lambda path: usage)
    path = write(two_systems())
    assert main(["grid", str(path), f"--results={tmp_path / 'r'}"]) == 2
    assert "5 MB are free" in capsys.readouterr().err


def test_dry_run(write, standins, tmp_path, capsys):
    path = write(two_systems("[1, 2]"))
    call = ["grid", str(path), "--dry_run", *options(standins, tmp_path / "r")]
    assert main(call) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "# 4 to do, 0 finished"
    found = [
        (line.split("--system=")[1].split()[0], line.split("--seed=")[1].split()[0])
        for line in lines[:-1]
    ]
    assert found == [
        ("baseline1", "1"), ("proposed", "1"), ("baseline1", "2"), ("proposed", "2"),
    ]  # fmt: skip
    assert main([*call, "--seeds", "7", "--systems", "upper_bound"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "# 1 to do, 0 finished"
    assert "--system=upper_bound" in lines[0]
    assert "--seed=7" in lines[0]


def test_what_all_runs_share_is_said_once(write, standins, tmp_path, caplog):
    corpora = tmp_path / "corpora"
    shutil.copytree(standins, corpora)
    first, second = sorted((corpora / "ravdess").rglob("*-04-*.wav"))[:2]
    shutil.copyfile(first, second)
    call = ["grid", str(write(two_systems())), "--dry_run"]
    for _ in range(2):
        caplog.clear()
        assert main([*call, *options(corpora, tmp_path / "r")]) == 0
        said = [line for line in caplog.messages if "are one recording" in line]
        assert len(said) == 1


def test_two_cells_in_one_folder(write, standins, tmp_path, capsys):
    other = tmp_path / "hparams/other.yaml"
    other.parent.mkdir()
    text = RECIPE.read_text().replace("../../common", str(ROOT / "recipes/common"))
    other.write_text(text)
    path = write(f"recipes: [{RECIPE}, {other}]\nsystems: [baseline1]\n")
    call = ["grid", str(path), "--dry_run", *options(standins, tmp_path / "r")]
    assert main(call) == 2
    assert "two cells of the grid" in capsys.readouterr().err


def start(path: Path, *args: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "xser_brain", "grid", str(path), "--jobs=2", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def test_a_grid_that_is_stopped_while_it_is_planned_says_so(write, standins, tmp_path):
    """In one line, though two processes are importing."""
    results = tmp_path / "results"
    process = start(write(two_systems()), *options(standins, results))
    while not results.exists():  # the last before it plans
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert output.splitlines()[-1].startswith("stopped by SIGINT")
    assert "Traceback" not in output


def predictions(results: Path) -> dict[str, bytes]:
    return {
        path.parent.relative_to(results).as_posix(): path.read_bytes()
        for path in sorted(results.rglob("predictions.csv"))
    }


def processes(results: Path) -> list[str]:
    """Processes of which a log below ``results`` is open."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if str(results) in target:
            found.append(entry.parts[2])
    return found


@pytest.mark.parametrize("given", [["--steps=5"], ["--steps", "5"]])
def test_the_command_line_outdoes_the_grid(given, write, standins, tmp_path):
    text = two_systems() + "overrides: {steps: 9, warmup: 1}\n"
    rest = [x for x in options(standins, tmp_path) if x.split("=")[0] not in TAKEN]
    planned = grid.plan(grid.read(write(text)), tmp_path, [*rest, *given])
    assert len(planned.tasks) == 2
    for task in planned.tasks:
        values = parse_arguments([*task.argv])[2]
        assert (values["steps"], values["warmup"]) == (5, 1)


def tasks(count: int, folder: Path, *argv: str) -> list[Task]:
    return [Task(f"s/{i}", argv, folder / f"{i}.log") for i in range(count)]


def test_a_gpu_named_thrice_has_three_runs_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {*range(12)})
    jobs = grid.LocalJobs(tasks(5, tmp_path), gpus=["0", "0", "0"])
    assert (jobs.slots, jobs.threads) == (["0"] * 3, 4)
    assert (
        grid.LocalJobs(tasks(5, tmp_path), 2, gpus=["0", "0", "0"]).slots == ["0"] * 2
    )
    two = grid.LocalJobs(tasks(5, tmp_path), gpus=["0", "1", "0", "1"], processes=2)
    assert (two.slots, two.threads) == (["0,1"] * 2, 3)
    with pytest.raises(
        UserError, match="--devices=0,0,1,1 gives a run of 2 processes one"
    ):
        grid.LocalJobs(tasks(5, tmp_path), gpus=["0", "0", "1", "1"], processes=2)


@pytest.mark.slow
def test_three_runs_on_one_gpu(argv, tmp_path, monkeypatch):
    """Each sees it as its only one; a fourth waits for one of them to end."""
    folder = tmp_path / "seen"
    folder.mkdir()
    system = tmp_path / "met.yaml"
    system.write_text(
        "trains_on: all\nobjectives:\n  met: !new:met.Met\n"
        f"    folder: {folder}\n    others: 3\n"
    )
    monkeypatch.syspath_prepend(Path(__file__).with_name("lab"))
    given = argv(tmp_path / "results", system=system)
    jobs = grid.LocalJobs(tasks(4, tmp_path, *given), gpus=["0", "0", "0"])
    planned = grid.Planned(jobs.waiting.copy(), [])
    states = grid.carry_out(planned, jobs)
    found = [path.read_text() for path in folder.iterdir()]
    assert found == ["0"] * 4
    assert set(states.values()) == {grid.FAILED}  # as it is asked to
    for task in planned.tasks:
        assert "met 3 runs" in task.log.read_text()


@pytest.mark.slow
def test_runs_of_a_grid_may_read_ahead(write, standins, tmp_path):
    path = write(two_systems("[1]"))
    straight = start(path, *options(standins, tmp_path, num_workers=2, crop=0.5))
    output, _ = straight.communicate(timeout=600)
    assert straight.returncode == 0, output
    assert "2 runs done" in output


@pytest.mark.slow
def test_killed_grid_ends_with_what_it_would_have_had(write, standins, tmp_path):
    path = write(two_systems("[1, 2]"))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    straight = start(path, *options(standins, whole))
    output, _ = straight.communicate(timeout=600)
    assert straight.returncode == 0, output
    assert "4 runs done, 0 were finished before, 0 failed" in output

    first = start(path, *options(standins, broken))
    while not list(broken.rglob("run.json")):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    deadline = time.monotonic() + 20
    while processes(broken) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes(broken), "runs outlived their grid"
    left = 4 - len(list(broken.rglob("run.json")))
    assert left > 0, "killed too late to show anything"
    second = start(path, *options(standins, broken))
    output, _ = second.communicate(timeout=600)
    assert second.returncode == 0, output
    assert f"{left} runs done, {4 - left} were finished before" in output
    assert predictions(broken) == predictions(whole)
    assert len(predictions(whole)) == 4


@pytest.mark.slow
def test_a_failing_run_stops_no_other(write, standins, tmp_path):
    """One whose folder holds a run with other settings."""
    results = tmp_path / "results"
    path = write(two_systems())
    folder = results / "ravdess_to_emodb/baseline1/ecapa/1"
    folder.mkdir(parents=True)
    (folder / "identity.json").write_text(
        json.dumps({"hparams": {"training.steps": 1}, "protocol": "", "options": {}})
    )
    (folder / "save/CKPT+1").mkdir(parents=True)
    process = start(path, *options(standins, results))
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 2, output
    assert "failed: ravdess_to_emodb/baseline1/ecapa/1" in output
    assert "holds a run with other settings" in output
    assert "1 runs done, 0 were finished before, 1 failed" in output
    assert "error: 1 of 2 runs failed" in output
    assert (results / "ravdess_to_emodb/proposed/ecapa/1/run.json").is_file()
