"""Time the step of several runs' heads in one batch against as many steps in turn.

    python benchmarks/seeds.py --seeds 5 --repeats 5 [--device cuda]

Runs that differ in their seed alone could be trained as one: parameters and batches
stacked, losses by ``torch.vmap``. What that gains depends on the device: on a GPU a step of
heads costs the starting of its kernels, on a CPU the numbers themselves. Heads and batches
have the sizes of a frozen Whisper base in the recipes (36 utterances, 7 layers of 512, an
embedding of 256, 4 emotions), features and labels are random:

* ``one``: a training step of one run: head, cross-entropy, backward, clipping, AdamW;
* ``in turn``: such a step of each run;
* ``batched``: a step of all of them at once.

Before that, all take some steps without dropout, and the parameters are compared.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from timing import interleaved, markdown
from torch.func import functional_call, stack_module_state

from xser_brain.head import EmbeddingHead
from xser_brain.objectives import CrossEntropy, Heard

BATCH, LAYERS, WIDTH, PROJECTION, EMOTIONS = 36, 7, 512, 256, 4
STEPS = 100  # that are timed at once
COMPARED = 20  # steps, before parameters are compared


class Model(torch.nn.Module):
    """Head, classifier and loss, as a recipe's baseline has them."""

    def __init__(self, dropout: float):
        super().__init__()
        self.head = EmbeddingHead(LAYERS, WIDTH, PROJECTION, dropout)
        self.classifier = torch.nn.Linear(PROJECTION, EMOTIONS)
        self.objective = CrossEntropy()

    def forward(self, features: torch.Tensor, emotions: torch.Tensor) -> torch.Tensor:
        """The loss of a batch: (batch, layers, width) features, (batch,) emotions."""
        embeddings = self.head(features)
        known = [emotions, *[torch.full_like(emotions, -1)] * 4]
        logits = self.classifier(embeddings)
        return self.objective(Heard(embeddings, logits, *known), progress=0.0)


class InTurn:
    """Each run with an optimiser of its own."""

    def __init__(self, models: list[Model]):
        self.models = models
        self.optimizers = [
            torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=True)
            for model in models
        ]

    def step(self, features: torch.Tensor, emotions: torch.Tensor) -> None:
        """A step of each run: (runs, batch, ...) features and emotions."""
        batches = zip(features, emotions, strict=True)
        for (model, optimizer), batch in zip(
            zip(self.models, self.optimizers, strict=True), batches, strict=True
        ):
            model(*batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()


class Batched:
    """All runs' parameters as one, and one optimiser."""

    def __init__(self, models: list[Model]):
        self.model = models[0]
        self.parameters, _ = stack_module_state(models)
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=1e-3, foreach=True
        )
        self.losses = torch.vmap(self._loss, randomness="different")

    def _loss(self, parameters: dict, *batch: torch.Tensor) -> torch.Tensor:
        return functional_call(self.model, parameters, batch)

    def step(self, features: torch.Tensor, emotions: torch.Tensor) -> None:
        """A step of all runs at once: (runs, batch, ...) features and emotions."""
        self.losses(self.parameters, features, emotions).sum().backward()
        gradients = [parameter.grad for parameter in self.parameters.values()]
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])
        shares = (5.0 / (norms.norm(dim=0) + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(shares.view(-1, *[1] * (gradient.ndim - 1)))
        self.optimizer.step()
        self.optimizer.zero_grad()


def models(seeds: int, dropout: float, device: str) -> list[Model]:
    """A new model for each seed."""
    made = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        made.append(Model(dropout).to(device))
    return made


def batches(seeds: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of each run."""
    generator = torch.Generator().manual_seed(0)
    shape = seeds, BATCH, LAYERS, WIDTH
    features = torch.randn(shape, generator=generator)
    emotions = torch.randint(EMOTIONS, shape[:2], generator=generator)
    return features.to(device), emotions.to(device)


def difference(seeds: int, device: str) -> float:
    """How far parameters are apart, at most, after some steps of both."""
    turns = InTurn(models(seeds, 0.0, device))
    batched = Batched(models(seeds, 0.0, device))
    for _ in range(COMPARED):
        turns.step(*batches(seeds, device))
        batched.step(*batches(seeds, device))
    return max(
        (batched.parameters[name][i] - parameter).abs().max().item()
        for i, model in enumerate(turns.models)
        for name, parameter in model.named_parameters()
    )


def timed(step: Callable, device: str, *batch: torch.Tensor) -> None:
    """Many steps, waited for."""
    for _ in range(STEPS):
        step(*batch)
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    seeds, device = args.seeds, args.device
    print(f"parameters differ by {difference(seeds, device):.1e} at most\n")
    one, several = batches(1, device), batches(seeds, device)
    cases = {
        "one": partial(timed, InTurn(models(1, 0.1, device)).step, device, *one),
        "in turn": partial(
            timed, InTurn(models(seeds, 0.1, device)).step, device, *several
        ),
        "batched": partial(
            timed, Batched(models(seeds, 0.1, device)).step, device, *several
        ),
    }
    times = interleaved(cases, args.repeats)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{seeds} seeds, {device}, {torch.get_num_threads()} threads\n")
    rows = [
        {
            "case": name,
            "ms a step": seconds / STEPS * 1000,
            "of one": seconds / medians["one"],
        }
        for name, seconds in medians.items()
    ]
    print(markdown(rows))


if __name__ == "__main__":
    main()
