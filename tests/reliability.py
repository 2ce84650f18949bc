"""How reliable runs are, measured: kills, several processes, faults, rotten bits.

``python -m tests.reliability [--kills=100] [--only=PART] [--soak=FILE]
[--precisions FP32 BF16] [--out=FILE]``
tries all of it on runs of stand-ins and prints Markdown; with ``--out`` it replaces what
stands between the two marks of that document. ``--soak`` is what ``python -m tests.soak
--out=FILE`` wrote, ``--precisions`` the results of two grids. It ends with 1 if anything
was not as it should be.
"""

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean

import torch
import yaml

from data_prep import standin
from data_prep.manifest import write_atomic
from data_prep.progress import lock_alone
from tests.xser_brain.damage import flips, is_noticed
from tests.xser_brain.faults import FAULTS, RUN, TRAIN, call, try_fault
from tests.xser_brain.small import RECIPE, TINY, without_ecapa, write_encoder
from xser_brain.artefacts import RUN as RECORD
from xser_brain.artefacts import read_run

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
GRADIENTS_OF = Path(__file__).parent / "xser_brain/gradients_of.py"
CORPORA = ("ravdess", "esd", "urdu", "emodb")
KINDS = {"ECAPA": {"encoder": "ecapa"}, "cached": {}, "LoRA": {"adaptation": "lora"}}
KILLED = {
    "ECAPA": {"encoder": "ecapa", "steps": 60},
    "features, then cached": {"steps": 60},
    "LoRA, two readers": {"adaptation": "lora", "steps": 16, "num_workers": 2},
}
BITS = 2000
STEPS = 50


class Bench:
    """Stand-ins and a small encoder, of which runs are made."""

    def __init__(self, folder: Path):
        self.folder, self.data = folder, folder / "standins"
        for name in CORPORA:
            where = self.data / name
            standin.write(name, where, speakers=4, sentences=2, progress=False)
        self.encoder = write_encoder(folder / "wav2vec2", "wav2vec2")

    def argv(self, results: Path, **changes) -> list[str]:
        """The command line of a run of seconds."""
        options = {"data_root": self.data, "results": results, **TINY, **changes}
        if options.setdefault("encoder", "wav2vec2") != "ecapa":
            options = {**without_ecapa(options), "encoder_source": self.encoder}
        given = (f"--{key}={value}" for key, value in options.items())
        return [str(RECIPE), "--noprogressbar", *given]


# --- Kills


