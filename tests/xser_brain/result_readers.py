"""The readers of outside data in xser_brain, with small unharmed files for each."""

import asyncio
import contextlib
import csv
import functools
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile

from data_prep import hashes
from data_prep.manifest import EMOTIONS
from tests.fuzz import Reader
from tests.xser_brain.models import exported, noise
from xser_brain import artefacts
from xser_brain.adaptation.running import RunningStatistics
from xser_brain.cli.lists import read_list
from xser_brain.cli.predict import _speakers, read_examples
from xser_brain.data.sampling import RandomBatches
from xser_brain.encoders.weights import check_encoder
from xser_brain.evaluation import embeddings, transductive
from xser_brain.evaluation.material import of_table
from xser_brain.evaluation.summary import summarise
from xser_brain.features import shards, store
from xser_brain.grids import cluster, grid
from xser_brain.inference import Classifier
from xser_brain.inference import config as schema
from xser_brain.inference.loading import identify, load
from xser_brain.recipes import folder as recipes
from xser_brain.reports import html, tables
from xser_brain.reports.figures import draw_all
from xser_brain.reports.figures.curves import curves, losses, read_train_log
from xser_brain.reports.figures.projection import common_sample
from xser_brain.reports.figures.style import language_styles
from xser_brain.reports.runs import find_runs
from xser_brain.serve import access
from xser_brain.serve.limits import Limits
from xser_brain.serve.quota import Quota
from xser_brain.training import folder as folders
from xser_brain.training import hparams, record
from xser_brain.training.checkpoints import AtomicCheckpointer, RunState

RECIPE = recipes() / "en_de/hparams/iemocap_to_emodb.yaml"
IDENTITY = {
    "seed": 1,
    "processes": 1,
    "hparams": {"seed": 1},
    "options": {"precision": "fp32"},
    "protocol": "p",
    "audio": {"emodb": "0" * 64},
}


def one(name: str, data: bytes | str) -> Callable[[Path], dict[str, bytes]]:
    """A single file."""
    return lambda _: {name: data if isinstance(data, bytes) else data.encode()}


