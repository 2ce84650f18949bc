"""Packages that do not fit end in one line, exit code 2; those that do pass unseen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import packaging
import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = str(Path(packaging.__file__).parents[1])
OURS = ["numpy>=2", "torch<2.15,>=2.11", "torchaudio>=2.11", "transformers>=4.48"]
FITTING = {
    "xser-brain": ("0.1.0", OURS),
    "numpy": ("2.4.6", []),
    "torch": ("2.14.1", ["numpy>=9; extra == 'all'"]),
    "torchaudio": ("2.11.0", []),
    "transformers": ("5.24.0", ["numpy>=1.17", "NumPy<2; python_version < '3'"]),
}


@pytest.fixture
def checkout(tmp_path):
    """Our packages, beside others that are nothing but metadata and version.py."""
    shutil.copytree(ROOT / "data_prep", tmp_path / "data_prep")
    (tmp_path / "xser_brain").mkdir()
    shutil.copy(ROOT / "xser_brain/__init__.py", tmp_path / "xser_brain")

    def write(packages=FITTING, torch_cuda="'13.0'", build="+cu130", library=True):
        for name, (version, requires) in packages.items():
            info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir()
            lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
            lines += [f"Requires-Dist: {line}" for line in requires]
            (info / "METADATA").write_text("\n".join(lines) + "\n\nRequires-Dist: text")
        for name, text in {
            "torch": f"cuda: Optional[str] = {torch_cuda}\nhip: Optional[str] = None\n",
            "torchaudio": "",
        }.items():
            if name in packages:
                version = packages[name][0]
                local = build if name == "torchaudio" else ""
                folder = tmp_path / name
                (folder / "lib").mkdir(parents=True)
                (folder / "__init__.py").write_text("raise AssertionError('imported')")
                text = f"from x import y\n__version__ = '{version}{local}'\n{text}"
                (folder / "version.py").write_text(text)
        if library and "torchaudio" in packages:
            (tmp_path / "torchaudio/lib/_torchaudio.so").touch()
        return tmp_path

    return write


def starts(folder: Path, package: str) -> subprocess.CompletedProcess:
    """Import a package where only it, its neighbours and `packaging` are to be had."""
    code = (
        f"import sys; sys.path.append({SITE!r}); import packaging.requirements; "
        f"sys.path.pop(); import {package}"
    )
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


def refusal(folder: Path, package: str = "data_prep") -> str:
    result = starts(folder, package)
    assert result.returncode == 2, result
    assert result.stderr.count("\n") == 1 and result.stdout == ""
    return result.stderr.strip()


@pytest.mark.parametrize("package", ["data_prep", "xser_brain"])
@pytest.mark.parametrize("packages", [FITTING, {}], ids=["all", "none"])
def test_what_fits_passes_unseen(checkout, package, packages):
    result = starts(checkout(packages), package)
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "")


@pytest.mark.parametrize("package", ["data_prep", "xser_brain"])
def test_what_we_cannot_work_with_is_named(checkout, package):
    folder = checkout({**FITTING, "torch": ("2.15.0", [])}, torch_cuda="'13.2'")
    assert refusal(folder, package) == (
        "error: torch 2.15.0 (CUDA 13.2) does not fit torchaudio 2.11.0+cu130 (CUDA "
        "13.0): "
        "pip install --force-reinstall 'torch<2.15,>=2.11' 'torchaudio>=2.11'"
    )


def test_two_of_ours_that_do_not_fit_each_other_are_named(checkout):
    needs = ["numpy<2.4,>=2", "tokenizers>9"]
    folder = checkout({**FITTING, "transformers": ("4.50.0", needs)})
    assert refusal(folder) == (
        "error: numpy 2.4.6 does not fit transformers 4.50.0, which needs "
        "numpy<2.4,>=2: pip install --upgrade 'numpy>=2' 'transformers>=4.48'"
    )


def test_a_checkout_proposes_the_tested_set(checkout):
    folder = checkout({**FITTING, "numpy": ("1.26.4", [])})
    (folder / "constraints.txt").touch()
    assert refusal(folder).endswith(
        f"pip install --upgrade -c {folder.resolve()}/constraints.txt 'numpy>=2'"
    )


@pytest.mark.parametrize(
    ("version", "build", "torch_cuda", "fits"),
    [
        ("2.11.0", "+cu130", "'13.0'", True),
        ("2.11.0", "+cu130", "'13.2'", False),
        ("2.11.1", "+cu130", "'13.2'", True),
        ("2.11.1", "+cu130", "'12.8'", False),
        ("2.11.0", "+cu130", "None", False),
        ("2.11.0", "+cpu", "'13.0'", True),
        ("2.11.0", "", "None", True),
    ],
)
def test_torch_and_torchaudio_are_of_one_cuda(
    checkout, version, build, torch_cuda, fits
):
    packages = {"torch": ("2.14.1", []), "torchaudio": (version, [])}
    folder = checkout(packages, torch_cuda, build)
    if fits:
        assert starts(folder, "data_prep").returncode == 0
    else:
        cuda = "no CUDA" if torch_cuda == "None" else f"CUDA {torch_cuda[1:-1]}"
        assert refusal(folder) == (
            f"error: torch 2.14.1 ({cuda}) does not fit torchaudio {version}{build} "
            "(CUDA 13.0): pip install --force-reinstall torch torchaudio"
        )


def test_torchaudio_without_its_library_takes_any_torch(checkout):
    folder = checkout(torch_cuda="'13.2'", library=False)
    assert starts(folder, "data_prep").returncode == 0
