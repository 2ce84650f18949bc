"""Choose the defaults of adaptation by leaving training languages out.

    python benchmarks/adaptation.py --data_root=/corpora --manifests=results/manifests \
        --features=results/features --encoder_source=DIR

For each target, every other language is left out in turn: a ridge classifier over one
layer of a frozen encoder is trained on the rest, and each setting scored on the language
left out. Nothing of the target takes part. Then the setting that was chosen is scored on
the target, with a classifier that was trained on all others, beside the default and strict
zero-shot.
"""

import argparse
from functools import cache, partial
from pathlib import Path

import numpy as np

from data_prep import manifest
from data_prep.manifest import EMOTIONS
from xser_brain.adaptation.few_shot import STRENGTH as PENALTY
from xser_brain.adaptation.linear import Linear
from xser_brain.adaptation.running import SHRINKAGE
from xser_brain.adaptation.self_training import SHARE, STRENGTH, ridge, self_train
from xser_brain.adaptation.statistics import standardise, statistics
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.evaluation.fewshot import after_shots
from xser_brain.evaluation.metrics import confusion_matrix, uar
from xser_brain.evaluation.unlabelled import HEARD, heard_before
from xser_brain.features.cache import FeatureCache
from xser_brain.inference.calibration import fit_temperature

DRAWS = 5
RUNNING = {f"shrinkage {s:g}": s for s in (1, 3, 10, 30, 100)}
TRAINING = {
    f"share {share:g}, strength {strength:g}": (share, strength)
    for share in (0.3, 0.5, 0.7, 0.9)
    for strength in (1, 3, 10)
}
FEW = {f"strength {s:g}": s for s in (0.001, 0.003, 0.01, 0.03, 0.1)}
DEFAULTS = {
    "running": f"shrinkage {SHRINKAGE:g}",
    "self_training": f"share {SHARE:g}, strength {STRENGTH:g}",
    "few-shot": f"strength {PENALTY:g}",
}


class Trials:
    """All that can be scored, each once.

    Arguments
    ---------
    features : (utterances, width) np.ndarray
        One layer of the encoder.
    rows : sequence of Row
        The utterances, of the four emotions.
    """

    def __init__(self, features, rows):
        self.features = features.astype(np.float64)
        self.emotions = np.array([EMOTIONS.index(row.emotion) for row in rows])
        self.corpora = np.array([row.corpus for row in rows])
        self.speakers = np.array([row.speaker for row in rows])
        self.model, self.score = cache(self._model), cache(self._score)
        self.names = list(dict.fromkeys(self.corpora.tolist()))

    def _model(self, without: frozenset) -> tuple[Linear, np.ndarray]:
        """A ridge classifier of all but some corpora, and its training's statistics."""
        own = ~np.isin(self.corpora, list(without))
        x, true = self.features[own], self.emotions[own]
        training = statistics(x).astype(np.float64)
        mean, deviation = training
        _, cell, sizes = np.unique(
            [f"{c} {e}" for c, e in zip(self.corpora[own], true, strict=True)],
            return_inverse=True, return_counts=True,
        )  # fmt: skip
        classes = np.eye(len(EMOTIONS))[true]
        weight, bias = ridge((x - mean) / deviation, classes, 1 / sizes[cell], 1.0)
        weight = weight / deviation
        linear = Linear(weight, bias - weight @ mean)
        heat = fit_temperature(np.exp(linear.log_posteriors(x)), true)
        return Linear(linear.weight / heat, linear.bias / heat), training

    def _score(
        self, kind: str, setting: str, left_out: str, without: frozenset
    ) -> float:
        """UAR on a corpus of a classifier without some corpora."""
        linear, training = self.model(without)
        own = self.corpora == left_out
        x, true = self.features[own], self.emotions[own]
        if kind == "strict":
            found = [linear.predict(x)]
        elif kind == "running":
            counts = [n for n in HEARD if n < len(x)]
            found = heard_before(
                x, np.arange(len(x)), linear, training, counts, DRAWS,
                shrinkage=RUNNING[setting],
            ).values()  # fmt: skip
        elif kind == "self_training":
            moved = standardise(x, [""] * len(x), training)
            share, strength = TRAINING[setting]
            adapted = self_train(moved, linear, share=share, strength=strength)
            found = [adapted.predict(moved)]
        else:
            given = x, true, self.speakers[own], linear, training
            found = after_shots(*given, draws=DRAWS, strength=FEW[setting]).values()
        return float(
            np.mean([uar(confusion_matrix(true, p, len(EMOTIONS))) for p in found])
        )

    def validated(self, kind: str, setting: str, target: str) -> float:
        """Mean over the other corpora, each left out in its turn besides the target."""
        return np.mean(
            [
                self.score(kind, setting, other, frozenset({target, other}))
                for other in self.names
                if other != target
            ]
        )


def report(trials: Trials, kind: str, settings) -> None:
    """Print a table: a row a target, with what was chosen without it."""
    score = partial(trials.score, kind)
    names = list(settings)
    print(f"\n**{kind}** (default: {DEFAULTS[kind]})\n")
    head = ["target", *names, "chosen", "strict", "chosen, on the target", "default"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    means = []
    for target in trials.names:
        validated = [trials.validated(kind, name, target) for name in names]
        chosen = names[int(np.argmax(validated))]
        own = target, frozenset({target})
        given = [trials.score("strict", "", *own), score(chosen, *own)]
        given.append(score(DEFAULTS[kind], *own))
        means.append(validated)
        cells = [target, *(f"{v:.1f}" for v in validated), chosen]
        print(f"| {' | '.join([*cells, *(f'{v:.1f}' for v in given)])} |", flush=True)
    cells = ["mean", *(f"{v:.1f}" for v in np.mean(means, 0)), "", "", "", ""]
    print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Read features, choose, and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_root", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--encoder_source", default="openai/whisper-base")
    parser.add_argument("--layer", type=int, default=3)
    parser.add_argument(
        "--corpora", nargs="+", default=["ravdess", "emodb", "urdu", "nemo", "ased"]
    )
    parser.add_argument("--only", choices=tuple(DEFAULTS), help="one kind")
    args = parser.parse_args()
    rows = [
        row
        for name in args.corpora
        for row in manifest.read(args.manifests / f"{name}.csv")
        if row.emotion in EMOTIONS and row.has_audio
    ]
    encoder = PretrainedEncoder(args.encoder_source).eval().requires_grad_(False)
    found = FeatureCache(args.features, encoder, args.data_root).features(rows)
    features = np.stack([found[row.ID][args.layer].numpy() for row in rows])
    trials = Trials(features, rows)
    kinds = {"running": RUNNING, "self_training": TRAINING, "few-shot": FEW}
    for kind, settings in kinds.items():
        if args.only in (None, kind):
            report(trials, kind, settings)


if __name__ == "__main__":
    main()
