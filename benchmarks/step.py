"""Time a training step against the bare encoder and SpeechBrain's lobe.

    python benchmarks/step.py --data_root=/corpora --repeats 3

wav2vec 2.0 Base of the real size with random weights, LoRA and gated adapters, on
hierarchical batches (3 languages x 4 emotions x 3 utterances) of real utterances. The
cases take turns, and ratios are those of their medians in one run:

* ``bare``: forward and backward of transformers' own model, adapted in the same way, on
  each utterance unpadded: no loss, no loader, no optimiser;
* ``ours``: a whole step: decoding, encoder, three objectives, backward, clipping, AdamW;
* ``upper``: a whole step in which the upper three layers adapt, and what the layers below
  make of the utterances is read from the cache of features;
* ``lobe``: forward and backward of SpeechBrain's lobe with
  ``freeze_feature_extractor=True``, adapted in the same way, on the padded batch.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from timing import interleaved, markdown
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from data_prep import corpus, manifest, prepare
from data_prep.manifest import EMOTIONS
from xser_brain.data.batches import Utterances, read_waveform
from xser_brain.data.sampling import HierarchicalBatches
from xser_brain.encoders.adapters import adapt, trainable
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.features.cache import FeatureCache
from xser_brain.objectives import (
    Adversary,
    ConstantSchedule,
    CrossEntropy,
    Heard,
    LanguageAwareSupCon,
    Objectives,
)
from xser_brain.protocol import Labels

CROP = 6.0  # seconds
UPPER = (9, 10, 11)  # layers that adapt where the others are cached


def rows_of(names: list[str], data_root: Path) -> list[manifest.Row]:
    """Training utterances of several corpora."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            prepare.prepare(
                corpus.get(n), corpus.get(n).locate(data_root), Path(folder)
            )
            for n in names
        ]
        rows = [row for path in paths for row in manifest.read(path)]
    return [row for row in rows if row.emotion and row.split == "train"]


def papers_objectives(width: int, labels: Labels) -> Objectives:
    """Those of the proposed system."""
    objectives = Objectives(
        {
            "emotion": CrossEntropy(),
            "speaker": Adversary(schedule=ConstantSchedule(0.5), weight=0.3),
            "supcon": LanguageAwareSupCon(),
        }
    )
    for objective in objectives.values():
        objective.prepare(width, labels)
    return objectives


def total_loss(objectives: Objectives, embeddings, logits, batch) -> torch.Tensor:
    """The weighted sum of all objectives, as the Brain computes it."""
    heard = Heard(
        embeddings,
        logits,
        batch.emotions,
        batch.languages,
        batch.speakers,
        batch.corpora,
        batch.genders,
    )
    losses = objectives(heard, 0.5)
    return sum(objectives[name].weight * value for name, value in losses.items())


