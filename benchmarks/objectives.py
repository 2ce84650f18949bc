"""Time and memory of the contrastive loss against a plain one and a library's.

    OMP_NUM_THREADS=1 python benchmarks/objectives.py --repeats 5

Forward and backward of embeddings of width 768, 4 emotions, 3 languages:

* ``ours``: LanguageAwareSupCon;
* ``plain``: the same loss with full matrices of weights and log-probabilities;
* ``pytorch-metric-learning``: its SupConLoss (no languages), if it is installed;
* ``ours, memory``: 36 anchors beside that many remembered embeddings.

The cases of a size take turns, and ratios are those of their medians. Peak memory is of
one forward and backward, above what the embeddings hold: the resident set's on a CPU,
each case in a process of its own; the allocator's on a GPU.
"""

import argparse
import importlib.util
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from timing import cuda_seconds, interleaved, markdown, seconds

from xser_brain.objectives import Heard, LanguageAwareSupCon, Memory
from xser_brain.protocol import Labels

WIDTH = 768
ANCHORS = 36  # beside a memory
TEMPERATURE, LANGUAGE_WEIGHT = 0.07, 2.5
LIBRARY = "pytorch-metric-learning"


def plain(
    embeddings: torch.Tensor, emotions: torch.Tensor, languages: torch.Tensor
) -> torch.Tensor:
    """The loss as the paper writes it, with dense matrices."""
    z = torch.nn.functional.normalize(embeddings)
    others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / TEMPERATURE).masked_fill(~others, -math.inf)
    log_p = logits - logits.logsumexp(1, keepdim=True)
    positives = others & (emotions[:, None] == emotions)
    weights = torch.where(languages[:, None] == languages, 1.0, LANGUAGE_WEIGHT)
    weights = weights * positives
    return -((weights * log_p.masked_fill(~others, 0)).sum(1) / weights.sum(1)).mean()


def heard(
    embeddings: torch.Tensor, emotions: torch.Tensor, languages: torch.Tensor
) -> Heard:
    """What an objective gets of a batch of which no more is known."""
    unknown = torch.full_like(emotions, -1)
    return Heard(embeddings, embeddings, emotions, languages, *[unknown] * 3)


def make_case(name: str, n: int, device: str) -> Callable[[], None]:
    """One forward and backward."""
    torch.manual_seed(0)
    embeddings = torch.randn(n, WIDTH, device=device)
    emotions = torch.randint(4, (n,), device=device)
    languages = torch.randint(3, (n,), device=device)
    columns = embeddings, emotions, languages
    if name == "ours":
        loss = LanguageAwareSupCon(TEMPERATURE, LANGUAGE_WEIGHT).loss
    elif name == "plain":
        loss = plain
    elif name == "ours, memory":
        memory = Memory(LanguageAwareSupCon(TEMPERATURE, LANGUAGE_WEIGHT), n)
        memory.bind(WIDTH, Labels())
        memory.to(device).add(heard(*columns))
        columns = tuple(column[:ANCHORS].clone() for column in columns)

        def loss(*batch):
            return memory(heard(*batch), 1.0)
    else:
        from pytorch_metric_learning.losses import SupConLoss

        library = SupConLoss(temperature=TEMPERATURE).to(device)

        def loss(embeddings, emotions, _):
            return library(embeddings, emotions)

    embeddings, emotions, languages = columns
    embeddings.requires_grad_()

    def step() -> None:
        embeddings.grad = None
        loss(embeddings, emotions, languages).backward()

    return step


def peak_mb(name: str, n: int, device: str) -> float:
    """Peak memory of one forward and backward."""
    if device == "cuda":
        step = make_case(name, n, device)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    command = [sys.executable, __file__, "--peak", name, str(n)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def print_peak(name: str, n: int) -> None:
    """In a process of its own: the rise of the resident set's peak."""
    make_case(name, 8, "cpu")()  # what is loaded at first use does not count
    step = make_case(name, n, "cpu")
    before = resident_mb()
    step()
    print(resident_mb() - before)


def resident_mb() -> float:
    """The peak of this process, from Linux; getrusage's would be its parent's, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[36, 512, 2048, 8192])
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        print_peak(args.peak[0], int(args.peak[1]))
        return
    names = ["ours", "plain", LIBRARY, "ours, memory"]
    if importlib.util.find_spec("pytorch_metric_learning") is None:
        names.remove(LIBRARY)
    clock = cuda_seconds if args.device == "cuda" else seconds
    rows = []
    for n in args.sizes:
        cases = {name: make_case(name, n, args.device) for name in names}
        times = interleaved(cases, args.repeats, clock=clock)
        medians = {name: statistics.median(times[name]) for name in names}
        rows += [
            {
                "embeddings": n,
                "loss": name,
                "median ms": 1000 * medians[name],
                "of ours": medians[name] / medians["ours"],
                "peak MB": peak_mb(name, n, args.device),
            }
            for name in names
        ]
    print(f"{args.device}, {torch.get_num_threads()} threads\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