def _train(argv: list[str], log: str) -> None:
    os.setsid()
    lock_alone()
    with open(log, "a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    from xser_brain.cli.train import main

    torch.set_num_threads(1)
    sys.exit(main(argv))


def kills(bench: Bench, number: int, seed: int = 0) -> Iterator[dict]:
    """Kill runs at random moments, and start them again, until they are done.

    Processes are copies of one that has its imports, so that the moments fall into the
    work: features, training, checkpoints, scoring.
    """
    random.seed(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xser_brain.grids.preload"])
    for kind, changes in KILLED.items():
        wanted, done, runs, same, failed = -(-number // len(KILLED)), 0, 0, 0, 0
        peace = bench.folder / f"peace {kind}"
        log = str(bench.folder / "kills.log")

        def start(results, changes=changes, log=log):
            argv = bench.argv(results, **changes)
            process = context.Process(target=_train, args=(argv, log))
            process.start()
            return process

        for _ in range(2):  # the first one waits for the imports
            shutil.rmtree(peace, ignore_errors=True)
            began = time.monotonic()
            process = start(peace)
            process.join()
            assert process.exitcode == 0, Path(log).read_text()[-3000:]
            lasted = time.monotonic() - began
        (reference,) = peace.glob("*/*/*/1")
        while done < wanted:
            results = bench.folder / f"killed {kind} {runs}"
            while True:
                process = start(results)
                # All of them would never end, were each killed before its first checkpoint.
                process.join(random.uniform(0, 1.2 * lasted) if done < wanted else None)
                if process.exitcode is not None:
                    break
                os.killpg(process.pid, signal.SIGKILL)
                process.join()
                done += 1
            failed += process.exitcode != 0
            runs += 1
            own = results / reference.relative_to(peace)
            same += process.exitcode == 0 and _same(own, reference)
            shutil.rmtree(results)
        yield {
            "runs of": kind,
            "SIGKILLs": done,
            "survived": done - failed,
            "runs": runs,
            "of them the same, byte for byte": same,
            "good": failed == 0 and same == runs,
        }


def _same(run: Path, reference: Path) -> bool:
    names = ("predictions.csv", "train_log.txt")
    return all((run / n).read_bytes() == (reference / n).read_bytes() for n in names)


# --- Several processes


def gradients(bench: Bench) -> Iterator[dict]:
    """The largest difference of the gradients of 2 and 3 processes from those of one."""
    for kind, changes in KINDS.items():
        found = {}
        for processes in (1, 2, 3):
            folder = bench.folder / f"{kind}{processes}"
            folder.mkdir()
            file = folder / "gradients.pt"
            start = [sys.executable]
            if processes > 1:
                start += ["-m", "torch.distributed.run", "--standalone"]
                start += [f"--nproc_per_node={processes}"]
            follow = [f"--follow={found[1]}"] if processes > 1 else []
            options = bench.argv(
                folder, **changes, steps=STEPS, validate_every=STEPS // 2
            )
            # In single precision ECAPA's differ where an activation is next to zero.
            double = "1" if kind == "ECAPA" else ""
            seen = call([*start, GRADIENTS_OF, file, *follow, *options], DOUBLE=double)
            assert seen.code == 0, seen.error
            found[processes] = file
        loaded = {n: torch.load(file, weights_only=True) for n, file in found.items()}
        largest = {
            n: max(
                float((a - b).abs().max())
                for ours, theirs in zip(loaded[n], loaded[1], strict=True)
                for a, b in zip(ours, theirs, strict=True)
            )
            for n in (2, 3)
        }
        size = max(float(g.abs().max()) for step in loaded[1] for g in step)
        yield {
            "gradients of": kind + (" (float64)" if kind == "ECAPA" else ""),
            "steps": STEPS,
            "largest gradient": f"{size:.2g}",
            "2 processes differ by": f"{largest[2]:.1e}",
            "3 processes differ by": f"{largest[3]:.1e}",
            "good": max(largest.values()) <= 1e-5 * max(1.0, size),
        }


# --- Faults


def faults(bench: Bench) -> Iterator[dict]:
    """Each fault, what a user sees, and what the run comes to."""

    def argv(results, **changes):
        return bench.argv(results, **{"encoder": "ecapa", **changes})

    for number, fault in enumerate(FAULTS):
        folder = bench.folder / f"fault {number}"
        seen, same = try_fault(fault, argv, folder)
        told = re.sub(rf"{re.escape(str(folder))}\S*?(?=/|: |\s)", "…", seen.line)
        good = seen.code == fault.code and re.search(fault.line, seen.line) and same
        yield {
            "fault": fault.name,
            "exit": seen.code,
            "last line": f"`{told}`" if told else "",
            "then": "the same bytes" if same else "OTHER BYTES",
            "good": bool(good) and "Traceback" not in seen.error,
        }


# --- Rotten bits


def bits(bench: Bench) -> Iterator[dict]:
    """Bits of a checkpoint, flipped one at a time."""
    results = bench.folder / "bits"
    assert call([*TRAIN, *bench.argv(results, encoder="ecapa")]).code == 0
    saved = sorted(
        (yaml.safe_load(path.read_text())["step"], path.parent)
        for path in (results / RUN).glob("save/CKPT*/CKPT.yaml")
    )
    tried = flips(saved[-1][1], BITS)
    noticed = sum(is_noticed(saved[-1][1], path, bit) for path, bit in tried)
    yield {
        "files of a checkpoint": len({path for path, _ in tried}),
        "bits flipped": len(tried),
        "noticed": noticed,
        "good": noticed == len(tried),
    }


# --- Precision


def precisions(fp32: Path, bf16: Path) -> list[dict]:
    """UAR on the whole target, of two grids that differ in their precision."""
    found: dict[str, dict[int, list[float]]] = {}
    for results in (fp32, bf16):
        for path in sorted(results.rglob(RECORD)):
            run = read_run(path.parent)
            seeds = found.setdefault(run["setting"]["target"], {})
            seeds.setdefault(run["seed"], []).append(run["target_all"]["uar"])
    rows, all_differences = [], []
    for target, seeds in sorted(found.items()):
        pairs = [pair for _, pair in sorted(seeds.items())]
        differences = [b - a for a, b in pairs]
        all_differences += differences
        rows.append(
            {
                "target": target,
                "fp32": f"{mean(a for a, _ in pairs):.2f}",
                "bf16": f"{mean(b for _, b in pairs):.2f}",
                "bf16 - fp32, by seed": " ".join(f"{d:+.2f}" for d in differences),
                "mean": f"{mean(differences):+.2f}",
            }
        )
    overall = {"target": "**all**", "mean": f"{mean(all_differences):+.2f}"}
    return [*rows, dict.fromkeys(rows[0], "") | overall]


PARTS: dict[str, tuple[str, Callable]] = {
    "kills": ("SIGKILL at random moments", kills),
    "gradients": ("Several processes", gradients),
    "faults": ("Faults", faults),
    "bits": ("Bits flipped in a checkpoint", bits),
}


def table(rows: list[dict]) -> str:
    """As Markdown."""
    names = [name for name in rows[0] if name != "good"]
    lines = [names, ["---"] * len(names), *([row[n] for n in names] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main(argv: list[str] | None = None) -> int:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--only", default="", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--soak", type=Path, help="what tests.soak wrote")
    parser.add_argument(
        "--precisions", type=Path, nargs=2, help="results in fp32, and in bf16"
    )
    parser.add_argument("--out", type=Path, help="the document to write into")
    args = parser.parse_args(argv)
    texts, good = [], True
    for name, (title, measure) in PARTS.items():
        if args.only and name != args.only:
            continue
        folder = Path(tempfile.mkdtemp(prefix="reliability-"))
        try:
            bench = Bench(folder)
            found = measure(bench, args.kills) if name == "kills" else measure(bench)
            rows = []
            for row in found:
                print(json.dumps(row), file=sys.stderr, flush=True)
                rows.append(row)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        good &= all(row["good"] for row in rows)
        texts.append(f"### {title}\n\n{table(rows)}")
    if args.soak:
        texts.append(f"### A soak\n\n{args.soak.read_text(encoding='utf-8').strip()}")
    if args.precisions:
        rows = precisions(*args.precisions)
        texts.append(f"### bf16 beside fp32, UAR in percent\n\n{table(rows)}")
    text = "\n\n".join(texts)
    print(text)
    if args.out:
        before, _, rest = args.out.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        whole = f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
        write_atomic(args.out, whole.encode())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
