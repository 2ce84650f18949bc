"""Batches of one step are one large batch, which is encoded in pieces."""

import copy
import re

import pytest
import torch
from small import ATTRIBUTES, heard
from torch.multiprocessing.reductions import StorageWeakRef

from xser_brain.data.sampling import Joined, RandomBatches
from xser_brain.encoders.pieces import InPieces
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.objectives import (
    Adversary,
    CrossEntropy,
    LanguageAwareSupCon,
    Objectives,
)
from xser_brain.protocol import Labels

# Random batches are cut from one stream: four of nine hold the utterances of one of 36.
SYSTEM = """
trains_on: all
sampler: random
objectives:
  emotion: !ref <objectives[emotion]>
  speaker: !ref <objectives[speaker]>
  supcon: !ref <objectives[supcon]>
"""
FOUR = "--grad_accumulation_factor=4"
LENGTHS = [9000, 4000, 6500, 4100, 8000, 5200, 9000]
PIECES = 3


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    path = tmp_path_factory.mktemp("system") / "random.yaml"
    path.write_text(SYSTEM)
    return path


def logged(run, name: str) -> list[float]:
    """A figure of training, at each validation."""
    text = (run / "train_log.txt").read_text()
    found = re.findall(rf"train {name}: ([\d.e+-]+)", text)
    assert found, text
    return [float(figure) for figure in found]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "changes"),
    [("ecapa", {}), ("cached", {}), ("lora", {}), ("lora", {"cache": "none"})],
)
def test_four_batches_are_one_four_times_as_large(
    kind, changes, system, launch, assert_same_gradients
):
    changes = {**changes, "system": system}
    one, expected = launch(kind, steps=12, batch_size=36, **changes)
    four, found = launch(kind, 1, expected, 12, (FOUR,), batch_size=9, **changes)
    assert_same_gradients(found, expected, least=12)
    for name in ("loss", "emotion", "speaker", "supcon"):
        assert logged(four, name) == pytest.approx(logged(one, name), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cached", "lora"])
def test_each_process_encodes_its_share_in_pieces(
    kind, system, launch, assert_same_gradients
):
    _, expected = launch(kind, steps=12, batch_size=36, system=system)
    _, found = launch(kind, 2, expected, 12, (FOUR,), batch_size=9, system=system)
    assert_same_gradients(found, expected, least=12)


def test_pairs_are_found_across_pieces(system, launch):
    """Of one utterance each: alone none of them has a positive."""
    eight = ("--grad_accumulation_factor=8",)
    run, _ = launch("lora", steps=2, options=eight, batch_size=1, system=system)
    assert min(logged(run, "supcon")) > 0


@pytest.mark.slow
def test_batch_norm_sees_the_whole_batch_and_that_is_said(system, launch):
    said = {}
    for kind in ("ecapa", "lora"):
        run, _ = launch(kind, steps=2, options=(FOUR,), batch_size=9, system=system)
        said[kind] = "batch norm" in (run / "log.txt").read_text()
    assert said == {"ecapa": True, "lora": False}


# --- The encoder in pieces


@pytest.fixture
def encoder(small_encoder):
    torch.manual_seed(0)
    encoder = PretrainedEncoder(
        str(small_encoder("wav2vec2")),
        adaptation="lora",
        lora_rank=2,
        lora_dropout=0.3,
    ).train()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    waveforms = torch.zeros(len(LENGTHS), max(LENGTHS))
    for row, length in zip(waveforms, LENGTHS, strict=True):
        row[:length] = torch.randn(length, generator=generator)
    return waveforms, torch.tensor(LENGTHS)


class Graphs(torch.nn.Module):
    """The same pieces in the same order, all of whose graphs are kept."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, inputs, lengths):
        pieces = zip(
            inputs.tensor_split(PIECES), lengths.tensor_split(PIECES), strict=True
        )
        return torch.cat([self.module(*piece) for piece in pieces])


def trained(encoder, precision: torch.dtype, steps: int = 12) -> list[torch.Tensor]:
    """The gradients of each step, and the weights after the last."""
    torch.manual_seed(4)
    width = encoder.module.width
    indices = {name: torch.arange(len(LENGTHS)) % 3 for name in ATTRIBUTES}
    objectives = Objectives(
        {
            "emotion": CrossEntropy(),
            "speaker": Adversary(weight=0.3),
            "supcon": LanguageAwareSupCon(),
        }
    )
    for objective in objectives.values():
        objective.prepare(width, Labels(speakers=("a", "b", "c")))
    classifier = torch.nn.Linear(width, 4)
    modules = torch.nn.ModuleList([encoder, classifier, objectives])
    parameters = [p for p in modules.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    kept = []
    for step in range(steps):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            embeddings = encoder(*batch(step))[:, 0]
            known = {**indices, "logits": classifier(embeddings)}
            losses = objectives(heard(embeddings, **known), step / steps)
        sum(losses.values()).backward()
        kept += [parameter.grad.clone() for parameter in parameters]
        optimizer.step()
        optimizer.zero_grad()
    return kept + [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_pieces_draw_the_same_dropout_twice(precision, encoder):
    """Twelve steps with dropout in the encoder and after it, as with all graphs kept."""
    expected = trained(Graphs(copy.deepcopy(encoder)), precision)
    found = trained(InPieces(encoder, PIECES), precision)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_nothing_but_the_vectors_of_a_piece_is_kept(encoder):
    """Before the loss, no hidden layer; after it, never more than those of a piece."""
    encoder.group_padding, most = 1.0, {}
    for pieces in (1, PIECES):
        held, most[pieces] = [], 0

        def count(module, inputs, output, held=held, pieces=pieces):
            held.append((StorageWeakRef(output.untyped_storage()), output.nbytes))
            alive = sum(size for ref, size in held if not ref.expired())
            most[pieces] = max(most[pieces], alive)

        hooks = [
            layer.register_forward_hook(count)
            for layer in encoder.core.transformer_layers
        ]
        pooled = InPieces(encoder, pieces)(*batch(0))
        assert all(ref.expired() for ref, _ in held)
        pooled.square().sum().backward()
        assert all(ref.expired() for ref, _ in held)
        for hook in hooks:
            hook.remove()
    assert most[PIECES] < 0.6 * most[1]


@pytest.mark.parametrize("pieces", [1, 2, 7, 9])
def test_any_number_of_pieces(pieces, encoder):
    encoder.eval()
    torch.testing.assert_close(InPieces(encoder, pieces)(*batch(0)), encoder(*batch(0)))


# --- Their batches


@pytest.mark.parametrize("count", [1, 2, 5])
def test_joined_batches(count):
    sampler = RandomBatches(101, batch_size=12, batches=10)
    joined = Joined(sampler, count)
    assert len(joined) == len([*joined]) == 10 // count
    assert sum(joined, []) == sum(sampler, [])
    assert {len(batch) for batch in joined} == {12 * count}


@pytest.mark.parametrize("factor", [0, -2])
def test_a_factor_below_one(factor, argv, complaint, tmp_path):
    line = complaint([*argv(tmp_path), f"--grad_accumulation_factor={factor}"])
    assert "grad_accumulation_factor" in line and "from 1" in line
