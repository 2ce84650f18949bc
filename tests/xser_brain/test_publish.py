"""Publishing, by the real client, on a hub of this machine."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import soundfile
from hub import Hub, Repo
from huggingface_hub import ModelCard
from models import build, exported, noise, probabilities
from models import record as some_record
from serving import serving

from data_prep import corpus
from data_prep.errors import UserError
from xser_brain import cli
from xser_brain.models import export as export_module
from xser_brain.models.export import bundle, export
from xser_brain.models.publish import assemble

FILES = {"model.safetensors", "config.json", "README.md", "hyperparams.yaml"}
ENCODER = {
    f"encoder/{name}"
    for name in ("config.json", "preprocessor_config.json", "model.safetensors")
}
# Commands one after the other in one process, as starting one takes seconds; the client
# tries again after a pause, which here is none.
WORKER = """
import contextlib, io, json, os, sys, time
from xser_brain import cli
time.sleep = lambda seconds: None
for line in sys.stdin:
    given = json.loads(line)
    os.environ.update(given["env"])
    os.chdir(given["folder"])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(given["argv"])
    answer = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
    print(json.dumps(answer), flush=True)
"""
LOAD = """
import json, sys
import numpy as np
from xser_brain.inference import Classifier
utterance = np.load(sys.argv[1])
for name in sys.argv[2:]:
    name, _, revision = name.partition("@")
    classifier = Classifier.from_pretrained(name, revision=revision or None)
    print(json.dumps(list(classifier(utterance, 16000).probabilities.values())))
"""


@pytest.fixture(scope="module")
def hub():
    with Hub().serve() as hub:
        yield hub


@pytest.fixture(autouse=True)
def nothing_asked(hub):
    hub.asked.clear()


def client(hub, home) -> dict[str, str]:
    """The environment of a process that knows this hub only."""
    return {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": "",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",  # the hub of this machine speaks plain LFS
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "*",
    }


@pytest.fixture(scope="module")
def worker(hub, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=client(hub, home),
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def xser(worker, tmp_path):
    """Run ``xser``; its output, after the exit code that is expected."""

    def run(*argv, code=0, token="mine", folder=tmp_path) -> str:
        given = {"argv": [str(a) for a in argv], "folder": str(folder)}
        given["env"] = {"HF_TOKEN": token}
        worker.stdin.write(json.dumps(given) + "\n")
        worker.stdin.flush()
        answer = json.loads(worker.stdout.readline())
        assert answer["code"] == code, answer
        if code == 0:
            return answer["out"]
        errors = [e for e in answer["err"].splitlines() if e.startswith("error: ")]
        assert len(errors) == 1, answer
        assert "Traceback" not in answer["err"]
        return errors[0]

    return run


@pytest.fixture
def publish(xser):
    def run(folder, repo, *options, **given) -> str:
        return xser("publish", folder, f"--repo={repo}", *options, **given)

    return run


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A model that is whole by its nature, in the folder of a run."""
    run = tmp_path_factory.mktemp("runs") / "secret/1"
    run.mkdir(parents=True)
    return exported(run / "model")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, small_encoder):
    """A model with a pretrained encoder in a folder of this machine."""
    source = tmp_path_factory.mktemp("secret") / "my encoder"
    shutil.copytree(small_encoder("wav2vec2"), source)
    folder = tmp_path_factory.mktemp("runs") / "2/model"
    folder.parent.mkdir()
    folder, model = exported(folder, source, adaptation="lora", lora_rank=2)
    return folder, model, source


@pytest.fixture
def encoder_on_hub(hub, adapted):
    """The pretrained encoder, by someone else."""
    repo = Repo()
    repo.branches["main"].append(
        {path.name: path.read_bytes() for path in adapted[2].iterdir()}
    )
    hub.repos["them/encoder"] = repo
    return "them/encoder"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- What others get


