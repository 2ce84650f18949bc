"""An utterance's embedding is its own: alone, padded, shuffled; and what it should be."""

import socket
from pathlib import Path

import pytest
import torch
import transformers
from small import FAMILIES
from torch.nn.utils.rnn import pad_sequence

from data_prep.errors import UserError
from xser_brain.encoders import Encoder, frame_mask, masked_mean, pretrained
from xser_brain.encoders.ecapa import ECAPAEncoder
from xser_brain.encoders.pretrained import PretrainedEncoder

LENGTHS = [30000, 12345, 4000, 16000]


def waveforms(lengths=LENGTHS, seed=0):
    """Noise that grows louder, off its zero, each utterance by its own factor."""
    torch.manual_seed(seed)
    return [
        (0.02 * (i + 1) * torch.randn(n) * torch.linspace(0.2, 3, n) + 0.01)
        for i, n in enumerate(lengths)
    ]


def embed(encoder, items):
    lengths = torch.tensor([len(item) for item in items])
    with torch.no_grad():
        return encoder(pad_sequence(items, batch_first=True), lengths)


def trained_ecapa():
    """An ECAPA whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    encoder = ECAPAEncoder(width=32, n_mels=40, channels=32, attention_channels=16)
    encoder.train()
    for seed in range(5):
        embed(encoder, waveforms(seed=seed))
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert all(norm.running_mean.abs().max() > 1e-3 for norm in norms)
    return encoder.eval()


def _pretrained(name, request) -> PretrainedEncoder:
    """One that runs a batch at once, padded: the harder case."""
    if name == "whisper":
        folder = request.getfixturevalue("whisper")
    else:
        folder = request.getfixturevalue("small_encoder")(name)
    return PretrainedEncoder(str(folder), group_padding=1.0)


@pytest.fixture(scope="module", params=[*FAMILIES, "whisper"])
def frozen(request) -> Encoder:
    return _pretrained(request.param, request)


@pytest.fixture(scope="module", params=["ecapa", *FAMILIES, "whisper"])
def encoder(request) -> Encoder:
    ecapa = request.param == "ecapa"
    return trained_ecapa() if ecapa else _pretrained(request.param, request)


# --- Batches


def assert_same(one, other):
    """Each layer's vector, to 1e-4 of its norm."""
    difference = (one - other).norm(dim=-1) / one.norm(dim=-1)
    assert difference.max() < 1e-4, difference


@pytest.mark.parametrize(
    "lengths",
    [LENGTHS, [30000, 29999], [16000, 400], [16001, 15999, 16000], [48000, 1600, 8161]],
    ids=str,
)
def test_embedding_is_independent_of_the_batch(encoder, lengths):
    items = waveforms(lengths)
    together = embed(encoder, items)
    assert together.shape == (len(items), encoder.layers, encoder.width)
    for item, own in zip(items, together, strict=True):
        assert_same(embed(encoder, [item])[0], own)
    order = list(range(len(items)))[::-1]
    shuffled = embed(encoder, [items[i] for i in order])
    assert_same(shuffled[order], together)


@pytest.mark.parametrize("group_padding", [0.0, 0.2])
def test_grouping_changes_nothing(frozen, group_padding):
    items = waveforms([16000, 400, 15999, 12345, 16000])
    together = embed(frozen, items)
    frozen.group_padding, before = group_padding, frozen.group_padding
    grouped = embed(frozen, items)
    frozen.group_padding = before
    assert_same(together, grouped)


def test_front_end_on_a_gpu(frozen, monkeypatch):
    """It takes utterances of one length at once there; what comes out is the same."""
    items = waveforms([16000, 400, 16000, 12345, 16000])
    one_by_one = embed(frozen, items)
    sizes, local = [], frozen.core.local

    def counted(some):
        sizes.append(len(some))
        return local(some)

    monkeypatch.setattr("xser_brain.waiting.at_once", lambda device: False)
    monkeypatch.setattr(frozen.core, "local", counted)
    assert_same(embed(frozen, items), one_by_one)
    assert sorted(sizes) == [1, 1, 3]


def test_embedding_ignores_what_the_padding_holds(encoder):
    item = waveforms()[2]
    # ECAPA's last filterbank frame overlaps the padding: zeros, by contract.
    content = 0 if isinstance(encoder, ECAPAEncoder) else 100
    padded = torch.cat([item, content * torch.ones(20000)])[None]
    with torch.no_grad():
        own = encoder(padded, torch.tensor([len(item)]))
    assert_same(embed(encoder, [item]), own)


def test_utterances_have_embeddings_of_their_own(encoder):
    """Else all of this file would hold of a constant."""
    vectors = embed(encoder, waveforms())[:, -1]
    distances = torch.cdist(vectors, vectors) + 1e9 * torch.eye(len(vectors))
    assert distances.min() > 1e-3 * vectors.norm(dim=-1).max()


@pytest.mark.parametrize("samples", [400, 401, 799])
def test_very_short_utterance(encoder, samples):
    (vector,) = embed(encoder, waveforms([samples]))
    assert vector.shape == (encoder.layers, encoder.width)
    assert torch.isfinite(vector).all()


def test_frames_pool_to_the_embedding(frozen):
    encoder = frozen
    items = waveforms()
    lengths = torch.tensor([len(item) for item in items])
    with torch.no_grad():
        frames, counts = encoder.frames(pad_sequence(items, batch_first=True), lengths)
    pooled = embed(encoder, items)
    for i, count in enumerate(counts.tolist()):
        torch.testing.assert_close(pooled[i], frames[i, :, :count].mean(1))
        assert count == pytest.approx(lengths[i] * encoder.frame_rate / 16000, abs=2)


# --- Frozen encoders


