"""Measure the memory of a large batch, whole and in pieces, and their gradients.

    python benchmarks/accumulation.py --encoder_source=DIR

LoRA on a pretrained encoder, forward and backward of a contrastive loss and a
cross-entropy over all utterances of a batch, noise of 2 to 6 s. Each case is a process of
its own. Memory is the highest that it held: resident on a CPU, allocated on a GPU.
Gradients are compared with those of the whole batch: the norm of the difference over
the norm, of the parameter where it is largest.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from timing import markdown

from xser_brain.encoders.adapters import trainable
from xser_brain.encoders.pieces import InPieces
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.objectives import LanguageAwareSupCon

RATE = 16000


def held(device: str) -> float:
    """MB at the highest, until now."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    # Not ru_maxrss, which begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def step(source: str, utterances: int, pieces: int, device: str, file: str) -> None:
    """One step: prints MB before it and at its highest, and writes its gradients."""
    torch.manual_seed(0)
    encoder = PretrainedEncoder(source, adaptation="lora").to(device).train()
    classifier = torch.nn.Linear(encoder.width, 4).to(device)
    with torch.no_grad():  # LoRA begins where half of its gradients are zero
        for parameter in trainable(encoder).values():
            parameter.add_(0.01 * torch.randn_like(parameter))
    lengths = torch.randint(2 * RATE, 6 * RATE + 1, (utterances,), device=device)
    lengths[0] = 6 * RATE
    waveforms = torch.randn(utterances, 6 * RATE, device=device)
    emotions, languages = (torch.randint(n, (utterances,)).to(device) for n in (4, 3))
    before = held(device)
    pooled = InPieces(encoder, pieces) if pieces > 1 else encoder
    embeddings = pooled(waveforms, lengths)[:, 0]
    loss = LanguageAwareSupCon().loss(embeddings, emotions, languages)
    loss += torch.nn.functional.cross_entropy(classifier(embeddings), emotions)
    loss.backward()
    print(before, held(device))
    torch.save([p.grad.cpu() for p in trainable(encoder).values()], file)


def largest_difference(file: Path, whole: Path) -> float:
    """Of the gradients in two files, relative to those of the whole batch."""
    found, expected = (torch.load(each, weights_only=True) for each in (file, whole))
    return max(
        float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True)
    )


def main() -> None:
    """Measure each case and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder_source", required=True)
    parser.add_argument("--utterances", type=int, nargs="+", default=[36, 144])
    parser.add_argument("--pieces", type=int, nargs="+", default=[4, 16])
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        utterances, pieces, file = args.case
        step(args.encoder_source, int(utterances), int(pieces), args.device, file)
        return
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for utterances in args.utterances:
            whole = Path(folder) / f"{utterances}-1.pt"
            for pieces in (1, *args.pieces):
                file = Path(folder) / f"{utterances}-{pieces}.pt"
                command = [sys.executable, __file__, "--device", args.device]
                command += ["--encoder_source", args.encoder_source, "--case"]
                command += [str(utterances), str(pieces), str(file)]
                out = subprocess.run(
                    command, check=True, capture_output=True, text=True
                )
                before, highest = map(float, out.stdout.split())
                apart = largest_difference(file, whole)
                table.append(
                    {
                        "utterances": utterances,
                        "pieces": pieces,
                        "MB before": f"{before:,.0f}",
                        "MB at the highest": f"{highest:,.0f}",
                        "MB of the step": f"{highest - before:,.0f}",
                        "gradients apart": f"{apart:.1e}" if pieces > 1 else "",
                    }
                )
    print(f"{torch.get_num_threads()} threads, {args.device}")
    print(markdown(table))


if __name__ == "__main__":
    main()
