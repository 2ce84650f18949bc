"""What is cached: computed once, for this audio and these weights, and bounded."""

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.utils.rnn import pad_sequence

from data_prep import corpus, manifest, prepare
from data_prep.errors import UserError
from data_prep.manifest import Row
from xser_brain import cli
from xser_brain.cli.train import main
from xser_brain.data.ahead import read_ahead
from xser_brain.data.batches import Utterances, read_waveform
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.features import shards, store
from xser_brain.features.cache import FeatureCache, fingerprint
from xser_brain.features.store import Store, groups
from xser_brain.protocol import Labels


@pytest.fixture(autouse=True)
def one_each(monkeypatch):
    """Shards of one array each, so that what is on disk is soon there."""
    monkeypatch.setattr(store, "LARGEST", 1)


@pytest.fixture
def encoder(small_encoder):
    return PretrainedEncoder(str(small_encoder("wav2vec2")))


@pytest.fixture
def rows(tmp_path, tone) -> list[Row]:
    made = []
    for i in range(3):
        tone(tmp_path / f"x/{i}.wav", rate=16000 - 1000 * i)
        wav = f"$data_root/x/{i}.wav"
        made.append(
            Row(f"x-{i}", 0.5, wav, 16000, "x", "de", "x-a", "sad", "sad", "train")
        )
    return made


@pytest.fixture
def cache(encoder, tmp_path):
    """A cache that counts the utterances its encoder is asked for."""
    cache = FeatureCache(tmp_path / "features", encoder, str(tmp_path))
    cache.encoded = []
    encoder.register_forward_pre_hook(
        lambda module, args: cache.encoded.append(len(args[0]))
    )
    return cache


def reopened(cache, encoder=None):
    """What another run sees."""
    other = FeatureCache(cache.store.root, encoder or cache.encoder, cache.data_root)
    return other.features


def direct(encoder, row, root):
    waveform = torch.from_numpy(read_waveform(row, str(root)))
    with torch.no_grad():
        return encoder(waveform[None], torch.tensor([len(waveform)]))[0]


def test_features_are_the_encoders(cache, encoder, rows, tmp_path):
    features = cache.features(rows)
    assert set(features) == {row.ID for row in rows}
    for row in rows:
        expected = direct(encoder, row, tmp_path)
        assert features[row.ID].shape == (encoder.layers, encoder.width)
        torch.testing.assert_close(features[row.ID], expected, rtol=1e-4, atol=1e-5)
    assert not features["x-0"].is_inference()


def test_second_call_encodes_nothing(cache, rows):
    first = cache.features(rows)
    assert sum(cache.encoded) == 3
    again = reopened(cache)(rows)
    assert sum(cache.encoded) == 3
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_only_what_is_new_is_encoded(cache, rows):
    cache.features(rows[:2])
    cache.features(rows)
    assert sum(cache.encoded) == 3


def test_the_same_recording_under_another_name_is_found(cache, rows, tmp_path):
    """Contents count, not paths: a corpus may be moved."""
    cache.features(rows)
    shutil.copytree(tmp_path / "x", tmp_path / "moved/y")
    moved = [
        replace(row, ID=f"y{row.ID}", wav=row.wav.replace("/x/", "/moved/y/"))
        for row in rows
    ]
    reopened(cache)(moved)
    assert sum(cache.encoded) == 3


