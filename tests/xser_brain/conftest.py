"""Fixtures for the tests of training: small corpora, tiny runs, small encoders."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models import exported
from small import KINDS, RECIPE, TINY, without_ecapa, write_encoder
from speechbrain.utils.logger import TqdmCompatibleStreamHandler

from data_prep import manifest, standin
from data_prep.manifest import EMOTIONS, Row
from xser_brain.cli.train import main
from xser_brain.inference import Classifier


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums in one order, in this process and in those that it starts."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def own_logging():
    """A run's log handlers, and the streams that they hold, end with the test."""
    hook = sys.excepthook
    yield
    sys.excepthook = hook
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler, logging.FileHandler | TqdmCompatibleStreamHandler):
            logging.getLogger().removeHandler(handler)
            handler.close()


@pytest.fixture(scope="session")
def standins(tmp_path_factory) -> Path:
    """Four corpora of four speakers: en, zh, ur and the target, de."""
    root = tmp_path_factory.mktemp("standins")
    for name in ("ravdess", "esd", "urdu", "emodb"):
        standin.write(name, root / name, speakers=4, sentences=2, progress=False)
    return root


@pytest.fixture(scope="session")
def argv(standins):
    """The command line of a run of seconds; a value of None drops the option."""

    def build(results: Path, **changes) -> list[str]:
        options = {"data_root": standins, "results": results, **TINY, **changes}
        if options.get("encoder", "ecapa") != "ecapa":
            options = without_ecapa(options)
        given = {key: value for key, value in options.items() if value is not None}
        return [
            str(RECIPE),
            "--noprogressbar",
            *(f"--{key}={value}" for key, value in given.items()),
        ]

    return build


@pytest.fixture(scope="session")
def finished(argv, tmp_path_factory) -> Path:
    """The folder of an uninterrupted run of the proposed system, seed 1."""
    results = tmp_path_factory.mktemp("finished")
    assert main(argv(results)) == 0
    return results / "ravdess_to_emodb/proposed/ecapa/1"


@pytest.fixture(scope="session")
def launch(argv, tmp_path_factory, small_encoder):
    """Train in so many processes: the run's folder, and the gradients of its steps."""
    script = Path(__file__).with_name("gradients_of.py")
    done = {}

    def launch(
        kind: str,
        processes: int = 1,
        follow: Path | None = None,
        steps: int = 50,
        options: tuple[str, ...] = (),
        **changes,
    ) -> tuple[Path, Path]:
        key = kind, processes, follow, steps, options, *changes.items()
        if key not in done:
            folder = tmp_path_factory.mktemp(f"{kind}{processes}")
            changes |= {**KINDS[kind], "steps": steps, "validate_every": steps // 2}
            if kind != "ecapa":
                changes["encoder_source"] = small_encoder("wav2vec2")
            start, given = [sys.executable], argv(folder, **changes)
            if processes > 1:
                start += ["-m", "torch.distributed.run", "--standalone"]
                start += [f"--nproc_per_node={processes}"]
                given.append("--distributed_backend=gloo")
            file = folder / "gradients.pt"
            others = [f"--follow={follow}"] if follow else []
            # In single precision some steps of ECAPA differ by 1e-3: an activation is
            # next to zero.
            double = "1" if kind == "ecapa" else ""
            found = subprocess.run(
                [*start, script, file, *others, *given, *options],
                capture_output=True,
                text=True,
                timeout=300,
                env={**os.environ, "OMP_NUM_THREADS": "1", "DOUBLE": double},
            )
            assert found.returncode == 0, found.stderr[-9000:]
            [run] = folder.glob("*/*/*/1")
            done[key] = run, file
        return done[key]

    return launch


@pytest.fixture(scope="session")
def assert_same_gradients():
    """Of two files of ``launch``: those of all steps agree to rounding."""

    def compare(found: Path, expected: Path, least: int) -> None:
        ours, theirs = (torch.load(f, weights_only=True) for f in (found, expected))
        assert len(ours) == len(theirs) >= least
        for step, other in zip(ours, theirs, strict=True):
            for mine, its in zip(step, other, strict=True):
                torch.testing.assert_close(mine, its, atol=1e-5, rtol=1e-4)

    return compare


@pytest.fixture
def complaint(capsys):
    """Run a command line that must be refused; its one line on stderr."""

    def call(args: list[str]) -> str:
        capsys.readouterr()
        assert main([str(arg) for arg in args]) == 2
        error = capsys.readouterr().err
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, error
        assert "Traceback" not in error
        return lines[0]

    return call


@pytest.fixture(scope="session")
def python():
    """Start Python code in a process of its own."""

    def start(
        code: str, *args: str, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", code, *args],
            cwd=cwd,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=170,
        )

    return start


@pytest.fixture(scope="session")
def record():
    """Read a run's run.json."""

    def read(folder: Path) -> dict:
        return json.loads((folder / "run.json").read_text("utf-8"))

    return read


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory):
    """Folders of small encoders with random weights, by family."""
    folders = {}

    def build(family: str, do_normalize: bool = True) -> Path:
        key = family, do_normalize
        if key not in folders:
            folder = tmp_path_factory.mktemp("encoder") / family
            folders[key] = write_encoder(folder, family, do_normalize)
        return folders[key]

    return build


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """An exported ECAPA's folder, and the model in it."""
    return exported(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="session")
def classifier(small):
    """It, ready to be used."""
    return Classifier.from_pretrained(small[0], device="cpu")


@pytest.fixture(scope="session")
def whisper(shared) -> Path:
    """A real pretrained encoder."""
    folder = shared / "models/whisper-base-encoder"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture
def tiny_corpora(tmp_path):
    """Write manifests of small corpora by hand, and empty files for their audio."""

    def build(**languages: str) -> dict[str, list[Row]]:
        corpora = {}
        for name, language in languages.items():
            corpora[name] = [
                Row(
                    ID=f"{name}-{speaker}{emotion}",
                    duration=1.0,
                    wav=f"$data_root/{name}/{speaker}{emotion}.wav",
                    sample_rate=16000,
                    corpus=name,
                    language=language,
                    speaker=f"{name}-{speaker}",
                    emotion=emotion,
                    native_emotion=emotion,
                    split=split,
                )
                for speaker, split in zip(
                    "abcd", ("train", "train", "valid", "test"), strict=True
                )
                for emotion in EMOTIONS
            ]
            for row in corpora[name]:
                path = Path(row.path(tmp_path))
                path.parent.mkdir(exist_ok=True)
                path.touch()
        return corpora

    return build


@pytest.fixture
def write_manifests(tmp_path):
    """Write manifests; paths by corpus name."""

    def write(corpora: dict[str, list[Row]]) -> dict[str, Path]:
        paths = {name: tmp_path / f"manifests/{name}.csv" for name in corpora}
        for name, path in paths.items():
            manifest.write(path, corpora[name], {"corpus": name})
        return paths

    return write


@pytest.fixture(scope="module")
def chromium():
    """A real browser, with a microphone that beeps."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed"
    )
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",
                "--headless=new",
                "--disable-background-networking",
                "--use-fake-device-for-media-stream",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, of a given size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("may not mount a small disk")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)
