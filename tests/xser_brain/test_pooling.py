"""Pooling by loudness: against a loop, and the same alone, in a batch, cached."""

import numpy as np
import pytest
import torch
from models import exported, noise, probabilities

from data_prep.errors import UserError
from xser_brain.cli.train import main as train
from xser_brain.encoders.attention import AttentiveStatistics
from xser_brain.encoders.pooling import LOUD, levels
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.features.cache import FeatureCache, fingerprint
from xser_brain.inference.loading import load


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
    known = "mean, loud, energy, both, all, attentive"
    with pytest.raises(UserError, match=f"unknown pooling 'max': use {known}"):
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


# --- Attentive statistics: learned


def attentive(source, adaptation="frozen", **options):
    """With weights that differ from frame to frame."""
    torch.manual_seed(1)
    encoder = PretrainedEncoder(
        str(source), adaptation, pooling="attentive", **options
    ).eval()
    with torch.no_grad():
        for pool in encoder.attention:
            pool.score[-1].weight.mul_(20)
    return encoder


def alone(encoder, samples):
    with torch.no_grad():
        return encoder(samples[None], torch.tensor([len(samples)]))[0]


def test_attentive_statistics_against_a_loop():
    torch.manual_seed(0)
    pool = AttentiveStatistics(4, channels=3).requires_grad_(False)
    pool.score[2].weight.mul_(5)
    frames = torch.randn(1, 6, 4)
    hidden = torch.tanh(frames[0] @ pool.score[0].weight.T + pool.score[0].bias)
    scores = (hidden @ pool.score[2].weight.T)[:, 0] + pool.score[2].bias
    shares = [float(s.exp() / scores.exp().sum()) for s in scores]
    mean = sum(share * x for share, x in zip(shares, frames[0], strict=True))
    square = sum(share * x**2 for share, x in zip(shares, frames[0], strict=True))
    expected = torch.cat([mean, (square - mean**2).sqrt()])
    torch.testing.assert_close(pool(frames)[0], expected, atol=1e-5, rtol=1e-4)
    assert max(shares) > 1.2 * min(shares), "nothing to tell from a plain mean by"


def test_attentive_statistics_of_one_frame_have_gradients():
    frames = torch.randn(1, 1, 4, requires_grad=True)
    AttentiveStatistics(4)(frames).sum().backward()
    assert frames.grad.isfinite().all()


def test_attention_learns_which_frames_count():
    """Of 20 frames one is marked; what it says is lost in the mean of all."""
    torch.manual_seed(0)
    frames = torch.randn(200, 20, 6)
    marked, true = torch.randint(20, (200,)), torch.arange(200) % 2
    each = torch.arange(200)
    frames[..., 0] = 0.0
    frames[each, marked, 0] = 3.0
    frames[each, marked, 1] = 2.0 * true - 1.0

    def loss(learned: bool) -> float:
        pool, classifier = AttentiveStatistics(6, 16), torch.nn.Linear(12, 2)
        if not learned:
            torch.nn.init.zeros_(pool.score[2].weight)
            pool.requires_grad_(False)
        parameters = [*pool.parameters(), *classifier.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=0.02)
        for _ in range(150):
            optimizer.zero_grad()
            value = torch.nn.functional.cross_entropy(classifier(pool(frames)), true)
            value.backward()
            optimizer.step()
        return float(value.detach())

    assert loss(learned=True) < 0.1
    assert loss(learned=False) > 0.5


@pytest.mark.parametrize("use_layers", ["all", "last"])
def test_attentive_vectors_are_the_same_alone_and_in_a_batch(source, use_layers):
    encoder = attentive(source, use_layers=use_layers, group_padding=1.0)
    assert encoder.width == 2 * encoder.frame_width
    parts = [utterance(seconds, seed) for seed, seconds in enumerate((0.4, 1.1, 0.7))]
    padded = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    with torch.no_grad():
        batch = encoder(padded, torch.tensor([len(part) for part in parts]))
    assert batch.shape == (3, encoder.vectors, encoder.width)
    for part, vectors in zip(parts, batch, strict=True):
        found = alone(encoder, part)
        assert (found - vectors).norm() < 1e-5 * found.norm()


@pytest.mark.parametrize("use_layers", ["all", "last"])
@pytest.mark.parametrize(
    ("adaptation", "layers"), [("frozen", None), ("lora", [2]), ("paper", None)]
)
def test_attentive_vectors_of_a_prefix(source, adaptation, layers, use_layers):
    encoder = attentive(
        source, adaptation, adapted_layers=layers, use_layers=use_layers
    )
    samples = utterance(0.9, 3)
    prefix = encoder.prefix(samples)
    assert prefix.shape[1] == encoder.prefix_width
    handed = encoder.layers if adaptation == "frozen" else 1
    assert encoder.prefix_width == handed * encoder.frame_width
    with torch.no_grad():
        short = encoder(prefix[None], torch.tensor([len(prefix)]))[0]
    torch.testing.assert_close(alone(encoder, samples), short)