def test_frozen_encoder_stays_in_evaluation_mode(frozen):
    encoder = frozen
    items = waveforms()
    before = embed(encoder, items)
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(p.requires_grad for p in encoder.parameters())
    torch.testing.assert_close(embed(encoder, items), before, rtol=0, atol=0)
    lengths = torch.tensor([len(item) for item in items])
    assert not encoder(pad_sequence(items, batch_first=True), lengths).requires_grad


def test_ecapa_trains():
    encoder = ECAPAEncoder(width=16, n_mels=20, channels=16).train()
    items = waveforms()
    lengths = torch.tensor([len(item) for item in items])
    encoder(pad_sequence(items, batch_first=True), lengths).square().sum().backward()
    gradients = [p.grad for p in encoder.parameters()]
    assert all(gradient is not None for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("do_normalize", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_transformers_own(family, do_normalize, small_encoder):
    """With one difference: the last one is ``last_hidden_state``, final norm and all."""
    folder = small_encoder(family, do_normalize)
    encoder = PretrainedEncoder(str(folder))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    (item,) = waveforms([12345])
    inputs = extractor(item.numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        output = model(inputs.input_values, output_hidden_states=True)
        ours, counts = encoder.frames(item[None], torch.tensor([len(item)]))
    theirs = [*output.hidden_states[:-1], output.last_hidden_state]
    assert counts.tolist() == [theirs[0].shape[1]]
    assert ours.shape[1] == encoder.layers == len(theirs)
    for layer, hidden in enumerate(theirs):
        torch.testing.assert_close(ours[0, layer], hidden[0], rtol=1e-4, atol=1e-4)


def test_layerdrop_is_off(tmp_path, small_encoder):
    """It would skip layers at random, differently on every process."""
    model = transformers.AutoModel.from_pretrained(small_encoder("wav2vec2"))
    model.config.layerdrop = 0.9
    model.save_pretrained(tmp_path)
    encoder = PretrainedEncoder(str(tmp_path))
    assert encoder.core.model.config.layerdrop == 0.0


# --- Whisper


def test_whisper_log_mel_is_the_extractors(whisper):
    """On the utterance's own frames; the extractor goes on with 30 s of silence.

    The last frames of the utterance look past its end: there the extractor sees zeros
    and ``log_mel`` the mirrored utterance.
    """
    encoder = PretrainedEncoder(str(whisper))
    extractor = transformers.AutoFeatureExtractor.from_pretrained(whisper)
    (item,) = waveforms([16000])
    theirs = extractor(item.numpy(), sampling_rate=16000, return_tensors="pt")
    ours = encoder.core.log_mel(item)
    assert ours.shape == (80, 100)
    inside = 100 - 2
    torch.testing.assert_close(
        ours[:, :inside],
        theirs.input_features[0, :, :inside],
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.slow
def test_whisper_layers_are_transformers_own_on_30_s(whisper):
    """At full length nothing is cut: the encoder itself is the oracle."""
    encoder = PretrainedEncoder(str(whisper))
    model = transformers.AutoModel.from_pretrained(whisper, dtype=torch.float32).eval()
    (item,) = waveforms([480000])
    mel = encoder.core.log_mel(item)[None]
    with torch.no_grad():
        output = model.encoder(mel, output_hidden_states=True)
        ours, counts = encoder.frames(item[None], torch.tensor([len(item)]))
    assert counts.tolist() == [1500]
    assert len(output.hidden_states) == ours.shape[1]
    for layer, hidden in enumerate(output.hidden_states):
        torch.testing.assert_close(ours[0, layer], hidden[0], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_whisper_cuts_what_is_longer_than_30_s(whisper):
    encoder = PretrainedEncoder(str(whisper))
    (item,) = waveforms([490000])
    assert_same(embed(encoder, [item]), embed(encoder, [item[:480000]]))


# --- What cannot be loaded


@pytest.mark.parametrize(
    "content", [None, {}, {"config.json": "{}"}, {"config.json": "{"}]
)
def test_no_such_encoder(content, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "encoder"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(UserError, match="--encoder_source") as error:
        PretrainedEncoder(str(folder))
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_text_model_is_refused(tmp_path):
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="bert model, not a known speech encoder"):
        PretrainedEncoder(str(tmp_path))


def test_whisper_without_its_extractor_is_refused(whisper, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(Path(whisper).resolve() / name)
    with pytest.raises(UserError, match="preprocessor_config.json"):
        PretrainedEncoder(str(tmp_path))


# --- Masks


def test_masked_mean_against_a_loop():
    torch.manual_seed(0)
    sequence = torch.randn(3, 2, 7, 5)
    counts = torch.tensor([7, 1, 4])
    sequence[1, :, 1:] = float("nan")  # whatever the padding holds
    for i, count in enumerate(counts.tolist()):
        expected = sequence[i, :, :count].mean(1)
        torch.testing.assert_close(masked_mean(sequence, counts)[i], expected)
    assert frame_mask(counts, 7).sum(1).tolist() == counts.tolist()


@pytest.fixture
def endpoint(monkeypatch):
    """A port of this machine on which something listens until it is closed."""
    monkeypatch.setattr(pretrained, "getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(pretrained, "ENDPOINT", url)
        yield server


def test_a_hub_that_answers(endpoint):
    assert pretrained._hub_answers()


def test_unknown_hub_name_offline(endpoint, monkeypatch):
    endpoint.close()
    monkeypatch.setattr("time.sleep", None)  # the client's retries would call it
    with pytest.raises(UserError) as caught:
        PretrainedEncoder("nobody/nothing")
    message = str(caught.value)
    assert "'nobody/nothing'" in message
    assert "does not answer" in message
    assert "hf download nobody/nothing --local-dir DIR" in message
    assert "--encoder_source=" in message
