"""Render speech with espeak-ng, the same samples at every call.

espeak-ng seeds itself by the clock (breathy voices draw on it) and carries state from
one clip to the next, even through ``espeak_Terminate``. Here a helper process loads and
initialises the library once and forks for every clip, so that each starts from the
same state and from its own seed, whatever was said before it. ``render`` starts the
helper, which is this module run as a program: clips as JSON on stdin, the library's
version and then one line per clip on stdout.

The library and its voices come with the package ``espeakng-loader``, of the extra
``demo``. Resampling is done in the Fourier domain together with the spectral tilt, by
numpy alone.
"""

import ctypes
import importlib.util
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.fft import irfft, rfft, rfftfreq  # here, not once in every child
from numpy.random import default_rng

from data_prep import children
from data_prep.errors import UserError
from data_prep.progress import bar

_RATE = 22050  # what espeak-ng's formant synthesis gives
# espeak-ng/speak_lib.h
_OUTPUT_SYNCHRONOUS, _DONT_EXIT, _CHARS_UTF8, _POSITION_CHARACTER = 2, 0x8000, 1, 1
_PARAMETERS = {"words_per_minute": 1, "pitch": 3, "pitch_range": 4, "word_gap": 7}
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True, slots=True)
class Speech:
    """One clip to be rendered.

    Arguments
    ---------
    path : str
        Where to write it; folders are made.
    voice, text : str
        An espeak-ng voice, such as ``de+f2``, and what it says.
    words_per_minute, pitch, pitch_range, word_gap : int
        espeak-ng's parameters; pitch 50 is the voice's own, and 50 more an octave
        higher; the range is linear, 50 the voice's own; gaps are in 10 ms.
    tilt : float
        Spectral tilt in dB per octave; positive is a tenser, brighter voice.
    level, noise : float
        RMS of the clip, and of the white noise added to it, in dB of full scale.
    lead, tail : float
        Silence before and at least after, in seconds.
    sample_rate : int
        In Hz, a multiple of 100.
    seed : int
        Seeds both the library and the noise.
    """

    path: str
    voice: str
    text: str
    words_per_minute: int
    pitch: int
    pitch_range: int
    word_gap: int
    tilt: float
    level: float
    noise: float
    lead: float
    tail: float
    sample_rate: int
    seed: int


def render(clips: Sequence[Speech], title: str = "speech") -> str:
    """Write every clip as 16-bit wav, on all cores; return the version of espeak-ng.

    UserError if espeak-ng is not installed or the system cannot fork.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        raise UserError(
            "synthetic speech needs espeak-ng, which is not installed: "
            'pip install "xser-brain[demo]"'
        )
    if not hasattr(os, "fork"):
        raise UserError("synthetic speech needs a system with fork: Linux or macOS")
    for folder in {Path(clip.path).parent for clip in clips}:
        folder.mkdir(parents=True, exist_ok=True)
    # a process is forked safely while it has one thread
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        children.start(__name__, stderr=errors, text=True, env=single) as helper,
        bar(desc=title, total=len(clips), unit="clip") as shown,
    ):
        try:
            # the helper reads all of it before it answers
            absolute = [replace(c, path=os.path.abspath(c.path)) for c in clips]
            helper.stdin.write(json.dumps([asdict(clip) for clip in absolute]))
            helper.stdin.close()
        except BrokenPipeError:
            pass  # it died: its own words follow
        version = helper.stdout.readline().strip()
        for _ in helper.stdout:
            shown.update()
        if helper.wait():
            errors.seek(0)
            raise RuntimeError(f"espeak-ng failed:\n{errors.read()}")
    return version


def _say(library: ctypes.CDLL, clip: Speech) -> None:
    """Set the voice and its parameters, and speak to the callback."""
    text = clip.text.encode() + b"\0"
    failed = library.espeak_SetVoiceByName(clip.voice.encode())
    library.espeak_ng_SetRandSeed(ctypes.c_long(clip.seed))
    for name, number in _PARAMETERS.items():
        failed |= library.espeak_SetParameter(number, getattr(clip, name), 0)
    failed |= library.espeak_Synth(
        text, len(text), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
    )
    if failed:
        raise RuntimeError(f"no voice {clip.voice!r}, or espeak-ng refused {clip}")


def _master(speech: np.ndarray, clip: Speech) -> np.ndarray:
    """Silence around it, another rate, spectral tilt, level, noise."""
    block = _RATE // 10  # a multiple of this has a whole number of samples at any rate
    lead = round(clip.lead * _RATE)
    length = -(-(lead + len(speech) + round(clip.tail * _RATE)) // block) * block
    padded = np.zeros(length)
    padded[lead : lead + len(speech)] = speech
    spectrum = rfft(padded)
    octaves = np.log2(rfftfreq(length, 1 / _RATE).clip(100, 8000) / 1000)
    spectrum *= 10 ** (clip.tilt * octaves / 20)
    audio = irfft(spectrum, length // block * clip.sample_rate // 10)
    audio *= 10 ** (clip.level / 20) / np.sqrt(np.mean(audio**2))
    rng = default_rng(clip.seed)
    audio += rng.normal(scale=10 ** (clip.noise / 20), size=len(audio))
    return audio * min(1.0, 0.98 / np.abs(audio).max())


def _serve(clips: list[Speech]) -> None:
    """Fork for each clip, as many at a time as there are cores."""
    import espeakng_loader

    chunks = []

    @_CALLBACK
    def keep(samples, count, _events):
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def finish_one() -> None:
        _, status = os.wait()
        if status:
            sys.exit(1)
        print(flush=True)

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Info.restype = ctypes.c_char_p
    # espeak-ng takes no path of its data beyond 160 characters; those of clips are whole.
    os.chdir(Path(espeakng_loader.get_data_path()).parent)
    options = _OUTPUT_SYNCHRONOUS, 0, b".", _DONT_EXIT
    if library.espeak_Initialize(*options) != _RATE:
        sys.exit("espeak-ng did not initialise: reinstall espeakng-loader")
    library.espeak_SetSynthCallback(keep)
    print(library.espeak_Info(None).decode(), flush=True)
    running = 0
    for clip in clips:
        if running == os.cpu_count():
            finish_one()
            running -= 1
        if os.fork():
            running += 1
            continue
        status = 1  # the child leaves without the parent's clean-up
        try:
            _say(library, clip)
            audio = _master(np.concatenate(chunks), clip)
            soundfile.write(clip.path, audio, clip.sample_rate, subtype="PCM_16")
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    for _ in range(running):
        finish_one()


if __name__ == "__main__":
    _serve([Speech(**clip) for clip in json.load(sys.stdin)])
