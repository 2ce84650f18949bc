"""Changed waveforms, with and without a cache, and mixed embeddings."""

import numpy as np
import pytest
import soundfile
import torch

from data_prep.errors import UserError
from data_prep.manifest import Row
from xser_brain.data.augmentation import Mixup, Noise, WaveformTransform
from xser_brain.data.batches import read_waveform
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.features.cache import FeatureCache
from xser_brain.protocol import Labels
from xser_brain.training.reading import Reader


class Louder(WaveformTransform):
    """By a random factor, and says how often it was asked."""

    calls = 0

    def __call__(self, waveform, rng):
        Louder.calls += 1
        return waveform * np.float32(rng.uniform(1, 2))


# --- Waveforms


@pytest.mark.parametrize("ratio", [0.0, 20.0])
def test_noise_has_its_ratio(ratio):
    tone = np.sin(np.arange(32000, dtype=np.float32))
    noisy = Noise(ratio, ratio)(tone, np.random.default_rng(0))
    assert noisy.dtype == np.float32
    power = np.mean(tone**2) / np.mean((noisy - tone) ** 2)
    assert 10 * np.log10(power) == pytest.approx(ratio, abs=0.2)


def test_noise_of_silence_is_silence():
    silence = np.zeros(100, np.float32)
    assert not Noise()(silence, np.random.default_rng(0)).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noise(views=0), "views is 0"),
        (lambda: Noise(views=1.5), "views is 1.5"),
        (lambda: Noise(20, 10), "most is 10"),
        (lambda: Mixup(0), "mixup's alpha is 0"),
    ],
)
def test_numbers_are_checked(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.fixture
def rows(tmp_path):
    """Four utterances of noise."""
    found = []
    for i in range(4):
        samples = 0.1 * np.random.default_rng(i).standard_normal(4000 + 800 * i)
        (tmp_path / "x").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"x/{i}.wav", samples, 16000)
        wav = f"$data_root/x/{i}.wav"
        seconds = len(samples) / 16000
        found.append(
            Row(f"x-{i}", seconds, wav, 16000, "x", "de", "", "sad", "sad", "train")
        )
    return found


@pytest.fixture
def cache(tmp_path, small_encoder):
    def build(name: str = "f", **options) -> FeatureCache:
        encoder = PretrainedEncoder(str(small_encoder("wav2vec2")), **options)
        kind = "prefix" if options else "pooled"
        return FeatureCache(tmp_path / name, encoder.eval(), str(tmp_path), kind)

    return build


def test_a_copy_is_what_the_encoder_makes_of_the_changed_waveform(
    rows, cache, tmp_path
):
    cache, transform = cache(), Louder()
    changed = cache.features(rows, transform=transform)
    plain = cache.features(rows)
    for row in rows:
        assert not torch.equal(changed[row.ID], plain[row.ID])
    waveform = read_waveform(rows[0], str(tmp_path))
    heard = []

    class Same(WaveformTransform):
        def __call__(self, waveform, rng):
            heard.append(waveform)
            return waveform

    same = cache.features(rows[:1], transform=Same())
    assert torch.equal(same[rows[0].ID], plain[rows[0].ID])
    np.testing.assert_array_equal(heard[0], waveform)


@pytest.mark.parametrize("adaptation", [None, "paper"])
def test_an_utterances_copy_is_the_same_whenever_it_is_made(rows, cache, adaptation):
    options = {"adaptation": adaptation, "adapted_layers": [2]} if adaptation else {}
    whole = cache("whole", **options).features(rows, transform=Noise(), view=1)
    alone = cache("alone", **options)
    for row in reversed(rows):
        mine = alone.features([row], transform=Noise(), view=1)
        assert torch.equal(mine[row.ID], whole[row.ID])


def test_copies_are_kept_by_class_settings_and_number(rows, cache, tmp_path):
    cache = cache()

    def entries():
        return {path.name for path in (tmp_path / "f").rglob("*.shard")}

    seen, tensors = [], []
    for transform, view in (
        (None, 0), (Noise(10, 20), 0), (Noise(10, 20), 1), (Noise(10, 21), 0),
        (Louder(), 0),
    ):  # fmt: skip
        before = entries()
        tensors.append(cache.features(rows[:1], transform=transform, view=view)["x-0"])
        seen.append(entries() - before)
    assert [len(new) for new in seen] == [1] * 5
    for i, one in enumerate(tensors):
        assert not any(torch.equal(one, other) for other in tensors[:i])
    Louder.calls = 0
    cache.features(rows[:1], transform=Louder())
    assert Louder.calls == 0  # found again
    assert len(entries()) == 5


