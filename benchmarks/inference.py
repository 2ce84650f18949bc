"""Time an exported model: files a second beside its bare encoder, and memory.

    python benchmarks/inference.py --model=RUN/model --data_root=/corpora --repeats 3

* ``bare``: the encoder on waveforms that are in memory, one utterance at a time;
* ``classify``: the Classifier on the same utterances as files, decoding and all;
* memory at its highest, in processes of their own: of one file, of all files, of all
  files several times, and of a recording of an hour, with its real-time factor (seconds of
  work for a second of audio).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile
import torch
from timing import interleaved, markdown

from data_prep import audio
from xser_brain.inference import Classifier
from xser_brain.inference.recordings import find_audio

HOUR = 3600
PROBE = r"""
import re, sys, time
from pathlib import Path
from xser_brain.inference import Classifier
model, device, times, *paths = sys.argv[1:]
classifier = Classifier.from_pretrained(model, device)
started = time.perf_counter()
for result in classifier.classify(paths * int(times)):
    assert not result.error, result
seconds = time.perf_counter() - started
# Not ru_maxrss, which begins with that of the process that started this one.
status = Path("/proc/self/status").read_text()
print(seconds, int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024)
"""


def probe(
    args: argparse.Namespace, times: int, paths: list[str]
) -> tuple[float, float]:
    """Classify files in a new process.

    Arguments
    ---------
    args : argparse.Namespace
        With ``model`` and ``device``.
    times : int
        How often all of them.
    paths : list of str
        The files.

    Returns
    -------
    float, float
        Seconds, without loading the model, and MB at the highest.
    """
    command = [sys.executable, "-c", PROBE, args.model, args.device, str(times), *paths]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = map(float, out.split())
    return seconds, megabytes


def write_hour(path: Path, paths: list[str], seconds: int) -> None:
    """Write a long recording of short ones."""
    with soundfile.SoundFile(path, "w", audio.SAMPLE_RATE, 1) as stream:
        left = seconds * audio.SAMPLE_RATE
        while left > 0:
            for each in paths:
                samples = audio.load(each)[:left]
                stream.write(samples)
                left -= len(samples)
                if left <= 0:
                    break


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="an exported model's folder")
    parser.add_argument(
        "--beside",
        metavar="MODEL",
        help="another model, timed in turn on the same files; then no memory is measured",
    )
    parser.add_argument("--data_root", required=True, help="a folder of audio files")
    parser.add_argument("--files", type=int, help="only so many, evenly taken")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--times", type=int, default=4, help="how often all files, for their memory"
    )
    parser.add_argument(
        "--long", type=int, default=HOUR, help="seconds of the long one"
    )
    args = parser.parse_args()
    paths = list(find_audio([args.data_root]))
    if args.files:
        paths = paths[:: max(1, len(paths) // args.files)][: args.files]
    waveforms = [torch.from_numpy(audio.load(path)) for path in paths]
    seconds = sum(map(len, waveforms)) / audio.SAMPLE_RATE
    classifier = Classifier.from_pretrained(args.model, args.device)
    encoder = classifier.model.encoder

    @torch.inference_mode()
    def bare() -> None:
        for waveform in waveforms:
            samples = waveform[None].to(args.device)
            encoder(samples, torch.tensor([len(waveform)], device=args.device)).cpu()

    def classify() -> None:
        for result in classifier.classify(paths):
            assert not result.error, result

    cases = {"bare": bare, "classify": classify}
    if args.beside:
        other = Classifier.from_pretrained(args.beside, args.device)
        cases["beside"] = lambda: list(other.classify(paths))
    times = interleaved(cases, args.repeats, warmup=int(bool(args.beside)))
    median = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    print(
        f"{len(paths)} files, {seconds:.0f} s of speech, {args.device}, "
        f"{torch.get_num_threads()} threads"
    )
    table = [
        {
            "case": name,
            "median s": f"{median[name]:.2f}",
            "files/s": f"{len(paths) / median[name]:.1f}",
            "real-time factor": f"{median[name] / seconds:.4f}",
            "speed of bare": f"{median['bare'] / median[name]:.3f}",
        }
        for name in times
    ]
    print(markdown(table))
    if args.beside:
        return
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / "long.wav"
        write_hour(long, paths, args.long)
        cases = {
            "one file": (1, paths[:1], len(waveforms[0]) / audio.SAMPLE_RATE),
            "all files": (1, paths, seconds),
            f"all files, {args.times} times": (args.times, paths, args.times * seconds),
            f"one recording of {args.long} s": (1, [str(long)], args.long),
        }
        table = []
        for name, (times, chosen, length) in cases.items():
            spent, megabytes = probe(args, times, chosen)
            table.append(
                {
                    "case": name,
                    "MB at the highest": f"{megabytes:.0f}",
                    "real-time factor": f"{spent / length:.4f}",
                }
            )
        print(markdown(table))


if __name__ == "__main__":
    main()
