"""Changed recordings: what is drawn does what it says, and nothing else."""

import numpy as np
import pytest

from data_prep.errors import UserError
from xser_brain.data.conditions import Conditions, coloured, impulse_response

NOTHING = {
    "trim": 0, "octaves": 0, "equaliser": 0, "low_pass": 0, "high_pass": 0, "room": 0,
    "noise": 0,
}  # fmt: skip


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.3 * np.sin(
        2 * np.pi * hertz * np.arange(round(seconds * 16000)) / 16000
    ).astype(np.float32)


def change(waveform: np.ndarray, seed: int = 0, **options) -> np.ndarray:
    return Conditions(**{**NOTHING, **options})(waveform, np.random.default_rng(seed))


def loudest(waveform: np.ndarray) -> float:
    """The frequency in Hz of the highest peak."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax() * 16000 / len(waveform))


def test_nothing_drawn_changes_nothing():
    waveform = np.random.default_rng(1).normal(0, 0.1, 16001).astype(np.float32)
    np.testing.assert_allclose(change(waveform), waveform, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_pitch_and_length_move_together(seed):
    changed = change(tone(400), seed, octaves=0.22)
    factor = 16000 / len(changed)
    assert 2**-0.221 < factor < 2**0.221
    assert loudest(changed) == pytest.approx(400 * factor, abs=2)


def test_filters_take_away_what_they_should():
    def level(hertz: float, **options) -> float:
        return float(np.std(change(tone(hertz), **options)[2000:-2000]))

    assert level(7900, low_pass=1) < 0.2 * level(7900)
    assert level(500, low_pass=1) > 0.9 * level(500)
    assert level(30, high_pass=1) < 0.5 * level(30)
    assert level(2000, high_pass=1) > 0.9 * level(2000)


def test_noise_is_within_its_range():
    waveform = tone(200)
    noise = change(waveform, noise=1, least=20, most=20) - waveform
    ratio = 10 * np.log10(np.mean(waveform**2) / np.mean(noise**2))
    assert ratio == pytest.approx(20, abs=0.1)


def test_a_room_dies_away():
    response = impulse_response(0.5, 0.3, np.random.default_rng(0))
    tail = np.square(response[1:])
    assert tail.sum() == pytest.approx(0.3, rel=0.05)
    # -60 dB in half a second: -30 dB in a quarter.
    assert 10 * np.log10(tail[4000:4400].mean() / tail[:400].mean()) == pytest.approx(
        -30, abs=3
    )


def test_pink_noise_falls_by_three_decibels_an_octave():
    spectrum = np.square(
        np.abs(np.fft.rfft(coloured(160000, 1.0, np.random.default_rng(0))))
    )
    low, high = spectrum[5000:10000].mean(), spectrum[40000:80000].mean()
    assert 10 * np.log10(low / high) == pytest.approx(9, abs=0.5)


def test_ends_are_trimmed_and_the_middle_is_not():
    waveform = np.concatenate([np.zeros(8000), tone(300), np.zeros(4800)])
    waveform[20000:20640] = 0
    changed = change(waveform.astype(np.float32), trim=35)
    assert abs(len(changed) - 16000) <= 640


@pytest.mark.parametrize("waveform", [np.zeros(16000), np.full(400, 0.1), np.zeros(1)])
def test_silence_and_scraps_stay_finite(waveform):
    for seed in range(20):
        changed = Conditions()(waveform.astype(np.float32), np.random.default_rng(seed))
        assert changed.dtype == np.float32
        assert len(changed)
        assert np.isfinite(changed).all()


def test_it_hangs_on_the_seed_alone():
    waveform = tone(200)
    same, again, other = (
        Conditions()(waveform, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert np.array_equal(same, again)
    assert len(same) != len(other)
    assert Conditions(seed=1).settings != Conditions(seed=2).settings


def test_numbers_are_checked():
    with pytest.raises(UserError, match="knots is 1"):
        Conditions(knots=1)