def test_changed_audio_is_encoded_anew(cache, rows, tmp_path, tone):
    first = cache.features(rows)
    path = tmp_path / "x/1.wav"
    data = path.read_bytes()
    samples = np.frombuffer(data[44:], np.int16)
    path.write_bytes(data[:44] + (samples[::-1] // 2).tobytes())  # of the same size
    again = cache.features(rows)
    assert sum(cache.encoded) == 4
    assert torch.equal(again["x-0"], first["x-0"])
    assert not torch.equal(again["x-1"], first["x-1"])


def test_changed_weights_are_another_cache(cache, encoder, rows):
    first = cache.features(rows)
    with torch.no_grad():
        encoder.core.transformer_layers[0].final_layer_norm.bias[0] += 0.5
    again = reopened(cache)(rows)
    assert sum(cache.encoded) == 6
    assert not torch.equal(again["x-0"], first["x-0"])


@pytest.mark.parametrize("change", ["heads", "normalise"])
def test_changed_settings_are_another_cache(change, small_encoder, tmp_path):
    """The same weights, and yet another encoder."""
    folder = small_encoder("wav2vec2")
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    name, old, new = {
        "heads": (
            "config.json",
            '"num_attention_heads": 4',
            '"num_attention_heads": 2',
        ),
        "normalise": (
            "preprocessor_config.json",
            '"do_normalize": true',
            '"do_normalize": false',
        ),
    }[change]
    text = (other / name).read_text()
    assert old in text
    (other / name).write_text(text.replace(old, new))
    one, two = PretrainedEncoder(str(folder)), PretrainedEncoder(str(other))
    waveform, lengths = torch.rand(1, 8000), torch.tensor([8000])
    assert not torch.allclose(one(waveform, lengths), two(waveform, lengths))
    assert fingerprint(one) != fingerprint(two)


def test_the_folder_of_an_encoder_does_not_matter(small_encoder, tmp_path):
    folder = small_encoder("wav2vec2")
    shutil.copytree(folder, tmp_path / "moved")
    moved = PretrainedEncoder(str(tmp_path / "moved"))
    assert fingerprint(moved) == fingerprint(PretrainedEncoder(str(folder)))


def of_another_shape(path):
    shards.write(path, dict.fromkeys(shards.Shard(path).keys, np.zeros((2, 2))))


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "header": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "garbage": lambda path: path.write_bytes(shards.MAGIC + bytes(100)),
    "one bit": lambda path: flip(path, 200),
    "header bit": lambda path: flip(path, 30),
    "text": lambda path: path.write_text("no features"),
    "shape": of_another_shape,
    "pickle": lambda path: path.write_bytes(pickle.dumps({})),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file_is_recomputed(damage, cache, rows, caplog):
    first = {**cache.features(rows)}
    stored = sorted(cache.store.folder.rglob("*.shard"))
    assert len(stored) == 3
    DAMAGE[damage](stored[1])
    again = reopened(cache)(rows)
    assert sum(cache.encoded) == 4
    assert "1 damaged files" in caplog.text
    for name in first:
        torch.testing.assert_close(again[name], first[name], rtol=1e-4, atol=1e-5)
    reopened(cache)(rows)
    assert sum(cache.encoded) == 4  # and mended


def test_missing_audio_names_the_file(cache, rows, tmp_path):
    (tmp_path / "x/1.wav").unlink()
    with pytest.raises(UserError, match="1.wav.*get it again"):
        cache.features(rows)


def test_bad_audio_leaves_no_feature(cache, rows, tmp_path):
    path = tmp_path / "x/1.wav"
    path.write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(UserError, match="1.wav"):
        cache.features(rows)
    assert len(list(cache.store.folder.rglob("*.shard"))) in (0, 1, 2)
    assert not list(cache.store.folder.rglob("*.tmp"))


@pytest.fixture
def corpora(standins, tmp_path) -> list[Row]:
    """One stand-in corpus."""
    manifest_path = prepare.prepare(
        corpus.get("emodb"), standins / "emodb", tmp_path / "m", "speaker"
    )
    return manifest.read(manifest_path)


@pytest.mark.parametrize("kind", ["pooled", "prefix"])
def test_two_processes_at_once(kind, small_encoder, corpora, standins, tmp_path):
    adaptation = "frozen" if kind == "pooled" else "paper"
    encoder = PretrainedEncoder(str(small_encoder("wav2vec2")), adaptation)
    folder = tmp_path / "features"
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)

    def fill(out):
        cache = FeatureCache(folder, encoder, str(standins), kind)
        start.wait()
        torch.save(dict(cache.features(corpora)), out)

    outs = [tmp_path / f"{i}.pt" for i in range(2)]
    processes = [context.Process(target=fill, args=(out,)) for out in outs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    one, two = map(torch.load, outs)
    assert len(one) == len(two) == len(corpora)
    for row in corpora:
        assert torch.equal(one[row.ID], two[row.ID])
    written = [
        key for path in folder.rglob("*.shard") for key in shards.Shard(path).keys
    ]
    assert len({*written}) == len(corpora)
    assert not list(folder.rglob("*.tmp"))


def test_killed_process_leaves_whole_entries(encoder, corpora, standins, tmp_path):
    folder = tmp_path / "features"

    def fill():
        FeatureCache(folder, encoder, str(standins)).features(corpora)

    process = multiprocessing.get_context("fork").Process(target=fill)
    process.start()
    while len(list(folder.rglob("*.shard"))) < 3 and process.is_alive():
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    left = list(folder.rglob("*.shard"))
    assert left
    for path in left:
        assert shards.Shard(path).read(0).any()  # whole
    cache = FeatureCache(folder, encoder, str(standins))
    assert len(cache.features(corpora)) == len(corpora)


def test_other_processes_work_is_not_repeated(cache, rows):
    """What appears while a process encodes is taken from disk."""
    write = cache.store.write
    other = FeatureCache(cache.store.root, cache.encoder, cache.data_root)

    def write_and_let_another_finish(name, array):
        cache.store.write = write
        write(name, array)
        other.features(rows)

    many = [replace(row, ID=f"{row.ID}-{i}") for row in rows for i in range(20)]
    cache.store.write = write_and_let_another_finish
    cache.features(many)
    # All that was read ahead may be encoded twice, but not all of the sixty.
    assert sum(cache.encoded) < 60


def test_reading_ahead_keeps_order_and_stops_at_an_error(rows):
    batches = [[rows[0], rows[1]], [rows[2]], [rows[1]]]
    read = list(read_ahead(batches, lambda row: row.ID, ahead=1))
    assert [ids for _, ids in read] == [["x-0", "x-1"], ["x-2"], ["x-1"]]

    def fail(row):
        if row.ID == "x-2":
            raise UserError("no such file")
        return row.ID

    stream = read_ahead(batches, fail, ahead=1)
    assert next(stream)[1] == ["x-0", "x-1"]
    with pytest.raises(UserError, match="no such"):
        list(stream)


# --- What lies below the first adapted layer


@pytest.fixture
def noises(tmp_path) -> list[Row]:
    """Utterances of different lengths, of which one needs all to be told apart."""
    made, generator = [], np.random.default_rng(0)
    for i, seconds in enumerate([0.7, 0.31, 1.3, 0.7]):
        samples = 0.1 * generator.standard_normal(int(16000 * seconds))
        (tmp_path / "n").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"n/{i}.wav", samples, 16000)
        wav = f"$data_root/n/{i}.wav"
        made.append(
            Row(f"n-{i}", seconds, wav, 16000, "n", "de", "n-a", "sad", "sad", "train")
        )
    return made


def adapted(source, layers=None, **options):
    torch.manual_seed(3)
    encoder = PretrainedEncoder(
        str(source), "paper", lora_rank=2, adapter_width=4, adapted_layers=layers,
        **options,
    )  # fmt: skip
    with torch.no_grad():  # a fresh branch is zero, and so are gradients behind it
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder.train()


def step(encoder, inputs, lengths):
    encoder.zero_grad()
    pooled = encoder(inputs, lengths)
    torch.manual_seed(0)
    (pooled * torch.randn_like(pooled)).sum().backward()
    gradients = {
        name: parameter.grad
        for name, parameter in encoder.named_parameters()
        if parameter.grad is not None
    }
    return pooled.detach(), gradients


@pytest.mark.parametrize("group_padding", [0.0, 1.0])
@pytest.mark.parametrize("layers", [None, [1, 2], [2]], ids=str)
@pytest.mark.parametrize(
    "family",
    ["wav2vec2", "wav2vec2-layer-norm", "hubert", "wavlm", "data2vec", "whisper"],
)
def test_cached_prefix_changes_nothing(
    family, layers, group_padding, request, small_encoder, noises, tmp_path
):
    """Embedding and gradients are those of the waveforms."""
    source = (
        request.getfixturevalue("whisper")
        if family == "whisper"
        else small_encoder(family)
    )
    encoder = adapted(source, layers, group_padding=group_padding)
    # WavLM's layers need what its first one makes for them.
    expected = 0 if family == "wavlm" else min(layers or [0])
    assert encoder.prefix_layers == expected
    waveforms = [torch.from_numpy(read_waveform(r, str(tmp_path))) for r in noises]
    plain = step(
        encoder,
        pad_sequence(waveforms, batch_first=True),
        torch.tensor([len(waveform) for waveform in waveforms]),
    )
    cache = FeatureCache(tmp_path / "f", encoder, str(tmp_path), "prefix")
    features = cache.features(noises)
    encoder.train()
    data = Utterances(noises, lambda row: features[row.ID], Labels(), prefixes=True)
    batch = data[[0, 1, 2, 3]]
    assert batch.waveforms is None
    cached = step(encoder, batch.prefixes, batch.lengths)
    torch.testing.assert_close(cached[0], plain[0], rtol=1e-5, atol=1e-5)
    trained = [name for name, p in encoder.named_parameters() if p.requires_grad]
    assert sorted(plain[1]) == sorted(cached[1]) == sorted(trained)
    errors = {name: (cached[1][name] - g).norm() for name, g in plain[1].items()}
    norms = {name: gradient.norm() for name, gradient in plain[1].items()}
    largest = max(norms.values())
    for name, error in errors.items():
        assert norms[name] > 0, name
        # A gate's gradient is a small sum of large numbers.
        assert error < 1e-5 * max(norms[name], 0.1 * largest), (name, error)


def test_prefix_with_all_layers_is_the_front_end(small_encoder):
    """Each layer is handed out, so each must run."""
    assert adapted(small_encoder("wav2vec2"), [2], use_layers="all").prefix_layers == 0


def test_prefix_does_not_depend_on_what_adapts(small_encoder, noises, tmp_path):
    """Seeds and trained adapters share it; other lower layers do not."""
    source = small_encoder("wav2vec2")

    def key(encoder):
        return fingerprint(encoder, "prefix")

    one, other = adapted(source, [1]), adapted(source, [1])
    for parameter in other.parameters():
        parameter.data += 0.5 * parameter.requires_grad
    assert key(one) == key(other) == key(adapted(source, [1, 2]))
    assert key(one) == key(PretrainedEncoder(str(source), "full", adapted_layers=[1]))
    assert len({key(adapted(source, layers)) for layers in (None, [1], [2])}) == 3
    layers = other.core.transformer_layers
    layers[0].final_layer_norm.bias.data[0] += 0.1
    assert key(one) != key(other)
    other = adapted(source, [1])
    other.core.model.feature_projection.projection.bias.data[0] += 0.1
    assert key(one) != key(other)
    assert fingerprint(one, "prefix") != fingerprint(one, "frames")


@pytest.mark.parametrize("kind", ["frames", "prefix"])
def test_frames_are_mapped_not_held(kind, small_encoder, noises, tmp_path):
    source = str(small_encoder("wav2vec2"))
    encoder = adapted(source) if kind == "prefix" else PretrainedEncoder(source)
    cache = FeatureCache(tmp_path / "f", encoder, str(tmp_path), kind)
    features = cache.features(noises)
    assert set(features) == {row.ID for row in noises}
    for row in noises:
        waveform = torch.from_numpy(read_waveform(row, str(tmp_path)))
        with torch.no_grad():
            if kind == "prefix":
                expected = encoder.prefix(waveform)
            else:
                lengths = torch.tensor([len(waveform)])
                expected = encoder.frames(waveform[None], lengths)[0][0]
        torch.testing.assert_close(features[row.ID], expected, rtol=1e-5, atol=1e-5)
    with open("/proc/self/maps") as maps:
        assert maps.read().count(str(cache.store.folder)) == len(noises)
    kept = features["n-0"]
    kept += 1  # of the copy in memory
    assert not torch.equal(kept, features["n-0"])


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        ("one bit", False),
        ("cut", False),
        ("gone", False),
        ("empty", True),
        ("cut", True),
    ],
)
def test_entry_spoiled_while_in_use(damage, read, small_encoder, noises, tmp_path):
    encoder = adapted(small_encoder("wav2vec2"))
    cache = FeatureCache(tmp_path / "f", encoder, str(tmp_path), "prefix")
    features = cache.features(noises[:1])
    if read:
        assert torch.isfinite(features["n-0"]).all()
    (path,) = cache.store.folder.rglob("*.shard")
    {**DAMAGE, "gone": lambda path: path.unlink()}[damage](path)
    with pytest.raises(UserError, match="same command again") as error:
        features["n-0"]
    assert str(cache.store.folder) in str(error.value)
    assert torch.isfinite(cache.features(noises[:1])["n-0"]).all()


