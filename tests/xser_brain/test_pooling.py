"""Pooling by loudness: against a loop, and the same alone, in a batch, cached."""

import numpy as np
import pytest
import torch

from data_prep.errors import UserError
from xser_brain.encoders.pooling import LOUD, levels
from xser_brain.encoders.pretrained import PretrainedEncoder


def utterance(seconds: float, seed: int) -> torch.Tensor:
    """Noise with a quiet first half."""
    generator = torch.Generator().manual_seed(seed)
    samples = torch.randn(round(seconds * 16000), generator=generator) * 0.1
    samples[: len(samples) // 2] *= 0.001
    return samples


@pytest.fixture(params=["wav2vec2", "wavlm", "whisper"])
def source(request, small_encoder):
    if request.param == "whisper":
        return request.getfixturevalue("whisper")
    return small_encoder(request.param)


def test_levels_are_means_of_power():
    samples = torch.arange(1000.0)[None]
    expected = [
        float(samples[0, 320 * i : 320 * (i + 1)].square().mean()) for i in (0, 1)
    ]
    assert levels(samples, 50.0, 2)[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_against_a_loop(source):
    encoder = PretrainedEncoder(str(source), pooling="all").eval()
    samples = utterance(1.3, 0)
    with torch.no_grad():
        frames, counts = encoder.frames(samples[None], torch.tensor([len(samples)]))
        found = encoder(samples[None], torch.tensor([len(samples)]))[0]
    power = [
        np.square(samples[320 * i : 320 * (i + 1)].numpy()).sum() / 320
        for i in range(int(counts))
    ]
    kept = [i for i, p in enumerate(power) if p >= max(power) * 10 ** (-LOUD / 10)]
    assert 0 < len(kept) < int(counts), "nothing to tell loud from quiet by"
    mean, loud, energy = found.split(encoder.layers)
    torch.testing.assert_close(mean, frames[0].mean(1))
    torch.testing.assert_close(loud, frames[0][:, kept].mean(1))
    weights = torch.tensor(power) ** 0.25
    expected = sum(w * frames[0][:, i] for i, w in enumerate(weights)) / weights.sum()
    torch.testing.assert_close(energy, expected.float(), atol=1e-5, rtol=1e-4)
    assert found.shape == (encoder.vectors, encoder.width)


@pytest.mark.parametrize("pooling", ["loud", "energy"])
def test_it_is_the_same_alone_and_in_a_batch(source, pooling):
    encoder = PretrainedEncoder(str(source), pooling=pooling, group_padding=1.0).eval()
    parts = [utterance(seconds, seed) for seed, seconds in enumerate((0.4, 1.1, 0.7))]
    padded = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    with torch.no_grad():
        batch = encoder(padded, torch.tensor([len(part) for part in parts]))
        for part, vectors in zip(parts, batch, strict=True):
            alone = encoder(part[None], torch.tensor([len(part)]))[0]
            assert (alone - vectors).norm() < 1e-4 * alone.norm()


@pytest.mark.parametrize("pooling", ["loud", "energy"])
def test_a_prefix_carries_the_levels(small_encoder, pooling):
    encoder = PretrainedEncoder(
        str(small_encoder("wav2vec2")), "lora", pooling=pooling, adapted_layers=[2]
    ).eval()
    samples = utterance(0.9, 3)
    prefix = encoder.prefix(samples)
    assert prefix.shape[1] == encoder.prefix_width == encoder.width + 1
    with torch.no_grad():
        whole = encoder(samples[None], torch.tensor([len(samples)]))
        short = encoder(prefix[None], torch.tensor([len(prefix)]))
    torch.testing.assert_close(whole, short)


def test_silence_is_pooled_whole(small_encoder):
    encoder = PretrainedEncoder(str(small_encoder("wav2vec2")), pooling="all").eval()
    with torch.no_grad():
        found = encoder(torch.zeros(1, 8000), torch.tensor([8000]))[0]
    mean, loud, energy = found.split(encoder.layers)
    torch.testing.assert_close(mean, loud)
    torch.testing.assert_close(mean, energy)


def test_an_unknown_pooling(small_encoder):
    with pytest.raises(
        UserError, match="unknown pooling 'max': use mean, loud, energy, both, all"
    ):
        PretrainedEncoder(str(small_encoder("wav2vec2")), pooling="max")


def test_what_is_described_is_built_again(small_encoder):
    source = small_encoder("wav2vec2")
    for pooling in ("mean", "loud", "energy"):
        encoder = PretrainedEncoder(str(source), pooling=pooling)
        description = encoder.describe()
        assert ("pooling" in description["options"]) == (pooling != "mean")
        PretrainedEncoder.check_description(description, "config.json")
        again = PretrainedEncoder.from_description(description)
        assert again.poolings == (pooling,)