def files_below(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


# --- Results


def run_files(_: Path) -> dict[str, bytes]:
    """All that is read of a run."""
    rng = np.random.default_rng(0)
    true = np.arange(24) % 4
    shares = rng.dirichlet(np.full(4, 0.5), 24).round(6)
    speakers = [f"emodb-{i % 6}" for i in range(24)]
    stream = io.StringIO()
    writer = csv.writer(stream)
    names = [f"p_{label}" for label in EMOTIONS]
    head = ["ID", "language", "speaker", "emotion", "predicted", *names, "subset"]
    writer.writerow(head)
    for i, (label, given) in enumerate(zip(true, shares, strict=True)):
        named = [f"emodb-{i:02}", "de", speakers[i], EMOTIONS[label]]
        subset = "rest" if i > 7 else "test"
        writer.writerow([*named, EMOTIONS[given.argmax()], *given, subset])
    seen = {"utterances": 9, "corpora": ["ravdess"], "languages": ["en"], "speakers": 3}
    tested = {**seen, "corpora": ["emodb"], "languages": ["de"]}
    predicted = shares.argmax(1)
    values = {
        "schema": 1,
        "standin": False,
        "setting": {
            "source": ["ravdess"],
            "non_target": ["esd"],
            "target": "emodb",
            "languages": {"train": ["en", "zh"], "target": "de"},
        },
        "system": "proposed",
        "zero_shot": True,
        "trains_on": "all",
        "objectives": ["emotion", "supcon"],
        "labels": list(EMOTIONS),
        "label_set": "paper",
        "metrics": {"war": "lab.war"},
        "seed": 1,
        "encoder": {"name": "whisper", "source": "a/b", "frozen": True},
        "purpose": "result",
        "hparams_sha256": "0" * 64,
        "options": {"precision": "fp32"},
        "protocol_sha256": "1" * 64,
        "steps": 12,
        "seconds": 2.5,
        "manifest_sha256": {"emodb": "2" * 64},
        "counts": {"train": 9, "valid": 4, "test": 8, "target_all": 24, "speakers": 3},
        "audit": {**dict.fromkeys(artefacts.STAGES, seen), "evaluation": tested},
        "valid": {"uar": {"en": 50.0}, "mean": 50.0, "step": 9},
        "target_test": summarise(true[:8], predicted[:8], speakers[:8], EMOTIONS),
        "target_all": summarise(true, predicted, speakers, EMOTIONS),
        "layer_weights": [0.25, 0.75],
        "peak_memory_mb": 100.5,
        "versions": {"torch": "2.14.1"},
        "device": "cpu",
    }
    for part in ("target_test", "target_all"):
        values[part]["war"] = 50.0
    arrays = io.BytesIO()
    columns = {"ids": head[:1] * 4, "part": ["valid"] * 4, "emotion": ["sad"] * 4}
    columns |= {"language": ["en"] * 4, "speaker": ["a"] * 4}
    columns = {name: np.array(column, dtype=str) for name, column in columns.items()}
    np.savez_compressed(arrays, embeddings=np.ones((4, 3), np.float16), **columns)
    log = "step: 9, lr: 1.0e-03 - train loss: 2.0, train ce: 1.5e-01 - valid uar: 5e1\n"
    return {
        "1/run.json": json.dumps(values).encode(),
        "1/predictions.csv": stream.getvalue().encode(),
        "1/identity.json": json.dumps(IDENTITY).encode(),
        "1/train_log.txt": log.encode() * 2,
        "1/embeddings.npz": arrays.getvalue(),
    }


def read_results(folder: Path) -> object:
    """Tables and page, without the drawing of figures."""
    report = tables.gather(folder)
    text = [tables.as_markdown(report), tables.latex_document(report.tables)]
    text += [tables.as_csv(report.scores), html.page(report, folder, draw=False)]
    for part in text:
        part.encode("utf-8")
    for group in report.groups:
        logs = [read_train_log(run["folder"] / "train_log.txt") for run in group.runs]
        losses(logs), language_styles(group.systems)
        curves(logs, "train ce")
        loaded = [embeddings.load(run["folder"]) for run in group.runs]
        common_sample([arrays for arrays in loaded if arrays is not None])
    return text


def draw(folder: Path) -> object:
    """All figures, and the page with them."""
    draw_all(find_runs(folder), folder / "figures")
    return html.page(tables.gather(folder), folder)


def announce(folder: Path) -> None:
    """As a run does when it was finished before."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        record.announce(folder / "1")
    said.getvalue().encode("utf-8")


def begin(path: Path) -> None:
    """Go on with a run that is there."""
    folders.begin(path.parent, IDENTITY, False)
    folders.is_finished(path.parent, IDENTITY)


JOBS = {"a/b/1": {"array": "xser-0123abcd", "index": 0, "argv": ["x"], "id": "1_0"}}


# --- Features and checkpoints


def array_file(folder: Path) -> dict[str, bytes]:
    """Arrays as a store writes them."""
    opened = store.Store(folder, "0f" * 8, {"source": "a", "what": "b"})
    for name in ("ab" * 8, "cd" * 8):
        opened.write(name, np.arange(12, dtype=np.float32).reshape(3, 4))
    opened.seal()
    [path] = folder.rglob("*.shard")
    return {"a.shard": path.read_bytes()}


def read_arrays(path: Path) -> object:
    """As a cache does, for which damaged arrays are ones that are not there."""
    with contextlib.suppress(shards.Damaged, FileNotFoundError):
        shard = shards.Shard(path)
        return [shard.read(number).tobytes() for number in range(len(shard.keys))]


def features(_: Path) -> dict[str, bytes]:
    """What a store says of itself."""
    about = {"source": "openai/whisper-base", "what": "layers", "dtype": "float32"}
    known = {"/a.wav": [1, 2, 3, 4, "0" * 64, "1" * 64]}
    return {
        "3f/about.json": json.dumps(about).encode(),
        hashes.MEMORY: json.dumps(known).encode(),
    }


def read_features(folder: Path) -> object:
    """List them, and hash a recording."""
    recording = folder / "3f/about.json"
    found = hashes.AudioHashes(folder).of([str(recording)])
    return store.table(store.groups(folder)).encode("utf-8"), found


def sampler_state(path: Path) -> None:
    """The state of a sampler."""
    sampler = object.__new__(RandomBatches)
    sampler.seed = 1
    sampler.load(path, True)


def checkpoint(folder: Path) -> dict[str, bytes]:
    """A whole one."""
    saver = AtomicCheckpointer(folder, {"run_state": RunState()})
    saver.save_checkpoint(meta={"score": 1.0}, name="a")
    return files_below(folder)


def recover(folder: Path) -> None:
    """Go on from a checkpoint."""
    AtomicCheckpointer(folder, {"run_state": RunState()}).recover_if_possible(
        max_key="score"
    )


# --- Recipes and grids


GRID = f"""\
recipes: [{RECIPE}]
systems: [baseline1, proposed]
encoders: [ecapa, whisper]
seeds: [1, 2]
overrides: {{steps: 10}}
"""
LEFT_OUT = """\
leave_one_out:
  recipe: leave_one_out/hparams/leave_one_out.yaml
  corpora: [ravdess, emodb, urdu]
  targets: [emodb]
"""
SYSTEM = """\
trains_on: all
sampler: random
objectives:
  emotion: !new:xser_brain.objectives.CrossEntropy
  spread: !new:mylab.Spread
    weight: 0.1
"""


def read_recipe(path: Path) -> object:
    """As data: nothing that it names is built."""
    hparams.explain(path)
    composed = hparams.compose(path, {"steps": 3})
    return composed.foreign(), composed.modules()


def read_system(path: Path) -> object:
    """A system of one's own."""
    return hparams.compose(RECIPE, {"system": str(path)}).modules()


# --- Models and recordings


@functools.cache
def _model(folder: Path) -> Path:
    return exported(folder)[0]


def model_files(folder: Path) -> dict[str, bytes]:
    """An exported model."""
    return files_below(_model(folder / "model"))


def read_model(folder: Path) -> object:
    """Load it, after hashes were made to fit what is there."""
    try:
        config = json.loads((folder / schema.NAME).read_bytes())
        config["files"][schema.WEIGHTS] = identify(folder / schema.WEIGHTS)
        config["sha256"] = schema.digest(config)
        (folder / schema.NAME).write_text(json.dumps(config))
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    return load(folder)


def encoder_files(_: Path) -> dict[str, bytes]:
    """A pretrained encoder's configurations, and weights of no use."""
    config = {
        "model_type": "wav2vec2", "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 16, "conv_dim": [8, 8],
        "conv_stride": [5, 4], "conv_kernel": [10, 8], "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
        "hidden_act": "gelu", "id2label": {"0": "a"},
    }  # fmt: skip
    prepared = {"feature_size": 1, "sampling_rate": 16000, "do_normalize": True}
    return {
        "config.json": json.dumps(config).encode(),
        "preprocessor_config.json": json.dumps(prepared).encode(),
        "model.safetensors": bytes(1000),
    }


@functools.cache
def _classifier() -> Classifier:
    with tempfile.TemporaryDirectory() as folder:
        return Classifier.from_pretrained(exported(Path(folder) / "model")[0])


def recordings(folder: Path) -> dict[str, bytes]:
    """A second in formats that people have."""
    _classifier()
    samples = noise(1.0, 1, 22050)
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.w64"):
        soundfile.write(folder / name, samples, 22050)
    for name, codec in (("a.m4a", "aac"), ("a.webm", "libopus"), ("a.amr", "amr_nb")):
        with av.open(str(folder / name), "w") as container:
            rate = 8000 if name == "a.amr" else 48000
            track = container.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(
                noise(1.0, 1, rate)[None], "fltp", "mono"
            )
            frame.rate, frame.pts = rate, 0
            container.mux([*track.encode(frame), *track.encode(None)])
    return files_below(folder)


def predict(path: Path) -> object:
    """Label it."""
    return _classifier()(path)


TRAINING = np.array([[0.0, 1.0], [1.0, 2.0]])


def heard(folder: Path) -> dict[str, bytes]:
    """Two utterances."""
    running = RunningStatistics(TRAINING)
    running(np.ones(2)), running(np.zeros(2))
    running.save(folder / "heard.json")
    return files_below(folder)


def hear_on(path: Path) -> object:
    """Go on with a stream."""
    running = RunningStatistics(TRAINING)
    running.load(path)
    assert np.isfinite(running(np.ones(2))).all()
    return running


# --- The page


async def _house(scope, receive, send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def through_gate(method: str, target: str, headers: list, body: bytes) -> int:
    """The status of a request."""
    from xser_brain.serve.gate import Gate

    gate = Gate(
        _house, Limits(), Quota(9, 9), (Path("/nowhere"),), ("a",), {"ann": "x"}
    )
    asked = iter([body[:100], body[100:]])
    told = []

    async def receive():
        part = next(asked, None)
        more = part is not None
        return {"type": "http.request", "body": part or b"", "more_body": more}

    async def send(message):
        told.append(message)

    scope = {
        "type": "http", "method": method, "path": target, "headers": headers,
        "client": ("192.0.2.1", 1),
    }  # fmt: skip
    asyncio.run(gate(scope, receive, send))
    return told[0]["status"]


HEAD = [(b"host", b"a"), (b"authorization", b"Basic YW5uOng=")]
KIND = (b"content-type", b"multipart/form-data; boundary=x")
CALL = {
    "data": [{"path": "/nowhere/a.wav", "meta": {"_type": "gradio.FileData"}}],
    "fn_index": 0,
    "session_hash": "abc",
}
UPLOAD = (
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
    b"RIFF\r\n--x--\r\n"
)
REQUEST = b"host: a\nauthorization: Basic YW5uOng=\norigin: http://a\ncontent-type: x\n"


def call_of_page(path: Path) -> int:
    """The body of a call."""
    return through_gate("POST", "/gradio_api/queue/join", HEAD, path.read_bytes())


def upload_to_page(path: Path) -> int:
    """The body of an upload."""
    return through_gate("POST", "/gradio_api/upload", [*HEAD, KIND], path.read_bytes())


def request_of_page(path: Path) -> int:
    """Headers, and a path."""
    lines = [line.partition(b": ") for line in path.read_bytes().split(b"\n")]
    headers = [(name.lower(), value) for name, _, value in lines]
    name = path.read_bytes()[:100].decode("latin-1")
    return through_gate("GET", f"/gradio_api/file=/{name}", headers, b"")


# Too slow for as many inputs as the others.
FIGURES = Reader("figures of a run", run_files, draw, True)
READERS = [
    Reader("results of a run, as tables and page", run_files, read_results, True),
    Reader("run.json, as announced", run_files, announce, True),
    Reader("identity.json", one("identity.json", json.dumps(IDENTITY)), begin),
    Reader("jobs.json", one("jobs.json", json.dumps(JOBS)), cluster._read_jobs),
    Reader(
        "recipe of a run",
        one("hyperparams.yaml", "run:\n  manifests: null\n  data_root: /corpora\n"),
        lambda path: transductive._settings(path.parent),
    ),
    Reader("features, arrays", array_file, read_arrays),
    Reader("features, what they are", features, read_features, True),
    Reader(
        "state of a sampler", one("s.json", '{"seed": 1, "epoch": 2}'), sampler_state
    ),
    Reader("checkpoint", checkpoint, recover, True),
    Reader("grid", one("grid.yaml", GRID), grid.read),
    Reader("grid, leave one out", one("grid.yaml", LEFT_OUT), grid.read),
    Reader("recipe, as data", one("recipe.yaml", RECIPE.read_bytes()), read_recipe),
    Reader("system, as data", one("mine.yaml", SYSTEM), read_system),
    Reader(
        "options of a command line",
        one("options", "seed: 3\nnon_target: [esd, cafe]\nsupcon.weight: 1e-3\n"),
        lambda path: hparams.parse_overrides(path.read_bytes().decode("latin-1")),
    ),
    Reader("model", model_files, read_model, True),
    Reader("configuration of an encoder", encoder_files, check_encoder, True),
    Reader("recordings of predict", recordings, predict),
    Reader(
        "speakers of predict",
        one("s.csv", "path,speaker\r\na.wav,anna\r\nb.wav,bob\r\n"),
        lambda path: _speakers(str(path))("a.wav"),
    ),
    Reader(
        "list of recordings",
        lambda folder: {
            **one("l.txt", "a.wav\r\nb/c.m4a\n")(folder),
            **one("l.csv", '\ufeffemotion,path\nsad,"a,b.wav"\n')(folder),
        },
        lambda path: read_list(str(path)),
    ),
    Reader(
        "labelled table",
        one("t.csv", "path,emotion,speaker,sex\nt.csv,sad,anna,f\nb.wav,Happy,,\n"),
        lambda path: of_table(path).labelled(("happy", "sad")),
    ),
    Reader(
        "examples of predict",
        one("e.csv", f"path,emotion\r\n{__file__},sad\r\n"),
        read_examples,
    ),
    Reader("what a stream has heard", heard, hear_on),
    Reader(
        "passwords of the page",
        one("users", "ann:one\nbob:two\n"),
        lambda path: access.read_passwords(str(path)),
    ),
    Reader("call of the page", one("call", json.dumps(CALL)), call_of_page),
    Reader("upload to the page", one("upload", UPLOAD), upload_to_page),
    Reader("headers of a request", one("request", REQUEST), request_of_page),
]
