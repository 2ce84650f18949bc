"""The temporary files of a grid are gone when it ends, or when the next one starts."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest
from small import ROOT

MAKE = """
import sys
from xser_brain.grids import temporary
print(temporary.folder(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def make(tmp_path):
    """Start a process that makes the folder, and say which it is."""
    started = []

    def make() -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", MAKE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield make
    for process in started:
        process.kill()
        process.communicate()


def test_it_is_gone_when_its_process_ends(make, tmp_path):
    process, folder = make()
    assert [str(path) for path in tmp_path.iterdir()] == [folder]
    assert os.listdir(folder), "Python's own folder is not in it"
    process.communicate("\n")
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())


def test_the_next_removes_what_a_kill_left(make, tmp_path):
    killed, left = make()
    alive, used = make()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert os.path.exists(left)
    _, new = make()
    assert {str(path) for path in tmp_path.iterdir()} == {used, new}
    assert alive.poll() is None


def test_a_link_is_left_alone(make, tmp_path):
    with tempfile.TemporaryDirectory() as other:
        link = tmp_path / "xser-grid-link"
        link.symlink_to(other)
        make()
        assert link.is_symlink()
        assert os.path.isdir(other)