def test_the_middle_is_heard_of_longer_utterances(small_encoder, noises, tmp_path):
    encoder = adapted(small_encoder("wav2vec2"))
    cache = FeatureCache(tmp_path / "f", encoder, str(tmp_path), "prefix")
    cropped = cache.features(noises, crop=0.5)
    assert len(list(cache.store.folder.rglob("*.shard"))) == 4
    for row, start in zip(noises, [1600, 0, 6400, 1600], strict=True):
        waveform = torch.from_numpy(read_waveform(row, str(tmp_path)))
        expected = encoder.prefix(waveform[start : start + 8000])
        torch.testing.assert_close(cropped[row.ID], expected, rtol=1e-5, atol=1e-5)
    # Whole ones are other entries, but for the one that was whole already.
    whole = cache.features(noises)
    assert len(list(cache.store.folder.rglob("*.shard"))) == 4 + 3
    assert len(whole["n-2"]) > len(cropped["n-2"])


# --- Precision


def test_half_precision(encoder, rows, tmp_path):
    single = FeatureCache(tmp_path / "f", encoder, str(tmp_path))
    half = FeatureCache(tmp_path / "f", encoder, str(tmp_path), dtype="float16")
    one, first = single.features(rows), half.features(rows)
    second = half.features(rows)
    sizes = [sum(e.size for e in g.entries) for g in groups(tmp_path / "f")]
    assert max(sizes) > 1.5 * min(sizes)
    for name in one:
        assert first[name].dtype == torch.float32
        assert torch.equal(first[name], second[name])  # as stored, from the first on
        assert torch.equal(first[name], one[name].half().float())


