"""What is said as a task and as what must not decide: the losses, and runs of both."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
from small import KINDS, heard
from torch.nn import functional

from data_prep import manifest
from xser_brain.cli.train import main
from xser_brain.data.units import Units
from xser_brain.encoders import Encoder
from xser_brain.encoders.ecapa import ECAPAEncoder
from xser_brain.encoders.pieces import InPieces, WithFrames
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.objectives import CTC, ConstantSchedule, ContentAdversary, Memory
from xser_brain.protocol import Labels, System

PIECES = ("<unk>", "▁a", "b", "c")
UNITS = torch.tensor([[1, 2, 2, 3], [-1, -1, -1, -1], [3, 1, -1, -1]])
NONE = torch.full((3, 0), -1)
RUNS = Path("ravdess_to_emodb")


def ctc(width=6) -> CTC:
    torch.manual_seed(0)
    objective = CTC(Units(10))
    objective.prepare(5, Labels(units=PIECES), frame_width=width)
    return objective


def adversary(**options) -> ContentAdversary:
    torch.manual_seed(0)
    objective = ContentAdversary(Units(10), hidden=7, dropout=0.0, **options)
    objective.prepare(5, Labels(units=PIECES))
    return objective


def said(units, frames=None, counts=(9, 9, 5), embeddings=None):
    embeddings = torch.zeros(3, 5) if embeddings is None else embeddings
    counts = torch.tensor(counts)
    return heard(embeddings, units=units, frames=frames, frame_counts=counts)


# --- CTC


def by_paths(log_p, target, blank):
    """The sum over all alignments, one by one."""
    total = 0.0
    frames, classes = log_p.shape
    for path in torch.cartesian_prod(*[torch.arange(classes)] * frames):
        kept = path.unique_consecutive()
        if kept[kept != blank].tolist() == target:
            total += math.exp(log_p[torch.arange(frames), path].sum())
    return -math.log(total)


def test_ctc_of_one_utterance_is_the_sum_over_all_alignments():
    objective, frames = ctc(), torch.randn(1, 6, 6)
    batch = heard(
        torch.zeros(1, 5),
        units=torch.tensor([[2, 2, -1]]),
        frames=frames,
        frame_counts=torch.tensor([5]),
    )
    log_p = objective.linear(frames[0, :5]).log_softmax(-1).detach().double()
    expected = by_paths(log_p, [2, 2], blank=4) / 2  # units
    assert objective(batch, 0.0).item() == pytest.approx(expected, rel=1e-5)


def test_ctc_is_torchs_on_those_with_a_transcript():
    objective, frames = ctc(), torch.randn(3, 9, 6, requires_grad=True)
    loss = objective(said(UNITS, frames), 0.0)
    log_p = objective.linear(frames[[0, 2]]).log_softmax(-1).transpose(0, 1)
    expected = functional.ctc_loss(
        log_p, torch.tensor([1, 2, 2, 3, 3, 1]), (9, 5), (4, 2), blank=4
    )
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert frames.grad[0].abs().sum() > 0 and (frames.grad[1] == 0).all()
    assert (frames.grad[2, 5:] == 0).all()  # padding
    # What lies in the padding changes nothing.
    other = frames.detach().clone()
    other[2, 5:] = 100.0
    torch.testing.assert_close(objective(said(UNITS, other), 0.0), loss.detach())


@pytest.mark.parametrize("units", [NONE, torch.full((3, 2), -1)])
def test_ctc_of_a_batch_without_transcripts_is_zero_with_zero_gradients(units):
    objective, frames = ctc(), torch.randn(3, 9, 6, requires_grad=True)
    loss = objective(said(units, frames), 0.0)
    loss.backward()
    assert loss.item() == 0 and (frames.grad == 0).all()
    assert all((p.grad == 0).all() for p in objective.parameters())


def test_ctc_of_fewer_frames_than_units_is_finite():
    objective, frames = ctc(), torch.randn(3, 9, 6, requires_grad=True)
    loss = objective(said(UNITS, frames, counts=(2, 9, 5)), 0.0)
    loss.backward()
    assert loss.isfinite() and frames.grad.isfinite().all()
    assert (frames.grad[0] == 0).all() and frames.grad[2].abs().sum() > 0


def test_ctc_falls_when_it_is_followed():
    frames, objective = torch.randn(3, 9, 6, requires_grad=True), ctc()
    optimizer = torch.optim.Adam([frames, *objective.parameters()], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        objective(said(UNITS, frames), 0.0).backward()
        optimizer.step()
    assert objective(said(UNITS, frames), 0.0) < 0.01
    best = objective.linear(frames[0]).argmax(-1).unique_consecutive()
    assert best[best != 4].tolist() == [1, 2, 2, 3]  # what is said is read off


# --- The adversary


def test_content_adversary_is_the_cross_entropy_with_each_units_share():
    objective, x = adversary(), torch.randn(3, 5)
    log_p = objective.classifier(x).log_softmax(-1)
    first = -(log_p[0, 1] + 2 * log_p[0, 2] + log_p[0, 3]) / 4
    last = -(log_p[2, 3] + log_p[2, 1]) / 2
    found = objective(said(UNITS, embeddings=x), 0.5)
    torch.testing.assert_close(found, (first + last) / 2)


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0])
def test_content_adversary_turns_the_embeddings_gradient_round(strength):
    objective = adversary(schedule=ConstantSchedule(strength))
    x = torch.randn(3, 5)
    leaf, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    objective(said(UNITS, embeddings=leaf), 0.5).backward()
    reversed_ = [p.grad.clone() for p in objective.parameters()]
    objective.zero_grad()
    log_p = objective.classifier(plain).log_softmax(-1)
    shares = torch.tensor([[0, 1, 2, 1.0], [0, 0, 0, 0], [0, 2, 0, 2]]) / 4
    (-(shares * log_p).sum() / 2).backward()
    torch.testing.assert_close(leaf.grad, -strength * plain.grad)
    assert (leaf.grad[1] == 0).all()
    for found, parameter in zip(reversed_, objective.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad)  # the guess itself improves


@pytest.mark.parametrize("units", [NONE, torch.full((3, 2), -1)])
def test_content_of_a_batch_without_transcripts_is_zero_with_zero_gradients(units):
    objective, x = adversary(), torch.randn(3, 5, requires_grad=True)
    loss = objective(said(units, embeddings=x), 0.5)
    loss.backward()
    assert loss.item() == 0 and (x.grad == 0).all()
    assert all((p.grad == 0).all() for p in objective.parameters())


def test_both_are_fp32_whatever_the_autocast():
    batch = said(UNITS, torch.randn(3, 9, 6).bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for objective in (ctc(), adversary()):
            assert objective(batch, 0.5).dtype == torch.float32


def test_memory_asks_for_what_its_loss_does():
    objective = Memory(CTC(Units(10)), size=4)
    objective.prepare(5, Labels(units=PIECES), frame_width=6)
    assert objective.transcript_units == Units(10) and objective.needs_frames
    assert objective(said(UNITS, torch.randn(3, 9, 6)), 0.0) > 0


# --- Frames


LENGTHS = torch.tensor([9000, 16000, 5000])


@pytest.fixture(params=["ecapa", "wav2vec2", "prefix"])
def encoding(request, small_encoder):
    """An encoder, and inputs for it."""
    torch.manual_seed(0)
    if request.param == "ecapa":
        encoder = ECAPAEncoder(width=8, n_mels=20, channels=8, attention_channels=8)
    else:
        encoder = PretrainedEncoder(str(small_encoder("wav2vec2")), "lora")
    encoder.eval()
    waveforms = torch.randn(3, 16000)
    for waveform, length in zip(waveforms, LENGTHS, strict=True):
        waveform[length:] = 0
    if request.param != "prefix":
        return encoder, waveforms, LENGTHS
    prefixes = [encoder.prefix(w[:n]) for w, n in zip(waveforms, LENGTHS, strict=True)]
    padded = torch.nn.utils.rnn.pad_sequence(prefixes, batch_first=True)
    return encoder, padded, torch.tensor([len(item) for item in prefixes])


def test_frames_beside_the_vectors_of_forward(encoding):
    encoder, inputs, lengths = encoding
    vectors, frames, counts = encoder.with_frames(inputs, lengths)
    assert torch.equal(vectors, encoder(inputs, lengths))
    assert frames.shape == (3, int(counts.max()), encoder.frame_width)
    assert encoder.gives_frames
    # Each utterance's frames are its own, in its own place.
    for i in range(3):
        alone = inputs[i : i + 1, : lengths[i]]
        _, own, count = encoder.with_frames(alone, lengths[i : i + 1])
        assert count.item() == counts[i].item()
        found = frames[i, : counts[i]]
        torch.testing.assert_close(found, own[0, :count], rtol=1e-4, atol=1e-5)


def test_frames_in_pieces(encoding):
    encoder, inputs, lengths = encoding
    whole = WithFrames(encoder)(inputs, lengths)
    pieces = InPieces(WithFrames(encoder), 2)(inputs, lengths)
    for found, expected in zip(pieces, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_an_encoder_whose_forward_is_its_own_gives_no_frames():
    class Own(ECAPAEncoder):
        def forward(self, waveforms, lengths):
            return 2 * super().forward(waveforms, lengths)

    class Both(Own):
        def with_frames(self, waveforms, lengths):
            vectors, *rest = super().with_frames(waveforms, lengths)
            return 2 * vectors, *rest

    class Frames(Encoder):
        width, frame_rate = 4, 100.0

        def frames(self, waveforms, lengths):
            return waveforms.new_ones(len(waveforms), 2, 3, 4), lengths // 160

    assert not Own().gives_frames and Both().gives_frames and Frames().gives_frames
    vectors, frames, _ = Frames().with_frames(torch.zeros(1, 480), torch.tensor([480]))
    assert vectors.shape == (1, 2, 4) and frames.shape == (1, 3, 4)


# --- Runs


def lora(small_encoder) -> dict:
    return {**KINDS["lora"], "encoder_source": small_encoder("wav2vec2")}


def run_of(results: Path, system: str) -> Path:
    [run] = (results / RUNS / system).glob("*/1")
    return run


@pytest.fixture(scope="module")
def done(argv, tmp_path_factory, small_encoder):
    """The folder of a whole run of a system."""
    runs = {}

    def done(system: str) -> Path:
        if system not in runs:
            results = tmp_path_factory.mktemp(system)
            assert main(argv(results, **changes(system, small_encoder))) == 0
            runs[system] = run_of(results, system)
        return runs[system]

    return done


def changes(system: str, small_encoder) -> dict:
    """Options of a run; of transcripts, most utterances are heard whole."""
    encoder = lora(small_encoder) if system == "with_ctc" else {}
    return {"system": system, "crop": 4.0, **encoder}


SYSTEMS = ("with_ctc", "without_content")


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_run(system, done, record):
    run = done(system)
    told = record(run)
    name = {"with_ctc": "transcript", "without_content": "content"}[system]
    assert told["objectives"] == ["emotion", name]
    lines = (run / "train_log.txt").read_text().splitlines()
    losses = [float(re.search(rf"train {name}: ([\d.e+-]+)", x)[1]) for x in lines]
    assert len(losses) == 4 and 0 < min(losses) < max(losses)
    assert manifest.file_sha256(run / "units.model") == told["units"]["sha256"]
    assert told["units"]["kind"] == "unigram" and told["units"]["sentences"] == 4
    # The linear layer is a checkpoint's, and no part of the model.
    assert "transcript" not in (run / "model/config.json").read_text()


def test_a_system_without_them_makes_nothing(finished, record):
    assert "units" not in record(finished)
    assert not (finished / "units.model").exists()
    assert not list(finished.glob("save/*/units.ckpt"))
    assert "transcripts" not in (finished / "identity.json").read_text()


KILLED = """
import os, signal, sys, torch
from xser_brain.brain import XSERBrain
from xser_brain.cli.train import main