def test_what_is_cached_does_not_depend_on_the_attention(small_encoder):
    encoder = attentive(small_encoder("wav2vec2"))
    before = fingerprint(encoder, "prefix")
    with torch.no_grad():
        encoder.attention[0].score[0].bias.add_(1)
    assert fingerprint(encoder, "prefix") == before
    assert not any("attention.0.score" in n for n in encoder.prefix_tensors())


def test_attention_alone_trains_in_a_frozen_encoder(small_encoder):
    encoder = attentive(small_encoder("wav2vec2")).train()
    assert (encoder.frozen, encoder.frames_frozen) == (False, True)
    assert all(name.startswith("attention.") for name in encoder.trained_state())
    samples = utterance(0.6, 0)[None]
    encoder(samples, torch.tensor([samples.shape[1]])).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        attends = name.startswith("attention.")
        assert (parameter.grad is not None) == parameter.requires_grad == attends, name


def test_pooled_vectors_of_learned_pooling_are_not_cached(small_encoder, tmp_path):
    encoder = attentive(small_encoder("wav2vec2"))
    message = "pooling=attentive is learned from frames, .*: use pooling=mean"
    with pytest.raises(UserError, match=message):
        FeatureCache(tmp_path, encoder, str(tmp_path))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "robust", "encoder": "wav2vec2"}, "robust is fitted to cached"),
        ({"encoder": "ecapa"}, "ecapa has a pooling of its own; leave it out"),
        (
            {"system": "with_ctc", "encoder": "wav2vec2"},
            "frozen: pass --adaptation=lora",
        ),
    ],
)
def test_where_attention_cannot_be_learned(
    changes, message, argv, complaint, small_encoder, tmp_path
):
    if changes["encoder"] != "ecapa":
        changes = {**changes, "encoder_source": small_encoder("wav2vec2")}
    assert message in complaint(argv(tmp_path, pooling="attentive", **changes))


@pytest.mark.parametrize("size", ["projection", "hidden"])
def test_a_head_that_no_one_would_train_is_refused(
    size, argv, complaint, small_encoder, tmp_path
):
    options = {"encoder": "wav2vec2", "encoder_source": small_encoder("wav2vec2")}
    said = complaint(argv(tmp_path, system="robust", **{size: 8}, **options))
    assert f"--{size}=8 is for heads that are trained by steps" in said


@pytest.mark.parametrize("adaptation", ["frozen", "lora"])
def test_an_attentive_model_is_exported_and_loaded(adaptation, small_encoder, tmp_path):
    folder, model = exported(
        tmp_path / "m",
        small_encoder("wav2vec2"),
        adaptation=adaptation,
        pooling="attentive",
    )
    again, _ = load(folder)
    waveforms = [noise(0.5), noise(1.2, 1)]
    expected = probabilities(model, waveforms)
    assert np.ptp(expected, axis=0).max() > 0.01
    assert (probabilities(again, waveforms) == expected).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_layers": "last", "hidden": 8},
        {"cache": "none"},
        {"adaptation": "lora", "lora_rank": 2, "adapted_layers": "[2]"},
    ],
)
def test_attention_is_learned_in_a_run(changes, argv, record, small_encoder, tmp_path):
    """Trained, exported, loaded: it says of the target what predictions.csv says."""
    label = "wav2vec2-lora" if "adaptation" in changes else "wav2vec2"

    def done(name: str, **more):
        given = argv(
            tmp_path / name, encoder="wav2vec2", pooling="attentive", steps=6,
            encoder_source=small_encoder("wav2vec2"), **changes, **more,
        )  # fmt: skip
        assert train(given) == 0
        [run] = (tmp_path / name).glob(f"*/proposed/{label}/1")
        return run

    run = done("trained")
    encoder = record(run)["encoder"]
    assert (encoder["cached"] is None) == ("cache" in changes)
    assert encoder["frozen"] == (label == "wav2vec2")
    model, config = load(run / "model")
    assert config["encoder"]["options"]["pooling"] == "attentive"
    assert config.get("hidden", 0) == changes.get("hidden", 0)
    assert config["projection"] == (256 if label == "wav2vec2" else 0)
    untrained, _ = load(done("untrained", encoder_learning_rate=0.0) / "model")
    start, end = (m.encoder.attention.state_dict() for m in (untrained, model))
    for name, tensor in end.items():
        if name.endswith("weight"):
            assert not torch.allclose(tensor, start[name], atol=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["loud", "all"])
def test_frames_are_pooled_as_a_recipe_asks(pooling, argv, small_encoder, tmp_path):
    source = small_encoder("wav2vec2")
    given = argv(
        tmp_path, encoder="wav2vec2", encoder_source=source, pooling=pooling, steps=3
    )
    assert train(given) == 0
    [run] = tmp_path.glob("*/proposed/wav2vec2/1")
    model, _ = load(run / "model")
    assert model.encoder.pooling == pooling
    assert len(model.head.weights()) == model.encoder.vectors
