"""A training step asks a GPU for nothing that it would have to be waited for."""

import pytest
import torch
from small import FAMILIES, KINDS
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from waits import counted

from xser_brain.brain import XSERBrain
from xser_brain.cli.train import main
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.objectives import LanguageAwareSupCon
from xser_brain.objectives.supcon import numbered

RUN = {"steps": 6, "validate_every": 6}


def run(kind, argv, small_encoder, results, **changes):
    changes = {**RUN, **KINDS[kind], **changes}
    if kind != "ecapa":
        changes["encoder_source"] = small_encoder("wav2vec2")
    return argv(results, **changes)


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Let the code take the path that it takes where a device is to be waited for."""
    monkeypatch.setattr("xser_brain.waiting.at_once", lambda device: False)


@pytest.mark.parametrize("kind", [*KINDS])
def test_no_step_waits(kind, argv, small_encoder, tmp_path, monkeypatch, as_on_a_gpu):
    with counted(monkeypatch) as waits:
        assert main(run(kind, argv, small_encoder, tmp_path)) == 0
    assert waits.steps == 6
    assert not waits.seen, waits.seen


def test_the_counter_counts(argv, small_encoder, tmp_path, monkeypatch):
    """On a CPU, where it costs nothing, each step is looked at."""
    with counted(monkeypatch) as waits:
        assert main(run("cached", argv, small_encoder, tmp_path)) == 0
    assert waits.seen["tolist in finite.py:first"] == 2 * waits.steps
    assert waits.seen["_unique2 in supcon.py:_sum_over_others"] == 2 * waits.steps


def test_the_same_run(argv, tmp_path, as_on_a_gpu, monkeypatch):
    """What is looked at later comes out the same, the means of losses in logs, too."""
    changes = {"system": "baseline1", "validate_every": 5}
    assert main(argv(tmp_path / "later", **changes)) == 0
    monkeypatch.undo()
    assert main(argv(tmp_path / "at_once", **changes)) == 0
    names = "train_log.txt", "predictions.csv"
    for name in names:
        [later], [at_once] = (
            list((tmp_path / how).rglob(name)) for how in ("later", "at_once")
        )
        assert later.read_bytes() == at_once.read_bytes(), name


@pytest.mark.parametrize("seed", range(5))
def test_groups_without_asking_how_many(seed, monkeypatch):
    """The contrastive loss and its gradient, either way."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(24, 8, generator=generator)
    emotions, languages = (
        torch.randint(-1, 4, (24,), generator=generator) for _ in range(2)
    )
    assert torch.equal(numbered(emotions), emotions.unique(return_inverse=True)[1])
    found = []
    for known in (True, False):
        monkeypatch.setattr("xser_brain.waiting.at_once", lambda device, k=known: k)
        own = embeddings.clone().requires_grad_()
        loss = LanguageAwareSupCon().loss(own, emotions, languages)
        loss.backward()
        found.append((loss, own.grad))
    torch.testing.assert_close(*found)
    alone = LanguageAwareSupCon().loss(embeddings[:1], emotions[:1], languages[:1])
    assert alone == 0


class Copies(TorchDispatchMode):
    """Notes copies between the host's memory and a GPU that are waited for."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made, name = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        if name in ("_to_copy", "copy_"):
            source = args[0] if name == "_to_copy" else args[1]
            waits = not (kwargs or {}).get("non_blocking", args[2:3] == (True,))
            if waits and source.device.type != made.device.type:
                self.seen.append(f"{name} of {tuple(source.shape)}")
        return made


class Lengths:
    """In the host's memory: in a fake mode no tensor can be read."""

    def __init__(self, values):
        self.values = values

    def tolist(self):
        return self.values


@pytest.mark.parametrize("family", [*FAMILIES])
def test_encoders_on_what_pretends_to_be_on_a_gpu(family, small_encoder):
    """Nothing is read from there, which would raise, and nothing copied while it waits."""
    if family == "data2vec":
        pytest.skip("its position embedding reads how many frames there are")
    encoder = PretrainedEncoder(str(small_encoder(family)), adaptation="paper")
    lengths = [16000, 9000, 16000]
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in encoder.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = alike(tensor)
        waveforms = torch.zeros(3, max(lengths), device="cuda")
        encoder.train()
        with Copies() as copies:
            assert encoder(waveforms, Lengths(lengths)).device.type == "cuda"
    assert not copies.seen


def alike(tensor: torch.Tensor) -> torch.Tensor:
    """One that pretends to be on a GPU."""
    made = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(made, tensor.requires_grad)
    return made


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["cached", "lora"])
def test_torch_itself_sees_none(kind, argv, small_encoder, tmp_path, monkeypatch):
    """Steps from the third on (the first ones compile and allocate) wait for nothing."""
    step, steps = XSERBrain.fit_batch, []

    def strict(self, batch):
        steps.append(batch)
        torch.cuda.set_sync_debug_mode("error" if len(steps) > 2 else "default")
        try:
            return step(self, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(XSERBrain, "fit_batch", strict)
    assert main(run(kind, argv, small_encoder, tmp_path)) == 0
    assert len(steps) == 6