def reader(tmp_path, encoder, transform, crop=0.0, **changes) -> Reader:
    settings = {"cache": "auto", "cache_dtype": "float32", "cache_limit": 1,
                "features": tmp_path / "f", "audio_memory": 1, **changes}  # fmt: skip
    return Reader(settings, encoder, str(tmp_path), "cpu", crop, transform)


def test_training_draws_from_the_copies_of_cached_features(
    rows, tmp_path, small_encoder
):
    encoder = PretrainedEncoder(str(small_encoder("wav2vec2"))).eval()
    read = reader(tmp_path, encoder, Noise(0, 10, views=2))
    data = read.open(rows, Labels(), training=True, augmented=True)

    def drawn(dataset, times=60):
        batches = (dataset[[0, 3]].features for _ in range(times))
        return [[item.numpy().tobytes() for item in batch] for batch in batches]

    torch.manual_seed(0)
    first = drawn(data)
    for position in range(2):
        counts = dict.fromkeys({batch[position] for batch in first}, 0)
        for batch in first:
            counts[batch[position]] += 1
        assert len(counts) == 3  # itself and two copies
        assert min(counts.values()) > 8
    assert len({tuple(batch) for batch in first}) == 9  # each utterance on its own
    torch.manual_seed(0)
    assert drawn(data) == first
    # Scoring hears what was recorded.
    scored = read.open(rows, Labels(), training=True)
    (plain,) = {tuple(batch) for batch in drawn(scored, 5)}
    unchanged = read.cache.features(rows)
    expected = [unchanged[rows[i].ID].numpy().tobytes() for i in (0, 3)]
    assert list(plain) == expected


def test_without_a_cache_waveforms_are_changed_anew(rows, tmp_path, small_encoder):
    encoder = PretrainedEncoder(str(small_encoder("wav2vec2"))).eval()
    read = reader(tmp_path, encoder, Noise(), cache="none")
    data = read.open(rows, Labels(), training=True, augmented=True)
    torch.manual_seed(0)
    one, two = data[[0, 1]].waveforms, data[[0, 1]].waveforms
    assert not torch.equal(one, two)
    torch.manual_seed(0)
    assert torch.equal(data[[0, 1]].waveforms, one)
    plain = read.open(rows, Labels(), training=True)[[0, 1]].waveforms
    original = torch.from_numpy(read_waveform(rows[0], str(tmp_path)))
    assert torch.equal(plain[0, : len(original)], original)  # remembered unchanged
    level = (one[0, : len(original)] - original).square().mean()
    assert 0 < level < original.square().mean()


def test_room_is_asked_for_all_copies(rows, tmp_path, small_encoder):
    encoder = PretrainedEncoder(str(small_encoder("wav2vec2"))).eval()
    alone = reader(tmp_path, encoder, None).cache.size(rows) / 1e9
    reader(tmp_path, encoder, None, cache_limit=1.5 * alone).require(rows, [])
    with pytest.raises(UserError, match="cache_limit"):
        reader(tmp_path, encoder, Noise(), cache_limit=1.5 * alone).require(rows, [])
    reader(tmp_path, encoder, Noise(), cache_limit=2.5 * alone).require(rows, [])


# --- Embeddings


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_mixup_mixes_labels_as_it_mixes_embeddings(alpha):
    mixup, shares = Mixup(alpha), []
    for seed in range(200):
        torch.manual_seed(seed)
        # Embeddings that say who they are: what is left of each is its own share.
        mixed, targets = mixup(torch.eye(12), torch.eye(4)[torch.arange(12) % 4])
        torch.testing.assert_close(targets.sum(1), torch.ones(12))
        expected = mixed @ torch.eye(4)[torch.arange(12) % 4]
        torch.testing.assert_close(targets, expected)
        assert ((mixed > 0).sum(1) <= 2).all()
        torch.testing.assert_close(mixed.sum(0), torch.ones(12))  # each given once
        strangers = mixed.diagonal()[mixed.diagonal() < 0.9999]
        if len(strangers):
            torch.testing.assert_close(strangers, strangers[:1].expand_as(strangers))
            shares.append(float(strangers[0]))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.12)
    spread = np.sqrt(1 / (4 * (2 * alpha + 1)))  # of Beta(alpha, alpha)
    assert np.std(shares) == pytest.approx(spread, rel=0.25)


def test_mixup_of_half_precision():
    mixed, targets = Mixup()(torch.randn(6, 4).bfloat16(), torch.eye(6))
    assert mixed.dtype == torch.bfloat16
    assert targets.dtype == torch.float32
