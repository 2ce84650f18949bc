"""Training utterances as other voices, rooms, microphones and lines would have them."""

import numpy as np
from scipy import fft

from data_prep.audio import SAMPLE_RATE
from xser_brain.data.augmentation import WaveformTransform
from xser_brain.numbers import number

FRAME = 320  # samples in which silence is told from speech
LEAST = 5  # frames that are left of an utterance
LOWEST, HIGHEST = 50.0, 8000.0  # Hz between which the knots of the equaliser lie


class Conditions(WaveformTransform):
    """Silence at both ends is cut, then voice, equaliser, band, room and noise are drawn.

    The voice is changed by resampling, which moves pitch, formants and tempo together. All
    that is linear is done by one pair of Fourier transforms, whatever is drawn.

    Arguments
    ---------
    views : int
        Changed copies of each training utterance.
    trim : float
        dB below the loudest frame under which the ends are cut; 0 leaves them.
    octaves : float
        The voice is moved by up to so many octaves, up or down, evenly drawn.
    equaliser : float
        Standard deviation of the gains at the equaliser's knots, in dB.
    knots : int
        Number of them, evenly spaced in octaves.
    low_pass, high_pass, room, noise : float
        How probable each is: a low-pass of 1.5 to 7 kHz, a high-pass of 80 to 400 Hz, a
        room of 0.1 to 0.7 s reverberation time, coloured noise.
    least, most : float
        The range of the signal-to-noise ratio, in dB.
    seed : int
        Of what is drawn: other copies for each run, if it is the run's.

    Example
    -------
    >>> change, rng = Conditions(octaves=0.0, trim=0.0), np.random.default_rng(0)
    >>> change(np.ones(16000, np.float32), rng).shape
    (16000,)
    """

    def __init__(
        self,
        views: int = 3,
        trim: float = 35.0,
        octaves: float = 0.22,
        equaliser: float = 5.0,
        knots: int = 6,
        low_pass: float = 0.4,
        high_pass: float = 0.3,
        room: float = 0.4,
        noise: float = 0.7,
        least: float = 12.0,
        most: float = 45.0,
        seed: int = 1,
    ):
        super().__init__(views)
        self.trim = number("trim", trim, least=0.0)
        self.octaves = number("octaves", octaves, least=0.0)
        self.equaliser = number("equaliser", equaliser, least=0.0)
        self.knots = number("knots", knots, least=2, whole=True)
        self.low_pass, self.high_pass, self.room, self.noise = (
            number(name, value, least=0.0)
            for name, value in (
                ("low_pass", low_pass),
                ("high_pass", high_pass),
                ("room", room),
                ("noise", noise),
            )
        )
        self.least = number("least", least, least=-100)
        self.most = number("most", most, least=self.least)
        self.seed = number("seed", seed, least=0, whole=True)

    def __call__(self, waveform, rng):
        """See ``WaveformTransform.__call__``."""
        speech = trimmed(waveform, self.trim)
        # All is drawn, so that one probability changes no other draw.
        factor = 2 ** rng.uniform(-self.octaves, self.octaves)
        gains = rng.normal(0.0, self.equaliser, self.knots)
        chances = rng.random(4)
        low, high = _between(rng, 1500, 7000), _between(rng, 80, 400)
        seconds, wet = rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.6)
        ratio, slope = rng.uniform(self.least, self.most), rng.uniform(0.0, 1.0)
        response = None
        if chances[2] < self.room:
            response = impulse_response(seconds, wet, rng)
        after = 0 if response is None else len(response) - 1
        size = fft.next_fast_len(len(speech) + after, real=True)
        # A length that is soon transformed, and the factor that it stands for.
        length = fft.next_fast_len(round(size / factor), real=True)
        factor = size / length if self.octaves else 1.0
        bins = fft.rfft(speech, size)
        hertz = np.linspace(0, SAMPLE_RATE / 2, len(bins)) * factor
        curve = np.interp(
            np.log2(np.maximum(hertz, LOWEST)),
            np.linspace(np.log2(LOWEST), np.log2(HIGHEST), self.knots),
            gains,
        )
        gain = 10 ** (curve / 20)
        if chances[0] < self.low_pass:
            gain /= np.sqrt(1 + (hertz / low) ** 8)
        if chances[1] < self.high_pass:
            gain /= np.sqrt(1 + (high / np.maximum(hertz, 1.0)) ** 4)
        bins = bins * gain.astype(np.float32)
        if response is not None:
            bins = bins * fft.rfft(response, size)
        changed = resampled(bins, size, round(size / factor))
        changed = changed[: max(1, round(len(speech) / factor))]
        if chances[3] < self.noise:
            level = np.sqrt(np.mean(np.square(changed, dtype=np.float64)))
            level *= 10 ** (-ratio / 20)
            changed = changed + np.float32(level) * coloured(len(changed), slope, rng)
        peak = np.abs(changed).max()
        if peak > 1:
            changed = changed / peak
        return changed.astype(np.float32)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Evenly drawn in octaves."""
    return float(low * (high / low) ** rng.random())


def trimmed(waveform: np.ndarray, below: float) -> np.ndarray:
    """Without the frames at both ends that are so many dB below the loudest; 0: all of it.

    Example
    -------
    >>> waveform = np.concatenate([np.zeros(3200), np.ones(3200), np.zeros(3200)])
    >>> len(trimmed(waveform, 35))
    3200
    """
    count = len(waveform) // FRAME
    if not below or count < 2:
        return waveform
    power = np.square(waveform[: count * FRAME], dtype=np.float32)
    power = power.reshape(count, FRAME).mean(1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-below / 10))
    if not len(loud) or loud[-1] - loud[0] < LEAST:
        return waveform
    end = len(waveform) if loud[-1] == count - 1 else (loud[-1] + 1) * FRAME
    return waveform[loud[0] * FRAME : end]


def resampled(bins: np.ndarray, size: int, length: int) -> np.ndarray:
    """The samples of a spectrum, played faster or slower.

    Arguments
    ---------
    bins : (frequencies,) complex numpy.ndarray
        Of the samples.
    size, length : int
        How many samples they are of, and are to become.

    Returns
    -------
    (length,) float32 numpy.ndarray
    """
    kept = np.zeros(length // 2 + 1, bins.dtype)
    shared = min(len(bins), len(kept))
    kept[:shared] = bins[:shared]
    return fft.irfft(kept, length) * np.float32(length / size)


def impulse_response(
    seconds: float, wet: float, rng: np.random.Generator
) -> np.ndarray:
    """A room: the direct sound and noise that dies away by 60 dB in so many seconds.

    Arguments
    ---------
    seconds : float
        Reverberation time.
    wet : float
        Energy of the noise, where that of the direct sound is 1.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    (samples,) float32 numpy.ndarray
    """
    count = round(seconds * SAMPLE_RATE)
    noise = rng.standard_normal(count, dtype=np.float32)
    noise *= np.exp(np.linspace(0, -np.log(1000), count, dtype=np.float32))
    noise *= np.float32(np.sqrt(wet / np.sum(np.square(noise))))
    noise[0] += 1
    return noise


def coloured(count: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls as frequency to the minus so many-th; of power 1.

    Arguments
    ---------
    count : int
        Samples.
    slope : float
        0: white; 1: pink.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    (count,) float32 numpy.ndarray
    """
    size = fft.next_fast_len(count, real=True)
    bins = rng.standard_normal((2, size // 2 + 1), dtype=np.float32)
    shape = np.arange(1, bins.shape[1] + 1, dtype=np.float32) ** (-slope / 2)
    noise = fft.irfft((bins[0] + 1j * bins[1]) * shape, size)[:count]
    return (noise / np.sqrt(np.mean(np.square(noise)))).astype(np.float32)