def test_a_published_model_says_the_same_in_a_fresh_process(
    hub, publish, plain, adapted, encoder_on_hub, python, tmp_path
):
    publish(plain[0].parent, "me/plain")
    publish(plain[0], "me/branched", "--revision=trial/1")
    publish(adapted[0], "me/whole", "--whole", "--private")
    publish(adapted[0], "me/named", f"--encoder={encoder_on_hub}@main")
    utterance = noise(1.5, 4)
    np.save(tmp_path / "utterance.npy", utterance)
    names = ["me/plain", "me/branched@trial/1", "me/whole", "me/named"]
    env = client(hub, tmp_path / "empty") | {"HF_TOKEN": "mine"}
    done = python(LOAD, str(tmp_path / "utterance.npy"), *names, **env)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for row, model in zip(found, [plain[1]] * 2 + [adapted[1]] * 2, strict=True):
        [expected] = probabilities(model, [utterance])
        np.testing.assert_allclose(row, expected, atol=1e-6)
    assert np.abs(np.subtract(found[0], found[2])).max() > 0.01


def test_a_models_files_and_no_others_are_pushed_in_one_commit(
    hub, publish, plain, tmp_path
):
    folder = shutil.copytree(plain[0], tmp_path / "m")
    for name in ("notes.txt", "old.bin", "sub/code.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("of no one else's concern")
    said = publish(folder, "me/stray")
    assert hub.files("me/stray").keys() == FILES
    assert hub.commits("me/stray") == 1
    assert not hub.repos["me/stray"].private
    lines = said.splitlines()
    assert {line.split()[-1] for line in lines[:4]} == FILES
    assert lines[-1] == f"published: {hub.endpoint}/me/stray"
    size = sum(map(len, hub.files("me/stray").values()))
    assert lines[-2].split() == [f"{size / 1e6:.2f}", "MB", "in", "4", "files"]


@pytest.mark.slow
def test_the_commit_of_a_model_of_the_hub_is_told_and_recorded(
    hub, publish, plain, xser, python, tmp_path
):
    publish(plain[0], "me/seen")
    sha, _ = hub.repos["me/seen"].commit("main")
    soundfile.write(tmp_path / "a.wav", noise(1.0), 16000)
    code = "import sys; from xser_brain.cli import main; sys.exit(main(sys.argv[1:]))"
    env = client(hub, tmp_path / "home")

    def predict(*options: str):
        options = ("--noprogressbar", *options)
        return python(code, "predict", *options, str(tmp_path / "a.wav"), **env)

    done = predict("me/seen", "--format=json")
    assert json.loads(done.stdout)["model"] == f"me/seen@{sha}"
    assert (
        f"model: me/seen, commit {sha}, as the hub has it now: name it" in done.stderr
    )
    # Another model takes its place; who has pinned it keeps it.
    hub.repos["me/seen"].branches["main"].append({"config.json": b"{}"})
    for pinned in (["me/seen", f"--revision={sha}"], [f"me/seen@{sha}"]):
        done = predict(*pinned, "--format=csv")
        (row,) = csv.DictReader(done.stdout.splitlines())
        assert row["model"] == f"me/seen@{sha}"
        assert f"model: me/seen, commit {sha}" in done.stderr
        assert "as the hub has it now" not in done.stderr
    done = predict("me/seen")
    assert (done.returncode, done.stdout) == (2, "")
    done = predict(str(plain[0]), "--format=csv")
    assert "model" not in done.stdout.splitlines()[0].split(",")


@pytest.mark.slow
def test_the_page_names_the_commit(hub, publish, plain, tmp_path):
    pytest.importorskip("gradio", reason="Gradio is not installed (the extra `serve`)")
    publish(plain[0], "me/shown")
    sha, _ = hub.repos["me/shown"].commit("main")
    env = client(hub, tmp_path / "home")
    for options in ([], [f"--revision={sha}"]):
        with serving("me/shown", tmp_path, *options, **env) as running:
            with urllib.request.urlopen(f"{running.url}config") as answer:
                assert f"me/shown@{sha}" in answer.read().decode()
            unpinned = "as the hub has it now" in running.log.read_text()
            assert unpinned == (not options)


def test_a_model_that_is_published_again_names_its_commit(hub, publish, plain):
    publish(plain[0], "me/first")
    sha, _ = hub.repos["me/first"].commit("main")
    publish("me/first", "me/second")
    assert hub.repos["me/first"].messages == ["Model of xser"]
    assert hub.repos["me/second"].messages == [f"Model of xser, from me/first@{sha}"]


@pytest.mark.parametrize(
    "options",
    [
        ["me/x@a", "--revision=b"],
        ["me/x", "--revision=../a"],
        ["me/x@a b"],
        [".", "--revision=a"],
    ],
)
def test_wrong_revisions_are_one_line(xser, tmp_path, options):
    soundfile.write(tmp_path / "a.wav", noise(1.0), 16000)
    said = xser("predict", *options, tmp_path / "a.wav", code=2)
    assert "revision" in said or "commit" in said


def test_publishing_twice_changes_nothing(hub, publish, plain):
    publish(plain[0], "me/twice")
    said = publish(plain[0], "me/twice")
    assert f"nothing new, published before: {hub.endpoint}/me/twice" in said
    assert hub.commits("me/twice") == 1


def test_a_branch_is_made_and_main_left(hub, publish, plain):
    said = publish(plain[0], "me/tried", "--revision=v1")
    assert said.splitlines()[-1] == f"published: {hub.endpoint}/me/tried/tree/v1"
    assert (hub.commits("me/tried"), hub.commits("me/tried", "v1")) == (0, 1)
    card = hub.files("me/tried", "v1")["README.md"].decode()
    assert 'from_pretrained("me/tried", revision="v1")' in card
    publish(plain[0], "me/tried", "--revision=v1")
    assert hub.commits("me/tried", "v1") == 1


def test_private_is_never_shown_to_all(hub, publish, plain):
    publish(plain[0], "me/hidden", "--private")
    assert hub.repos["me/hidden"].private
    hub.repos["me/open"] = Repo()
    assert "me/open is public" in publish(plain[0], "me/open", "--private", code=2)
    assert hub.commits("me/open") == 0


# --- The encoder, and paths


def test_an_encoder_of_this_machine_is_refused(hub, publish, adapted):
    said = publish(adapted[0], "me/refused", code=2)
    assert "--whole" in said
    assert "--encoder=NAME" in said
    assert not hub.asked


def test_no_byte_holds_a_path(hub, publish, adapted, encoder_on_hub, tmp_path):
    folder, _, source = adapted
    publish(folder, "me/inside", "--whole")
    publish(folder, "me/outside", f"--encoder={encoder_on_hub}")
    publish(folder, "me/both", "--whole", f"--encoder={encoder_on_hub}@v2", code=2)
    publish(folder, "me/both", "--whole", f"--encoder={encoder_on_hub}")
    assert hub.files("me/inside").keys() == FILES | ENCODER
    assert hub.files("me/outside").keys() == FILES
    for repo, name in (
        ("me/inside", "my-encoder"),
        ("me/outside", "them/encoder"),
        ("me/both", "them/encoder"),
    ):
        files = hub.files(repo)
        config = json.loads(files["config.json"])["encoder"]
        assert (config["source"], config["revision"]) == (name, None)
        front = ModelCard(files["README.md"].decode()).data
        assert front.base_model == (name if "/" in name else None)
        for data in files.values():
            for path in (source, source.parent, source.parents[1], folder):
                assert str(path).encode() not in data


def test_a_whole_model_stays_whole_without_its_encoders_folder(
    hub, publish, adapted, tmp_path
):
    folder, _, source = adapted
    moved = shutil.copytree(source, tmp_path / "moved")
    own = exported(tmp_path / "m", moved, whole=True)[0]
    shutil.rmtree(moved)
    publish(own, "me/complete")
    files = hub.files("me/complete")
    assert files.keys() == FILES | ENCODER
    assert str(tmp_path).encode() not in b"".join(files.values())
    bundle(own, tmp_path / "again")
    assert files_of(tmp_path / "again").keys() == FILES | ENCODER


def test_an_encoder_that_goes_is_removed_and_other_files_stay(
    hub, publish, adapted, encoder_on_hub
):
    publish(adapted[0], "me/slimmer", "--whole")
    hub.repos["me/slimmer"].branches["main"][-1]["LICENSE"] = b"mine"
    publish(adapted[0], "me/slimmer", f"--encoder={encoder_on_hub}")
    assert hub.files("me/slimmer").keys() == FILES | {"LICENSE"}
    assert hub.commits("me/slimmer") == 2


def test_an_encoder_in_another_place(hub, publish, adapted, tmp_path):
    folder, _, source = adapted
    moved = shutil.copytree(source, tmp_path / "moved")
    own = exported(tmp_path / "m", moved)[0]
    shutil.rmtree(moved)
    assert "--encoder_source" in publish(own, "me/moved", "--whole", code=2)
    publish(own, "me/moved", "--whole", f"--encoder_source={source}")
    assert hub.files("me/moved").keys() == FILES | ENCODER


def test_an_encoder_of_the_hub_stays_pinned(hub, publish, adapted, encoder_on_hub):
    folder, _, source = adapted
    model = build(source)
    sha, _ = hub.repos[encoder_on_hub].commit("main")
    model.encoder.source = encoder_on_hub
    model.encoder.core.model.config._commit_hash = sha
    own = folder.with_name("pinned")
    export(own, model, False, some_record())
    said = publish(own, "me/pinned", "--dry_run", code=2)
    assert "not in the cache of this machine" in said
    assert not hub.asked
    publish(own, "me/pinned")
    encoder = json.loads(hub.files("me/pinned")["config.json"])["encoder"]
    assert (encoder["source"], encoder["revision"]) == (encoder_on_hub, sha)
    hub.asked.clear()
    publish(own, "me/pinned", "--dry_run")  # which by now has it
    assert not hub.asked


def test_an_encoder_that_tells_a_path_is_not_published(hub, publish, adapted, tmp_path):
    source = shutil.copytree(adapted[2], tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    config["trained_in"] = "/home/someone/data"
    (source / "config.json").write_text(json.dumps(config))
    own = exported(tmp_path / "m", source)[0]
    said = publish(own, "me/tells", "--whole", code=2)
    assert "would publish a path of this machine (/home/someone/data)" in said
    assert not hub.asked


def test_an_encoder_that_is_not_on_the_hub(hub, publish, adapted, plain):
    said = publish(adapted[0], "me/nowhere", "--encoder=them/nothing@v1", code=2)
    assert "--encoder=them/nothing@v1 is not on the hub" in said
    assert "me/nowhere" not in hub.repos
    assert "is not a name on the hub" in publish(
        adapted[0], "me/nowhere", "--encoder=/a/folder", code=2
    )
    assert "has no pretrained encoder" in publish(
        plain[0], "me/nowhere", "--encoder=them/nothing", code=2
    )


# --- A dry run


def test_a_dry_run_writes_what_is_pushed_and_sends_nothing(
    hub, publish, adapted, tmp_path
):
    options = ["--whole", "--encoder=them/encoder", "--licence=apache-2.0"]
    said = publish(adapted[0], "me/dry", *options, "--dry-run", token="")
    assert f"nothing sent: written to {tmp_path / 'dry'}" in said
    publish(adapted[0], "me/dry", *options, "--dry_run", "--output=a/b", token="")
    assert not hub.asked
    assert [p.name for p in tmp_path.iterdir() if p.name[0] == "."] == []
    hub.repos["them/encoder"] = Repo()
    publish(adapted[0], "me/dry", *options)
    written = files_of(tmp_path / "dry")
    assert written == hub.files("me/dry") == files_of(tmp_path / "a/b")
    assert written.keys() == FILES | ENCODER


def test_an_earlier_dry_run_is_replaced_and_nothing_else(
    hub, publish, plain, adapted, tmp_path
):
    publish(adapted[0], "me/dry", "--whole", "--dry_run")
    publish(plain[0], "me/dry", "--dry_run")
    assert files_of(tmp_path / "dry").keys() == FILES
    (tmp_path / "dry/notes.txt").write_text("mine")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/config.json").write_text("{}")
    shutil.copytree(plain[0], tmp_path / "m/model")
    before = files_of(tmp_path)
    for output, reason in (
        ("dry", "more than an earlier dry run"),
        ("folder", "more than an earlier dry run"),
        ("file", "is not a folder"),
        ("m/model", "is where the model lies"),
        ("m", "is where the model lies"),
        ("m/model/sub", "is where the model lies"),
        ("file/sub", "cannot write"),
    ):
        args = "--dry_run", f"--output={output}"
        place = "m" if "m" in output else plain[0]
        assert reason in publish(place, "me/dry", *args, code=2)
    assert "--output is for --dry_run" in publish(
        plain[0], "me/dry", "--output=x", code=2
    )
    assert files_of(tmp_path) == before


# --- Refusals


@pytest.mark.parametrize(
    ("repo", "options", "reason"),
    [
        ("name", [], "write it as OWNER/NAME"),
        ("a/b/c", [], "is not the name of a repository"),
        ("me/a--b", [], "is not the name of a repository"),
        ("me/x", ["--revision=a b"], "is not the name of a branch"),
        ("me/x", ["--licence=CC BY"], "is not a licence of the hub"),
    ],
)
def test_names_that_the_hub_refuses(hub, publish, plain, repo, options, reason):
    assert reason in publish(plain[0], repo, *options, code=2)
    assert not hub.asked


@pytest.mark.parametrize(
    ("token", "repo", "reason"),
    [
        (
            "",
            "me/x",
            "no token of the hub on this machine: log in with `hf auth login`",
        ),
        ("unknown", "me/x", "does not take the token: log in with `hf auth login`"),
        ("weak", "me/x", "does not let this token write to me/x"),
        ("mine", "you/new", "does not let this token write to you/new"),
        ("mine", "you/there", "does not let this token write to you/there"),
    ],
)
def test_who_may_not_is_told(hub, publish, plain, token, repo, reason):
    hub.repos["you/there"] = Repo()
    assert reason in publish(plain[0], repo, code=2, token=token)
    assert hub.commits("you/there") == 0
    assert hub.repos.keys().isdisjoint({"me/x", "you/new"})


def test_a_licence_that_the_hub_does_not_know(hub, publish, plain):
    said = publish(plain[0], "me/licensed", "--licence=gpl-17", code=2)
    assert '"license" must be one of' in said
    assert "nothing was published" in said
    assert hub.commits("me/licensed") == 0


def test_an_upload_that_broke_off_goes_on(hub, publish, adapted):
    hub.blobs.clear()
    trained = hashlib.sha256((adapted[0] / "model.safetensors").read_bytes())
    hub.breaks = f"PUT /lfs/{trained.hexdigest()}"
    said = publish(adapted[0], "me/broken", "--whole", code=2)
    broken, hub.breaks = hub.breaks, ""
    assert "nothing was published; the same command goes on from there" in said
    assert "model.safetensors" in said
    assert hub.commits("me/broken") == 0
    hub.asked.clear()
    publish(adapted[0], "me/broken", "--whole")
    assert hub.commits("me/broken") == 1
    assert hub.files("me/broken").keys() == FILES | ENCODER
    assert [ask for ask in hub.asked if ask.startswith("PUT")] == [broken]


def test_a_confirmation_that_got_lost(hub, publish, plain):
    hub.breaks = "/commit/main"
    said = publish(plain[0], "me/lost", code=2)
    hub.breaks = ""
    assert "it is not known whether me/lost was published; the same command" in said
    assert "nothing new" in publish(plain[0], "me/lost")
    assert hub.commits("me/lost") == 1


def test_no_network(plain, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "mine")
    assert cli.main(["publish", str(plain[0]), "--repo=me/x"]) == 2
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9 does not answer as it should (" in error
    assert "nothing was published; the same command goes on" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_model_is_never_published(hub, publish, plain, tmp_path, name):
    folder = shutil.copytree(plain[0], tmp_path / "m")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    assert "is damaged" in publish(folder, "me/damaged", code=2)
    assert not hub.asked


def test_what_would_be_pushed_is_loaded_first(plain, tmp_path, monkeypatch):
    def write(folder, *args, **kwargs):
        export_module.write(folder, *args, **kwargs)
        (folder / "model.safetensors").write_bytes(b"not what was written")

    monkeypatch.setattr("xser_brain.models.publish.write", write)
    with pytest.raises(UserError, match="is damaged"):
        assemble(plain[0], tmp_path / "staged", "me/x")


# --- The card


def test_the_hub_reads_the_figures_from_the_card(finished, record, xser, hub):
    xser("publish", finished, "--repo=me/run", "--licence=cc-by-nc-sa-4.0")
    text = hub.files("me/run")["README.md"].decode()
    run, data = record(finished), ModelCard(text).data
    sources = ["esd", "ravdess", "urdu"]
    assert run["licences"] == {n: corpus.get(n).licence for n in [*sources, "emodb"]}
    assert data.license == "cc-by-nc-sa-4.0"
    assert data.language == ["en", "ur", "zh"]
    assert data.library_name == "speechbrain"
    assert data.pipeline_tag == "audio-classification"
    assert data.base_model is None
    assert data.model_name == "run"
    found = {(r.dataset_split, r.metric_type): r for r in data.eval_results}
    for part, key in (("test", "target_test"), ("all", "target_all")):
        for kind, figure in (("recall", "uar"), ("f1", "macro_f1")):
            result = found.pop((part, kind))
            assert result.metric_value == round(run[key][figure], 1)
            assert result.task_type == "audio-classification"
            assert result.task_name == "speech emotion recognition"
            assert result.dataset_type == "emodb"
            title = corpus.get("emodb").title
            assert result.dataset_name == f"{title}, synthetic stand-in"
    assert not found
    assert 'from_pretrained("me/run")' in text
    assert "`xser predict me/run clip.wav" in text
    assert "FOLDER OR HUB NAME" not in text
    assert "MODEL" not in text
    note = text.partition("## Licence")[2]
    assert "The weights: cc-by-nc-sa-4.0." in note
    restricted = {corpus.get(n).title for n in sources}
    for title in restricted:  # research only, CC BY-NC-SA 4.0, research only
        assert title in note


def test_a_free_corpus_is_not_called_restricted_nor_an_unknown_one_free(tmp_path):
    model = build()
    facts = some_record() | {"standin": False, "zero_shot": False}
    facts["audit"]["training"]["corpora"] = ["jlcorpus", "mine", "tess"]
    export(tmp_path / "m", model, False, facts)
    text = (tmp_path / "m/README.md").read_text()
    note = text.partition("## Licence")[2].partition("##")[0]
    assert corpus.get("tess").title in note
    assert corpus.get("jlcorpus").title not in note
    assert "Licence not known here: mine." in note
    assert "On emodb (German), trained on the target:" in text
    data = ModelCard(text).data
    assert data.license == "other"
    for result in data.eval_results:
        assert result.dataset_name == corpus.get("emodb").title
        assert result.metric_name.endswith("(%, test part, trained on the target)")


def test_help_waits_for_no_library(python):
    code = (
        "import sys; from xser_brain import cli; cli.parser(); "
        "print([m for m in ('huggingface_hub', 'torch') if m in sys.modules])"
    )
    assert python(code).stdout.strip() == "[]"