def test_what_half_precision_cannot_hold_is_kept_in_single(encoder, rows, tmp_path):
    encoder.register_forward_hook(lambda module, args, output: 1e6 * output)
    single = FeatureCache(tmp_path / "f", encoder, str(tmp_path))
    half = FeatureCache(tmp_path / "f", encoder, str(tmp_path), dtype="float16")
    assert single.features(rows)["x-0"].abs().max() > 1e5
    assert torch.equal(half.features(rows)["x-0"], single.features(rows)["x-0"])
    assert torch.equal(half.features(rows)["x-0"], single.features(rows)["x-0"])


@pytest.mark.parametrize("kind", ["pooled", "frames", "prefix"])
def test_bf16_is_kept_apart_and_near(kind, rows, tmp_path, small_encoder):
    encoder = PretrainedEncoder(str(small_encoder("wav2vec2"))).eval()
    single, half = (
        FeatureCache(tmp_path / "f", encoder, str(tmp_path), kind, precision=precision)
        for precision in ("fp32", "bf16")
    )
    assert single.store.folder != half.store.folder
    one, two = single.features(rows), half.features(rows)
    for name in one:
        assert two[name].dtype == torch.float32
        assert not torch.equal(one[name], two[name])
        distance = (one[name] - two[name]).norm() / one[name].norm()
        assert distance < 0.05