start, calls = XSERBrain.on_fit_batch_start, []

def killed(*args, **kwargs):
    calls.append(1)
    if len(calls) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return start(*args, **kwargs)

XSERBrain.on_fit_batch_start = killed
torch.set_num_threads(1)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "system", [pytest.param("with_ctc", marks=pytest.mark.slow), "without_content"]
)
def test_a_killed_run_goes_on_with_the_same_units(
    system, done, argv, small_encoder, python, record, tmp_path
):
    options = argv(tmp_path, **changes(system, small_encoder))
    assert python(KILLED, *options).returncode == -9
    run, whole = run_of(tmp_path, system), done(system)
    # What the latest checkpoint says of them is damaged: it goes on from the one before.
    latest = max(run.glob("save/CKPT*"), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads((latest / "units.ckpt").read_text())["kind"] == "unigram"
    (latest / "units.ckpt").write_bytes(b"damaged")
    assert main(options) == 0
    assert [*run.glob("save/damaged-*")]
    for name in ("units.model", "predictions.csv"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert record(run)["units"] == record(whole)["units"]


@pytest.mark.slow
def test_what_was_trained_on_other_units_is_not_gone_on_with(
    argv, small_encoder, python, tmp_path, complaint, monkeypatch
):
    """Another version of sentencepiece may learn others from the same transcripts."""
    options = argv(tmp_path, **changes("without_content", small_encoder))
    assert python(KILLED, *options).returncode == -9
    learn = Units.learn
    monkeypatch.setattr(Units, "learn", lambda self, said: learn(Units(30), said))
    line = complaint(options)
    version = sentencepiece.__version__
    assert (
        f"was trained on units of sentencepiece {version}, and {version} learns" in line
    )
    assert f"install sentencepiece=={version}, or pass --overwrite=True" in line


@pytest.fixture
def retold(standins, tmp_path):
    """Corpora of their own, in whose transcripts a speaker says something else."""

    def retold(speaker: str) -> Path:
        root = shutil.copytree(standins, tmp_path / f"corpora-{speaker}")
        path = root / f"esd/{speaker}/{speaker}.txt"
        lines = path.read_text("utf-8").splitlines()
        changed = [
            "\t".join((a, "琵琶", c)) for a, _, c in (x.split("\t") for x in lines)
        ]
        path.write_text("\n".join(changed) + "\n", "utf-8")
        return root

    return retold


@pytest.mark.slow
def test_units_of_a_run_are_of_its_training_speakers(
    retold, argv, done, small_encoder, tmp_path, standins
):
    rows = manifest.read(done("without_content").parents[3] / "manifests/esd.csv")
    who = {row.split: row.speaker.removeprefix("esd-") for row in rows}
    expected = (done("without_content") / "units.model").read_bytes()
    for split in ("valid", "train"):
        options = changes("without_content", small_encoder) | {"steps": 1}
        results = tmp_path / split
        assert main(argv(results, data_root=retold(who[split]), **options)) == 0
        [other] = manifest_texts(results, who[split])
        assert other == "琵琶"  # the transcript is indeed another
        model = (run_of(results, "without_content") / "units.model").read_bytes()
        assert (model == expected) is (split == "valid")


def manifest_texts(results: Path, speaker: str) -> set[str]:
    rows = manifest.read(results / "manifests/esd.csv")
    return {row.text for row in rows if row.speaker == f"esd-{speaker}"}


@pytest.mark.slow
def test_changed_training_transcripts_are_another_run(
    retold, argv, done, small_encoder, complaint, tmp_path
):
    rows = manifest.read(done("without_content").parents[3] / "manifests/esd.csv")
    speaker = next(row.speaker for row in rows if row.split == "train")
    results = shutil.copytree(done("without_content").parents[3], tmp_path / "results")
    run = run_of(results, "without_content")
    (run / "run.json").unlink()
    root = retold(speaker.removeprefix("esd-"))
    options = changes("without_content", small_encoder)
    line = complaint(argv(results, data_root=root, **options))
    assert "holds a run with other settings (then transcripts: " in line


@pytest.mark.slow
def test_of_a_piece_of_an_utterance_nothing_is_known(
    argv, small_encoder, tmp_path, record
):
    """All are longer than what is heard of them: no loss, and no harm."""
    options = changes("with_ctc", small_encoder) | {"crop": 0.3, "steps": 3}
    assert main(argv(tmp_path, **options)) == 0
    log = (run_of(tmp_path, "with_ctc") / "train_log.txt").read_text()
    assert "train transcript: 0.0000e+00" in log


def test_keys_of_units(argv, tmp_path, small_encoder, record):
    below = "system.objectives.content"
    options = changes("without_content", small_encoder) | {"steps": 1}
    options |= {f"{below}.units.kind": "bpe", f"{below}.units.size": 90}
    assert main(argv(tmp_path, **options)) == 0
    told = record(run_of(tmp_path, "without_content"))
    assert (told["units"]["kind"], told["units"]["size"]) == ("bpe", 90)


# --- What is refused


def test_ctc_of_a_frozen_encoder_is_refused(argv, small_encoder, complaint, tmp_path):
    options = {"system": "with_ctc", "encoder": "wav2vec2"}
    options["encoder_source"] = small_encoder("wav2vec2")
    for cache in ("auto", "none"):
        line = complaint(argv(tmp_path / cache, cache=cache, **options))
        assert "the objective transcript of with_ctc trains the frames of" in line
        assert "wav2vec2 is frozen: pass --adaptation=lora, or use a --system" in line
    assert not [*tmp_path.rglob("*.shard")]  # before anything is encoded


def test_corpora_without_transcripts_are_refused(argv, complaint, tmp_path):
    options = {"source": "urdu", "non_target": "[]", "system": "without_content"}
    line = complaint(argv(tmp_path, **options))
    assert "do not tell transcripts, on which the objective content" in line


def test_one_vocabulary_a_run(argv, complaint, tmp_path):
    path = tmp_path / "both.yaml"
    path.write_text(
        "trains_on: all\nobjectives:\n"
        "  emotion: !new:xser_brain.objectives.CrossEntropy\n"
        "  one: !new:xser_brain.objectives.ContentAdversary\n"
        "  two: !new:xser_brain.objectives.CTC\n"
        "    units: !new:xser_brain.data.units.Units\n"
        "      size: 300\n"
    )
    line = complaint(argv(tmp_path, system=path))
    assert "the units of two is Units(size=300" in line
    assert "let all objectives of a system ask for the same" in line


def test_projection_of_frames_is_refused(argv, complaint, tmp_path):
    options = {"system": "with_ctc", "system.objectives.transcript.projection": 8}
    line = complaint(argv(tmp_path, **options))
    assert "unexpected keyword argument 'projection'" in line


# --- Several processes


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("options", [(), ("--grad_accumulation_factor=2",)])
def test_processes_and_pieces_do_what_one_does(
    system, options, launch, assert_same_gradients
):
    sizes = {"system": system, "crop": 4.0}
    _, expected = launch("lora", steps=6, batch_size=8, **sizes)
    sizes["batch_size"] = 8 // (2 if options else 1)
    _, found = launch("lora", 2, expected, 6, options, **sizes)
    assert_same_gradients(found, expected, least=6)


def test_identity_is_json(done):
    text = (done("without_content") / "identity.json").read_text()
    assert len(json.loads(text)["hparams"]["system.transcripts"]) == 64


def test_units_are_part_of_a_system_made_in_python():
    def words(**units):
        objective = ContentAdversary(Units(**units))
        return System("mine", "all", {"content": objective}).definition()

    assert words() == words(size=200)
    assert words() != words(size=90) != words(size=90, kind="bpe")
