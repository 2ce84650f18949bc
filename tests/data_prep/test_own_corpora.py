"""Corpora in a folder of one's own: known to all commands, and harmless when broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep import scaffold
from data_prep.manifest import read

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """The folder, with one corpus in it."""
    folder = tmp_path / "own"
    monkeypatch.setenv("XSER_CORPORA", str(folder))
    scaffold.new("mine", "sw", root=tmp_path)
    return folder


@pytest.fixture
def call(tmp_path):
    """Run Python in an empty folder, with the packages of this checkout."""
    place = tmp_path / "empty"
    place.mkdir()

    def run(*args, **env) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", *map(str, args)],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            capture_output=True,
            text=True,
        )

    return run


def test_all_commands_know_it(own, call, tone, tmp_path):
    tone(tmp_path / "corpora/mine/s01/s01_anger_01.wav")
    done = call("data_prep", "list", "--format=csv")
    assert "\nmine,sw,mine," in done.stdout
    assert "\nemodb,de," in done.stdout
    assert not done.stderr
    done = call("data_prep", "check", "mine", f"--data_root={tmp_path}/corpora")
    assert f"{own}/mine.py:1: " in done.stdout
    assert "all 1 files decode" in done.stdout
    done = call(
        "data_prep", "prepare", "--all", f"--data_root={tmp_path}/corpora",
        f"--save_folder={tmp_path}/manifests",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = read(tmp_path / "manifests/mine.csv")
    assert (row.corpus, row.emotion) == ("mine", "angry")
    done = call("xser_brain", "new", "--source", "mine", "--target", "emodb")
    assert done.returncode == 0, done.stderr
    assert "sw_de/hparams/mine_to_emodb.yaml" in done.stdout


def test_its_test_needs_nothing_but_pytest(own, call):
    """None of this project's fixtures and settings."""
    done = call("pytest", "-q", own / "test_mine.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    broken = (own / "mine.py").read_text().replace('"anger": "angry"', '"anger": "sad"')
    (own / "mine.py").write_text(broken)
    done = call("pytest", "-q", own / "test_mine.py")
    assert "1 failed" in done.stdout


def _title(name: str) -> str:
    from data_prep import corpus

    return corpus.get(name).title


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_are_started_know_it(own, method):
    """As runs of a grid are."""
    script = (
        "import multiprocessing as m, test_own_corpora as t\n"
        f"if __name__ == '__main__':\n"
        f"    with m.get_context('{method}').Pool(1) as pool:\n"
        "        print(pool.apply(t._title, ('mine',)))\n"
    )
    path = own.parent / "start.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, path],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "mine\n", done.stderr


def test_nothing_in_the_current_folder_is_run(call, tmp_path):
    text = "open('it_ran', 'w')"
    for name in ("mine.py", ".xser/corpora/mine.py", "corpora/mine.py"):
        path = tmp_path / "empty" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = call("data_prep", "list", HOME=str(tmp_path), XSER_CORPORA="")
    assert done.returncode == 0
    assert "mine" not in done.stdout
    assert not (tmp_path / "empty/it_ran").exists()


WRONG = {
    "syntax": ("CORPUS = (", "SyntaxError"),
    "fails": ("1 / 0", "ZeroDivisionError: division by zero"),
    "ends": ("raise SystemExit('no\\nmore')", "SystemExit: no more"),
    "lacks": ("import no_such_module", "No module named 'no_such_module'"),
    "empty": ("", "has no attribute 'CORPUS'"),
    "other": ("CORPUS = 3", "'int' object has no attribute 'name'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_no_corpus(own, call, name, tmp_path):
    text, reason = WRONG[name]
    path = own / f"{name}.py"
    path.write_text(text)
    done = call("data_prep", "list")
    assert done.returncode == 0
    assert "\nmine " in done.stdout
    (line,) = done.stderr.splitlines()
    assert f"{path} is no corpus (" in line
    assert reason in line
    where = f"--data_folder={tmp_path}"
    done = call("data_prep", "check", name, where)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path} is no corpus (")
    # It is no matter of other corpora, but may be why one is not known.
    done = call("data_prep", "check", "emodb", where)
    assert str(path) not in done.stdout + done.stderr
    done = call("data_prep", "check", "nobody", where)
    assert str(path) in done.stderr


@pytest.mark.parametrize("file", ["emodb.py", "again.py"])
def test_a_name_that_is_taken(own, call, file, tmp_path):
    """By a corpus of the package, or by another of one's own."""
    taken = Path(file).stem if file == "emodb.py" else "mine"
    own.joinpath(file).write_text((own / "mine.py").read_text())
    done = call("data_prep", "list", "--format=csv")
    assert done.stdout.count(f"\n{taken},") == 1
    second = own / ("mine.py" if file == "again.py" else file)
    assert f"{second}: the name {taken} is taken" in done.stderr
    done = call("data_prep", "check", taken, f"--data_folder={tmp_path}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {second}: the name {taken} is taken")


def test_a_manifest_does_not_stand_in_for_a_broken_file(own, call, tmp_path):
    """One that was prepared while the file was sound must not be trained on unseen."""
    (own / "mine.py").write_text("1 / 0")
    (tmp_path / "mine.csv").write_text("ID\n")
    code = f"from data_prep import exchange; exchange.lookup('mine', '{tmp_path}')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert "UserError" in done.stderr
    assert f"{own}/mine.py is no corpus" in done.stderr
