"""Time a frozen encoder: extraction, an epoch on cached features, and a whole run.

    python benchmarks/frozen.py --data_root=/corpora --encoder_source=DIR --repeats 3

* ``bare``: the encoder on waveforms that are in memory, one utterance at a time;
* ``extraction``: decoding, hashing, encoding and writing to an empty cache;
* ``extraction, bf16``: the same with ``--cache_precision=bf16``;
* ``read``: looking the same features up again;
* ``epoch``: every utterance once, in batches of 36, from cached features;
* ``heads``: 3000 optimiser steps of the paper's heads and objectives on them.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import torch
from step import papers_objectives, rows_of, total_loss
from timing import interleaved, markdown

from data_prep.manifest import EMOTIONS
from xser_brain.data.batches import Utterances, read_waveform
from xser_brain.data.sampling import HierarchicalBatches, RandomBatches
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.features.cache import FeatureCache
from xser_brain.head import EmbeddingHead
from xser_brain.protocol import Labels

STEPS = 3000


def train_heads(dataset: Utterances, rows: list, encoder: PretrainedEncoder) -> None:
    """3000 steps of the proposed system, without validation."""
    head = EmbeddingHead(encoder.layers, encoder.width, 256, 0.2)
    classifier = torch.nn.Linear(head.width, len(EMOTIONS))
    objectives = papers_objectives(head.width, Labels.of(rows, EMOTIONS))
    modules = torch.nn.ModuleList([head, classifier, objectives])
    optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-3)
    batches = HierarchicalBatches(
        [row.language for row in rows],
        [row.emotion for row in rows],
        [row.speaker for row in rows],
        batches=STEPS,
    )
    for indices in batches:
        batch = dataset[indices]
        embeddings = head(batch.features)
        loss = total_loss(objectives, embeddings, classifier(embeddings), batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(modules.parameters(), 5.0)
        optimizer.step()


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_root", type=Path, required=True)
    parser.add_argument("--encoder_source", required=True)
    parser.add_argument("--corpora", nargs="+", default=["ravdess", "urdu", "nemo"])
    parser.add_argument("--utterances", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    every = rows_of(args.corpora, args.data_root)
    rows = every[:: max(1, len(every) // args.utterances)]
    encoder = PretrainedEncoder(args.encoder_source).eval()
    waveforms = [torch.from_numpy(read_waveform(r, str(args.data_root))) for r in rows]
    folder = Path(tempfile.mkdtemp())

    def bare() -> None:
        with torch.no_grad():
            for waveform in waveforms:
                encoder(waveform[None], torch.tensor([len(waveform)]))

    def cache(name: str, precision: str = "fp32") -> dict:
        cache = FeatureCache(
            folder / name, encoder, str(args.data_root), precision=precision
        )
        return cache.features(rows)

    def extraction(precision: str = "fp32") -> None:
        shutil.rmtree(folder / "new", ignore_errors=True)
        cache("new", precision)

    features = cache("kept")
    labels = Labels.of(rows, EMOTIONS)
    dataset = Utterances(rows, lambda row: features[row.ID], labels)

    def epoch() -> None:
        for indices in RandomBatches(len(rows), 36, batches=-(-len(rows) // 36)):
            dataset[indices]

    cases = {
        "bare": bare,
        "extraction": extraction,
        "extraction, bf16": lambda: extraction("bf16"),
        "read": lambda: cache("kept"),
        "epoch": epoch,
    }
    times = interleaved(cases, args.repeats)
    median = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    seconds = sum(len(waveform) for waveform in waveforms) / 16000
    print(
        f"{len(rows)} utterances, {seconds:.0f} s of speech, "
        f"{torch.get_num_threads()} threads"
    )
    table = [
        {
            "case": name,
            "median s": f"{median[name]:.4f}",
            "bare is so many times as long": f"{median['bare'] / median[name]:.2f}",
        }
        for name in cases
    ]
    print(markdown(table))
    started = time.perf_counter()
    train_heads(dataset, rows, encoder)
    print(f"{STEPS} steps of the heads: {time.perf_counter() - started:.1f} s")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