class Trained:
    """An encoder, heads and optimiser, and a whole step of them.

    Arguments
    ---------
    encoder : PretrainedEncoder
        On its device.
    dataset : Utterances
        What it takes.
    labels : Labels
        Of the objectives.
    device : str
        Where.
    """

    def __init__(
        self,
        encoder: PretrainedEncoder,
        dataset: Utterances,
        labels: Labels,
        device: str,
    ):
        self.encoder, self.dataset, self.device = encoder.train(), dataset, device
        self.classifier = torch.nn.Linear(encoder.width, len(EMOTIONS)).to(device)
        self.objectives = papers_objectives(encoder.width, labels).to(device)
        self.parameters = [
            *trainable(encoder).values(),
            *self.classifier.parameters(),
            *self.objectives.parameters(),
        ]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3)

    def step(self, indices: list[int], dtype: torch.dtype) -> None:
        """From utterances to new weights."""
        batch = self.dataset[indices].to(self.device)
        inputs = batch.waveforms if batch.prefixes is None else batch.prefixes
        with torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
            embeddings = self.encoder(inputs, batch.lengths)[:, 0]
            logits = self.classifier(embeddings)
            loss = total_loss(self.objectives, embeddings, logits, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class Step:
    """The ways to do one step on the same batch."""

    def __init__(self, rows: list[manifest.Row], data_root: Path, device: str):
        torch.manual_seed(0)
        self.device = device
        folder = tempfile.mkdtemp()
        Wav2Vec2Model(Wav2Vec2Config(layerdrop=0.0)).save_pretrained(folder)
        Wav2Vec2FeatureExtractor().save_pretrained(folder)
        labels = Labels.of(rows, EMOTIONS)
        self.dataset = Utterances(
            rows, lambda row: read_waveform(row, str(data_root)), labels, CROP
        )
        sampler = HierarchicalBatches(
            [row.language for row in rows],
            [row.emotion for row in rows],
            [row.speaker for row in rows],
            batches=1,
        )
        self.indices = next(iter(sampler))
        self.batch = self.dataset[self.indices].to(device)

        encoder = PretrainedEncoder(folder, adaptation="paper").to(device)
        self.whole = Trained(encoder, self.dataset, labels, device)
        encoder = PretrainedEncoder(
            folder, adaptation="paper", adapted_layers=UPPER
        ).to(device)
        cache = FeatureCache(tempfile.mkdtemp(), encoder, str(data_root), kind="prefix")
        features = cache.features([rows[index] for index in self.indices], CROP)
        cached = Utterances(rows, lambda row: features[row.ID], labels, prefixes=True)
        self.part = Trained(encoder, cached, labels, device)

        self.bare_model = Wav2Vec2Model.from_pretrained(folder).to(device)
        self.bare_model.requires_grad_(False)
        self.bare_model.feature_extractor._requires_grad = False
        adapt(self.bare_model.encoder.layers, "paper")

        self.lobe_model = Wav2Vec2(
            folder, folder, freeze=False, freeze_feature_extractor=True
        ).to(device)
        self.lobe_model.model.requires_grad_(False)
        adapt(self.lobe_model.model.encoder.layers, "paper")
        self.lobe_model.train()

    def _autocast(self, dtype):
        return torch.autocast(self.device, dtype, enabled=dtype != torch.float32)

    def ours(self, dtype=torch.float32):
        """A whole training step."""
        self.whole.step(self.indices, dtype)

    def upper(self, dtype=torch.float32):
        """A whole training step above what is cached."""
        self.part.step(self.indices, dtype)

    def bare(self, dtype=torch.float32):
        """The encoder alone, each utterance unpadded."""
        for waveform, length in zip(
            self.batch.waveforms, self.batch.lengths.tolist(), strict=True
        ):
            with self._autocast(dtype):
                hidden = self.bare_model(waveform[None, :length]).last_hidden_state
                total = hidden.mean(1).sum()
            total.backward()
        self.bare_model.zero_grad(set_to_none=True)

    def lobe(self, dtype=torch.float32):
        """SpeechBrain's lobe on the padded batch."""
        batch = self.batch
        lengths = batch.lengths.to(self.device)
        relative = lengths / batch.waveforms.shape[1]
        with self._autocast(dtype):
            hidden = self.lobe_model(batch.waveforms, relative)
            total = hidden.mean(1).sum()
        total.backward()
        self.lobe_model.zero_grad(set_to_none=True)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_root", type=Path, required=True)
    parser.add_argument("--corpora", nargs="+", default=["ravdess", "urdu", "nemo"])
    kinds = ("bare", "ours", "lobe", "upper")
    parser.add_argument("--cases", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu"
    )
    args = parser.parse_args()
    step = Step(rows_of(args.corpora, args.data_root), args.data_root, args.device)
    seconds = float(step.batch.lengths.sum()) / 16000
    padded = step.batch.waveforms.numel() / float(step.batch.lengths.sum())
    print(
        f"{len(step.indices)} utterances, {seconds:.0f} s of speech, padded to "
        f"{padded:.2f} of that; {torch.get_num_threads()} threads, {args.device}"
    )
    bf16 = torch.bfloat16
    cases = {
        "bare, fp32": step.bare,
        "ours, fp32": step.ours,
        "lobe, fp32": step.lobe,
        "upper, fp32": step.upper,
        "bare, bf16": lambda: step.bare(bf16),
        "ours, bf16": lambda: step.ours(bf16),
        "upper, bf16": lambda: step.upper(bf16),
    }
    chosen = [name for name in cases if name.partition(",")[0] in args.cases]
    times = interleaved({name: cases[name] for name in chosen}, args.repeats)
    median = {name: sorted(values)[len(values) // 2] for name, values in times.items()}

    def ratio(one: str, other: str) -> str:
        known = one in median and other in median
        return f"{median[one] / median[other]:.2f}" if known else "-"

    print(
        markdown(
            [
                {
                    "case": name,
                    "median s": f"{median[name]:.2f}",
                    "all": " ".join(f"{value:.2f}" for value in times[name]),
                    "of bare fp32": ratio(name, "bare, fp32"),
                    "of bare bf16": ratio(name, "bare, bf16"),
                    "faster than lobe": ratio("lobe, fp32", name),
                }
                for name in times
            ]
        )
    )


if __name__ == "__main__":
    main()
