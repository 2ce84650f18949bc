"""Several processes give the gradients of one."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from xser_brain import parallel
from xser_brain.encoders.ecapa import ECAPAEncoder
from xser_brain.objectives import LanguageAwareSupCon

LENGTHS = [8000, 6400, 3200, 7200, 4800, 8000, 5000]
LABELS = torch.tensor([0, 1, 0, 1, 0, 1, 0]), torch.tensor([0, 0, 0, 1, 1, 1, 2])


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    waveforms = torch.zeros(len(LENGTHS), max(LENGTHS))
    for row, length in zip(waveforms, LENGTHS, strict=True):
        row[:length] = torch.randn(length, generator=generator)
    return waveforms, torch.tensor(LENGTHS)


def encoder() -> ECAPAEncoder:
    torch.manual_seed(1)
    return ECAPAEncoder(width=8, n_mels=20, channels=16, attention_channels=8).train()


def loss(pooled: torch.Tensor) -> torch.Tensor:
    """One that looks at pairs: no part of a batch has it."""
    emotions, languages = LABELS
    supcon = LanguageAwareSupCon(temperature=0.5)
    return supcon.loss(pooled[:, 0], emotions, languages) + pooled.var()


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {**gradients, **{n: b.clone() for n, b in model.named_buffers()}}


def launched(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/meeting", rank=rank, world_size=world
    )
    model = parallel.share_batch_norm(encoder())
    shared = DistributedDataParallel(model)
    waveforms, lengths = batch()
    own = parallel.shares(len(lengths), world)[rank]
    pooled = parallel.gather(shared(waveforms[own], lengths[own]), len(lengths))
    value = loss(pooled)
    value.backward()
    order = parallel.gather_batches(range(rank, 5, world))
    torch.save([value.item(), state(model), order], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_gradients_are_those_of_one_process(world, tmp_path):
    """Of a contrastive loss through batch norm, with shares that are uneven."""
    model = encoder()
    expected = loss(model(*batch()))
    expected.backward()
    expected_state = copy.deepcopy(state(model))
    torch.multiprocessing.spawn(launched, (world, str(tmp_path)), nprocs=world)
    for rank in range(world):
        value, found, order = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert value == pytest.approx(expected.item(), abs=1e-5)
        assert order == [0, 1, 2, 3, 4]
        assert found.keys() == expected_state.keys()
        for name, values in expected_state.items():
            torch.testing.assert_close(found[name], values, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("total", "parts"), [(36, 3), (7, 3), (3, 3), (2, 3), (1, 4)])
def test_every_utterance_is_dealt(total, parts):
    dealt = parallel.shares(total, parts)
    sizes = [share.stop - share.start for share in dealt]
    assert len(dealt) == parts
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert {i for share in dealt for i in range(total)[share]} == set(range(total))


def test_alone_nothing_is_exchanged():
    own = torch.rand(3, 2)
    assert parallel.gather(own, 3) is own
    assert parallel.gather_batches(["a", "b"]) == ["a", "b"]
    assert (parallel.processes(), parallel.rank()) == (1, 0)