# --- The limit


MB = np.zeros(250_000, np.float32)  # with its header a little more than 1 MB


def fill(root, key, names, limit=np.inf):
    """Entries used one after the other, long ago."""
    own = Store(root, key, {"source": key}, limit)
    for i, name in enumerate(names):
        own.write(name, MB)
        path = own.path(name)
        path = path.rename(path.with_name(f"{name}-1.shard"))
        os.utime(path, (1000 + i, 1000))
    return Store(root, key, {"source": key}, limit)


def names_in(root):
    kept = [path for path in root.rglob("*") if path.suffix in (".shard", ".npy")]
    return sorted(path.stem.removesuffix("-1") for path in kept)


def test_least_recently_used_go_first(tmp_path):
    fill(tmp_path, "one", ["a1", "a2", "a3"])
    fill(tmp_path, "two", ["b1", "b2"])
    used = Store(tmp_path, "one", {})
    used.refresh()
    assert used.read("a1") is not None
    del used
    Store(tmp_path, "three", {}, limit=0.0051).make_room(1_000_000)
    assert names_in(tmp_path) == ["a1", "a2", "a3", "b2"]
    Store(tmp_path, "three", {}, limit=0.0051).make_room(4_000_000)
    assert names_in(tmp_path) == ["a1"]


def test_nothing_goes_within_the_limit(tmp_path):
    fill(tmp_path, "one", ["a1", "a2"])
    Store(tmp_path, "two", {}, limit=0.0031).make_room(1_000_000)
    assert names_in(tmp_path) == ["a1", "a2"]


