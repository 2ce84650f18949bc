"""``new``: what it writes runs, passes its own test, and is said to be unfinished."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_prep import scaffold
from data_prep.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture()
def checkout(tmp_path):
    for place in scaffold.PLACES.values():
        (tmp_path / place).parent.mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("layout", scaffold.LAYOUTS)
@pytest.mark.parametrize("name, language", [("my", "de"), ("a_corpus_of_2026" * 2, "")])
def test_what_it_writes_is_sound_code(checkout, name, language, layout):
    paths = scaffold.new(name, language, checkout, layout)
    assert [path.relative_to(checkout).as_posix() for path in paths] == [
        f"data_prep/corpora/{name}.py",
        f"tests/data_prep/test_{name}.py",
    ]
    config = f"--config={ROOT / 'pyproject.toml'}"
    for command in (["check"], ["format", "--check"]):
        run = [sys.executable, "-m", "ruff", *command, config, *paths]
        done = subprocess.run(run, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_it_runs_as_it_is_and_check_names_what_is_to_do(checkout, tone):
    """In a copy of the package, as a newcomer would run it."""
    for folder in ("data_prep", "tests/data_prep"):
        for source in (ROOT / folder).rglob("*"):
            if source.suffix in (".py", ".txt") and not source.name.startswith("test_"):
                place = checkout / source.relative_to(ROOT)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(source.read_bytes())
    conftest = (ROOT / "tests/conftest.py").read_bytes()
    (checkout / "tests/conftest.py").write_bytes(conftest)
    (checkout / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())

    def run(*args) -> subprocess.CompletedProcess:
        command = [sys.executable, *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, cwd=checkout)

    done = run("-m", "data_prep", "new", "mine", "--language=sw")
    assert done.returncode == 0, done.stderr
    assert "check mine" in done.stdout
    done = run("-m", "pytest", "-q", "tests/data_prep/test_mine.py")
    assert done.returncode == 0, done.stdout
    for layout in ("path", "table"):
        done = run("-m", "data_prep", "new", f"my_{layout}", f"--layout={layout}")
        assert done.returncode == 0, done.stderr
        done = run("-m", "pytest", "-q", f"tests/data_prep/test_my_{layout}.py")
        assert done.returncode == 0, done.stdout
    tone(checkout / "corpora/mine/s01/s01_anger_01.wav")
    done = run("-m", "data_prep", "check", "mine", "--data_root=corpora")
    assert done.returncode == 2
    assert "corpora/mine.py:1: " in done.stdout
    assert "line(s) of mine are to do" in done.stderr
    assert "all 1 files decode" in done.stdout
    done = run("-m", "data_prep", "list", "--format=csv")
    assert "\nmine,sw,mine," in done.stdout
    done = run("-m", "data_prep", "new", "mine")
    assert done.returncode == 2
    assert "there is a corpus mine already" in done.stderr


@pytest.mark.parametrize(
    "name, language, message",
    [
        ("emodb", "", "a corpus emodb already"),
        ("My", "", "cannot name a corpus"),
        ("../x", "", "cannot name a corpus"),
        ("class", "", "cannot name a corpus"),
        ("mine", "german", "no language code"),
    ],
)
def test_it_refuses(checkout, name, language, message):
    with pytest.raises(UserError, match=message):
        scaffold.new(name, language, checkout)
    assert not list(checkout.rglob("*.py"))


@pytest.mark.parametrize(
    "file", ["data_prep/corpora/mine.py", "tests/data_prep/test_mine.py"]
)
def test_it_overwrites_nothing(checkout, file):
    (checkout / file).write_text("precious")
    with pytest.raises(UserError, match="is there already"):
        scaffold.new("mine", root=checkout)
    assert [path.read_text() for path in checkout.rglob("*.py")] == ["precious"]


def test_outside_a_checkout_it_writes_into_a_folder_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XSER_CORPORA", str(tmp_path / "own"))
    paths = [tmp_path / "own/mine.py", tmp_path / "own/test_mine.py"]
    assert scaffold.new("mine", root=tmp_path) == paths
    assert all(path.is_file() for path in paths)
    with pytest.raises(UserError, match="is there already"):
        scaffold.new("mine", root=tmp_path)


def test_the_folder_of_ones_own_is_below_the_home(tmp_path, monkeypatch):
    monkeypatch.delenv("XSER_CORPORA")
    monkeypatch.setenv("HOME", str(tmp_path))
    path, _ = scaffold.new("mine", root=tmp_path)
    assert path == tmp_path / ".xser/corpora/mine.py"


def test_an_account_without_a_home(tmp_path, monkeypatch):
    monkeypatch.delenv("XSER_CORPORA")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no home: set XSER_CORPORA"):
        scaffold.new("mine", root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_language_may_be_told_later(checkout):
    path, _ = scaffold.new("mine", root=checkout)
    assert '    language="xx",  # TODO the ISO 639-1 code\n' in path.read_text()
