"""Keys of runs whose encoder adapts: those that spare memory or time."""

import csv

import pytest

from xser_brain.cli.train import main


@pytest.mark.parametrize("key", ["gradient_checkpointing", "compile_encoder"])
@pytest.mark.parametrize("encoder", ["ecapa", "wav2vec2"])
def test_what_is_for_encoders_that_adapt(
    key, encoder, argv, complaint, small_encoder, tmp_path
):
    changes = {"encoder": encoder, key: True}
    if encoder == "wav2vec2":
        changes["encoder_source"] = small_encoder("wav2vec2")
    line = complaint(argv(tmp_path, **changes))
    assert f"--{key}=True is for encoders that adapt: pass --adaptation=lora" in line


def test_a_run_with_checkpointing_is_the_run(argv, small_encoder, tmp_path):
    """The same predictions, and so the same identity: it is not run a second time."""
    changes = {
        "encoder": "wav2vec2",
        "encoder_source": small_encoder("wav2vec2"),
        "adaptation": "lora",
        "steps": 3,
    }
    assert main(argv(tmp_path / "plain", **changes)) == 0
    changes["gradient_checkpointing"] = True
    assert main(argv(tmp_path / "checkpointed", **changes)) == 0
    [plain], [checkpointed] = (
        list((tmp_path / how).rglob("predictions.csv"))
        for how in ("plain", "checkpointed")
    )
    assert plain.read_bytes() == checkpointed.read_bytes()
    written = plain.stat().st_mtime_ns
    assert main(argv(tmp_path / "plain", **changes)) == 0
    assert plain.stat().st_mtime_ns == written


def test_speechbrains_own_switch(argv, complaint, tmp_path):
    """It decides on a result, and nothing would tell so."""
    assert "use --compile_encoder=True" in complaint([*argv(tmp_path), "--compile"])


@pytest.mark.slow
def test_a_compiled_run(argv, small_encoder, tmp_path):
    """It trains, is scored, and comes near the plain one."""
    changes = {
        "encoder": "wav2vec2",
        "encoder_source": small_encoder("wav2vec2"),
        "adaptation": "lora",
        "steps": 3,
    }
    found = []
    for compiled in (False, True):
        folder = tmp_path / str(compiled)
        assert main(argv(folder, **changes, compile_encoder=compiled)) == 0
        [path] = folder.rglob("predictions.csv")
        with path.open(encoding="utf-8", newline="") as stream:
            found.append([*csv.DictReader(stream)])
    names = [name for name in found[0][0] if name.startswith("p_")]
    assert names
    for plain, compiled in zip(*found, strict=True):
        assert plain["ID"] == compiled["ID"]
        for name in names:
            assert float(compiled[name]) == pytest.approx(float(plain[name]), abs=1e-4)