def test_what_a_run_uses_stays(tmp_path):
    own = fill(tmp_path, "one", ["a1", "a2", "a3"], limit=0.004)
    own.refresh()
    assert own.read("a1") is not None
    own.make_room(2_000_000)
    assert names_in(tmp_path) == ["a1"]
    with pytest.raises(UserError, match="--cache_limit"):
        own.make_room(3_500_000)
    assert names_in(tmp_path) == ["a1"]


HOLD = """
import sys
from xser_brain.features.store import Store
store = Store(sys.argv[1], "one", {})
print("held", flush=True)
sys.stdin.read()
"""


def test_what_another_process_uses_stays_until_it_ends(tmp_path):
    fill(tmp_path, "one", ["a1", "a2"])
    fill(tmp_path, "two", ["b1"])
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    other = Store(tmp_path, "three", {}, limit=0.0035)
    other.make_room(1_000_000)
    assert names_in(tmp_path) == ["a1", "a2"]
    with pytest.raises(UserError, match="others use"):
        other.make_room(2_000_000)
    assert store.remove(tmp_path, ["one"]) == ["one"]
    assert names_in(tmp_path) == ["a1", "a2"]
    process.kill()
    process.wait()
    other.make_room(2_400_000)
    assert names_in(tmp_path) == ["a2"]


