"""Time a training step against the bare encoder and SpeechBrain's lobe.

    python benchmarks/step.py --data_root=/corpora --repeats 3

wav2vec 2.0 Base of the real size with random weights, LoRA and gated adapters, on
hierarchical batches (3 languages x 4 emotions x 3 utterances) of real utterances. The
cases take turns, and ratios are those of their medians in one run:

* ``bare``: forward and backward of transformers' own model, adapted in the same way, on
  each utterance unpadded: no loss, no loader, no optimiser;
* ``ours``: a whole step: decoding, encoder, three objectives, backward, clipping, AdamW;
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
from xser_brain.objectives import (
    Adversary,
    ConstantSchedule,
    CrossEntropy,
    Heard,
    LanguageAwareSupCon,
    Objectives,
)
from xser_brain.protocol import Labels


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


class Step:
    """The three ways to do one step on the same batch."""

    def __init__(self, rows: list[manifest.Row], data_root: Path, device: str):
        torch.manual_seed(0)
        self.device = device
        folder = tempfile.mkdtemp()
        Wav2Vec2Model(Wav2Vec2Config(layerdrop=0.0)).save_pretrained(folder)
        Wav2Vec2FeatureExtractor().save_pretrained(folder)
        labels = Labels.of(rows, EMOTIONS)
        self.dataset = Utterances(
            rows, lambda row: read_waveform(row, str(data_root)), labels, 6.0
        )
        sampler = HierarchicalBatches(
            [row.language for row in rows],
            [row.emotion for row in rows],
            [row.speaker for row in rows],
            batches=1,
        )
        self.indices = next(iter(sampler))
        self.batch = self.dataset[self.indices].to(device)

        self.encoder = PretrainedEncoder(folder, adaptation="paper").to(device).train()
        width = self.encoder.width
        self.classifier = torch.nn.Linear(width, len(EMOTIONS)).to(device)
        self.objectives = papers_objectives(width, labels).to(device)
        self.parameters = [
            *trainable(self.encoder).values(),
            *self.classifier.parameters(),
            *self.objectives.parameters(),
        ]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3)

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
        batch = self.dataset[self.indices].to(self.device)
        with self._autocast(dtype):
            embeddings = self.encoder(batch.waveforms, batch.lengths)[:, 0]
            logits = self.classifier(embeddings)
            loss = total_loss(self.objectives, embeddings, logits, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

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
    times = interleaved(
        {
            "bare, fp32": step.bare,
            "ours, fp32": step.ours,
            "lobe, fp32": step.lobe,
            "bare, bf16": lambda: step.bare(bf16),
            "ours, bf16": lambda: step.ours(bf16),
        },
        args.repeats,
    )
    median = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    print(
        markdown(
            [
                {
                    "case": name,
                    "median s": f"{median[name]:.2f}",
                    "all": " ".join(f"{value:.2f}" for value in times[name]),
                    "of bare fp32": f"{median[name] / median['bare, fp32']:.2f}",
                    "faster than lobe": f"{median['lobe, fp32'] / median[name]:.2f}",
                }
                for name in times
            ]
        )
    )


if __name__ == "__main__":
    main()
