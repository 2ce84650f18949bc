"""Under torchrun: a run of several processes is the run of one, to rounding."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("gradients_of.py")
KINDS = {
    "ecapa": {"encoder": "ecapa"},
    "cached": {"encoder": "wav2vec2"},
    "lora": {"encoder": "wav2vec2", "adaptation": "lora", "lora_rank": 2},
}

# In single precision some steps of ECAPA differ by 1e-3: an activation is next to zero.
DOUBLE = {"ecapa": "1", "cached": "", "lora": ""}


@pytest.fixture(scope="module")
def launch(argv, tmp_path_factory, small_encoder):
    """Train in so many processes: the run's folder, and the gradients of its steps."""
    done = {}

    def launch(
        kind: str, processes: int, follow: tuple[str, ...] = (), steps: int = 50
    ):
        key = kind, processes, follow, steps
        if key not in done:
            folder = tmp_path_factory.mktemp(f"{kind}{processes}")
            changes = {**KINDS[kind], "steps": steps, "validate_every": steps // 2}
            if kind != "ecapa":
                changes["encoder_source"] = small_encoder("wav2vec2")
            start = [sys.executable]
            if processes > 1:
                start += ["-m", "torch.distributed.run", "--standalone"]
                start += [f"--nproc_per_node={processes}"]
            options = argv(folder, **changes)
            if processes > 1:
                options.append("--distributed_backend=gloo")
            found = subprocess.run(
                [
                    *start,
                    SCRIPT,
                    folder / "gradients.pt",
                    *follow,
                    *options,
                ],
                capture_output=True,
                text=True,
                timeout=300,
                env={**os.environ, "OMP_NUM_THREADS": "1", "DOUBLE": DOUBLE[kind]},
            )
            assert found.returncode == 0, found.stderr[-9000:]
            [run] = folder.glob("*/*/*/1")
            done[key] = run, folder / "gradients.pt"
        return done[key]

    return launch


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("processes", [2, 3])
def test_fifty_steps_are_those_of_one_process(kind, processes, launch):
    one, expected = launch(kind, 1)
    many, found = launch(kind, processes, (f"--follow={expected}",))
    found, expected = (
        torch.load(file, weights_only=True) for file in (found, expected)
    )
    assert len(found) == len(expected) >= 50
    for ours, theirs in zip(found, expected, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    curves = [
        [float(x) for x in re.findall(r"loss: ([\d.e+-]+)", log.read_text())]
        for log in (one / "train_log.txt", many / "train_log.txt")
    ]
    assert len(curves[0]) == 4  # training and validation, twice
    assert curves[0] == pytest.approx(
        curves[1], rel=1e-3
    )  # as many digits as are logged