def test_half_written_files_of_the_dead_are_removed(tmp_path):
    fill(tmp_path, "one", ["a1"])
    old, new = (tmp_path / f"one/.{name}.shard.1.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1000, 1000))
    groups(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_estimate_is_an_upper_bound(small_encoder, noises, tmp_path):
    source = small_encoder("wav2vec2")
    for kind in ("pooled", "frames", "prefix"):
        encoder = adapted(source) if kind == "prefix" else PretrainedEncoder(source)
        cache = FeatureCache(tmp_path / kind, encoder, str(tmp_path), kind)
        for crop in (0.0, 0.5):
            folder = cache.store.folder
            shutil.rmtree(folder, ignore_errors=True)
            cache.features(noises, crop)
            written = sum(path.stat().st_size for path in folder.rglob("*.shard"))
            estimate = cache.size(noises, crop)
            assert written <= estimate < 1.3 * written + 4 * 300


# --- Folders that cannot be written


@pytest.fixture
def mounted(tmp_path):
    """A disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("may not mount a small disk")
        return folder

    yield mount
    # Lazily: what failed may still hold its lock there.
    subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def test_full_disk(mounted, encoder, rows, tmp_path, monkeypatch):
    disk = mounted("size=64k")
    (disk / "ballast").write_bytes(bytes(56 * 1024))
    cache = FeatureCache(disk, encoder, str(tmp_path))
    refusal = rf"cannot keep features in {disk}: .*--features=DIR"
    # Others fill it while the encoder runs.
    with (
        monkeypatch.context() as patch,
        pytest.raises(UserError, match=refusal) as error,
    ):
        patch.setattr(cache, "size", lambda *args: 0)
        cache.features(rows * 20)
        for i in range(50):
            cache.store.write(f"{i}", MB[:1000])
    assert "\n" not in str(error.value)
    assert not list(disk.rglob("*.tmp"))
    with pytest.raises(UserError, match=rf"{disk}: up to .* GB .*--features=DIR"):
        cache.store.make_room(10**6)


def test_read_only_folder_serves_what_it_has(mounted, encoder, rows, tmp_path):
    disk = mounted("size=1m")
    first = {**FeatureCache(disk, encoder, str(tmp_path)).features(rows[:2])}
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    cache = FeatureCache(disk, encoder, str(tmp_path))
    again = cache.features(rows[:2])
    assert all(torch.equal(first[name], again[name]) for name in first)
    with pytest.raises(UserError, match=rf"in {disk}: Read-only.*--features=DIR"):
        cache.features(rows)


def test_folder_that_cannot_be_made(encoder, rows, tmp_path):
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file/f", encoder, str(tmp_path))
    with pytest.raises(UserError, match="--features=DIR"):
        cache.features(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float8"}, "cache_dtype 'float8': use float32 or float16"),
        ({"precision": "fp8"}, "cache_precision 'fp8': use fp32 or bf16"),
        ({"limit": 0.0}, "cache_limit is 0"),
        ({"limit": float("nan")}, "cache_limit is nan"),
    ],
)
def test_options_that_make_no_sense(options, message, encoder, tmp_path):
    with pytest.raises(UserError, match=message):
        FeatureCache(tmp_path, encoder, str(tmp_path), **options)


# --- The command line


def test_list_and_clear(tmp_path, capsys):
    fill(tmp_path, "aa11", ["a1", "a2"])
    fill(tmp_path, "bb22", ["b1"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.npy").touch()
    (tmp_path / "aa11/notes.txt").touch()
    assert cli.main(["cache", "list", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert " ".join(out[0].split()) == "key source what dtype entries MB last used"
    assert out[1].split()[:6] == ["aa11", "aa11", "?", "?", "2", "2.0"]
    assert "1970" in out[1]
    assert out[2].startswith("bb22")
    assert out[3] == f"in {tmp_path}"
    assert cli.main(["cache", "clear", str(tmp_path), "--encoder=bb", "--yes"]) == 0
    assert names_in(tmp_path) == ["a1", "a2", "thesis"]
    assert cli.main(["cache", "clear", str(tmp_path), "--yes"]) == 0
    assert names_in(tmp_path) == ["thesis"]
    assert (tmp_path / "aa11/notes.txt").exists()
    assert groups(tmp_path) == []


@pytest.mark.parametrize(("answer", "left"), [("n", 1), ("", 1), ("y", 0), ("Yes", 0)])
def test_clear_asks(answer, left, tmp_path, monkeypatch, capsys):
    fill(tmp_path, "aa11", ["a1"])
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    assert cli.main(["cache", "clear", str(tmp_path)]) == 0
    assert len(names_in(tmp_path)) == left


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["list", "no/such"], "no folder no/such"),
        (["clear", "no/such"], "no folder no/such"),
        (["clear", "{}", "--encoder=cc"], "holds nothing of cc"),
        (["list", "{}", "--al"], "unknown option --al"),
    ],
)
def test_command_line_refuses(args, message, tmp_path, capsys):
    fill(tmp_path, "aa11", ["a1"])
    assert cli.main(["cache", *(arg.format(tmp_path) for arg in args)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_command_line_without_anybody_to_ask(tmp_path, python):
    fill(tmp_path, "aa11", ["a1"])
    code = "import sys; from xser_brain.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "cache", "clear", str(tmp_path)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert names_in(tmp_path) == ["a1"]


def test_command_line_imports_no_torch(tmp_path, python):
    fill(tmp_path, "aa11", ["a1"])
    code = (
        "import sys; from xser_brain.cli import main; main(sys.argv[1:]);"
        "assert not {'torch', 'speechbrain', 'transformers'} & set(sys.modules)"
    )
    done = python(code, "cache", "list", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "aa11" in done.stdout


# --- Runs

TINY = {"encoder": "wav2vec2", "steps": 4, "validate_every": 2}
SIZES = {"lora_rank": 2, "adapter_width": 4}


def run(argv, results, small_encoder, seed=1, **options):
    source = small_encoder("wav2vec2")
    args = argv(results, encoder_source=source, seed=seed, **{**TINY, **options})
    assert main(args) == 0
    adaptation = options.get("adaptation", "frozen")
    label = "wav2vec2" if adaptation == "frozen" else f"wav2vec2-{adaptation}"
    return results / f"ravdess_to_emodb/proposed/{label}/{seed}"


def weights(folder):
    """What the last checkpoint holds, and the predictions."""
    last = sorted((folder / "save").iterdir())[-1]
    names = ("encoder", "classifier", "objectives")
    states = {
        f"{name}.{key}": value
        for name in names
        for key, value in torch.load(last / f"{name}.ckpt", weights_only=True).items()
    }
    return states, (folder / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_run_that_adapts_on_cached_prefixes(argv, tmp_path, small_encoder, record):
    """Crops apart, it ends with the weights of the run that caches nothing."""
    options = {"adaptation": "paper", "adapted_layers": "[1, 2]", "crop": 0, **SIZES}
    cached = run(argv, tmp_path / "a", small_encoder, **options)
    plain = run(argv, tmp_path / "b", small_encoder, cache="none", **options)
    facts = record(cached)["encoder"]
    assert facts["cached"] == "front end and layers below 1"
    assert (facts["crop"], facts["cache_dtype"]) == ("whole", "float32")
    assert record(plain)["encoder"]["cached"] is None
    assert not (tmp_path / "b/features").exists()
    one, two = weights(cached)[0], weights(plain)[0]
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4)
    entries = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "a/features").rglob("*.shard")
    }
    assert sum(map(shards.count, entries)) == 4 * 32 - 3 * 8
    other = run(argv, tmp_path / "a", small_encoder, seed=2, **options)
    assert {path: path.stat().st_mtime_ns for path in entries} == entries
    assert weights(other)[1] != weights(cached)[1]


def test_cold_and_warm_caches_give_the_same_run(argv, tmp_path, small_encoder):
    options = {
        "adaptation": "paper",
        "cache_dtype": "float16",
        "num_workers": 1,
        **SIZES,
    }
    one = weights(run(argv, tmp_path / "a", small_encoder, **options))
    features = tmp_path / "a/features"
    two = weights(
        run(argv, tmp_path / "b", small_encoder, features=features, **options)
    )
    assert one[1] == two[1]
    assert all(torch.equal(one[0][name], two[0][name]) for name in one[0])


def test_run_computes_what_is_cached_in_bf16(argv, tmp_path, small_encoder, record):
    options = {"steps": 1, "validate_every": 1, "features": tmp_path / "f"}
    single = run(argv, tmp_path / "a", small_encoder, **options)
    half = run(argv, tmp_path / "b", small_encoder, cache_precision="bf16", **options)
    assert record(single)["encoder"]["cache_precision"] == "fp32"
    assert record(half)["encoder"]["cache_precision"] == "bf16"
    told = [group.about["what"] for group in groups(tmp_path / "f")]
    assert sorted(what.endswith(", in bf16") for what in told) == [False, True]
    assert record(half)["encoder"]["cached"].endswith(", in bf16")


@pytest.mark.parametrize(
    ("options", "crop"),
    [
        ({}, "whole"),
        ({"adaptation": "paper", **SIZES}, "middle"),
        ({"adaptation": "paper", "cache": "none", **SIZES}, "random"),
        ({"cache": "none"}, "random"),
    ],
    ids=str,
)
def test_run_says_what_was_heard(options, crop, argv, tmp_path, small_encoder, record):
    folder = run(argv, tmp_path, small_encoder, steps=1, validate_every=1, **options)
    facts = record(folder)["encoder"]
    assert facts["crop"] == crop
    assert (facts["cached"] is None) is (options.get("cache") == "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache": "some"}, "unknown cache 'some'"),
        ({"cache_dtype": "int8"}, "cache_dtype 'int8'"),
        ({"cache_precision": "half"}, "cache_precision 'half'"),
        ({"cache_limit": "much"}, "cache_limit"),
        ({"cache_limit": 0}, "cache_limit is 0"),
        ({"cache_limit": 1e-6}, "--cache_dtype=float16"),
        ({"cache_limit": 1e-6, "adaptation": "paper"}, "--cache=none"),
        ({"features": "/proc/none"}, "cannot keep features in /proc/none"),
    ],
    ids=str,
)
def test_run_refuses(options, message, argv, tmp_path, small_encoder, complaint):
    source = small_encoder("wav2vec2")
    line = complaint(argv(tmp_path, encoder_source=source, **{**TINY, **options}))
    assert message in line
