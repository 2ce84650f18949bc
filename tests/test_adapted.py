"""recipes/adapted.sh, on real corpora and a small encoder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from xser_brain.artefacts import read_run

SCRIPT = Path(__file__).parents[1] / "recipes/adapted.sh"
SIZES = {
    "d_model": 32, "encoder_layers": 6, "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64, "decoder_layers": 1, "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32, "num_mel_bins": 80, "vocab_size": 200, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3,
    "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip
SMALL = ("--seeds", "1", "--systems", "baseline2", "--steps=2", "--validate_every=1",
         "--warmup=1", "--noprogressbar")  # fmt: skip


@pytest.fixture
def shell(tmp_path):
    def run(*args):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", SCRIPT, *args], cwd=tmp_path, capture_output=True, text=True,
            timeout=600, env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return run


def test_it_says_what_it_needs(shell):
    done = shell()
    assert done.returncode == 2
    assert "Needs: RAVDESS" in done.stderr and "Leaves: results/adapted" in done.stderr


@pytest.mark.slow
def test_all_of_it(shell, restored, tmp_path):
    torch.manual_seed(5)
    source = tmp_path / "encoder"
    WhisperModel(WhisperConfig(**SIZES)).save_pretrained(source)
    WhisperFeatureExtractor().save_pretrained(source)
    for _ in range(2):  # given again, it does nothing again
        done = shell(str(restored), *SMALL, f"--encoder_source={source}")
        assert done.returncode == 0, done.stderr[-3000:]
    for target in ("emodb", "urdu"):
        run = Path(f"results/adapted/ravdess_to_{target}/baseline2/whisper-lora/1")
        told = read_run(tmp_path / run)
        robust = (
            tmp_path / f"results/adapted_robust/ravdess_to_{target}/robust/whisper/1"
        )
        own = read_run(robust)
        heard = own["encoder"]["adapted_on"]
        assert heard == told["audit"]["training"]["corpora"] and target not in heard
        assert own["zero_shot"]
    assert (tmp_path / "results/adapted/tables").is_dir()
    assert (tmp_path / "results/adapted/tables/robust").is_dir()
