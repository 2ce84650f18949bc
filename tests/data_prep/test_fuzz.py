"""Whatever lies in a folder or stands in a label file: utterances, or a clear error.

``python tests/data_prep/test_fuzz.py [-runs=N]`` has atheris search the label files, led
by the coverage of their parsers, until it is stopped or finds a crash.
"""

import contextlib
import importlib
import json
import math
import os
import pkgutil
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import data_prep.corpora
from data_prep import corpus, manifest, prepare
from data_prep.corpus import Corpus, Rejected, Utterance
from data_prep.errors import UserError

MILLION = 1_000_000
SUFFIXES = ("wav", "flac", "aiff", "mp4", "avi", "m4a", "webm")
EXAMPLE = re.compile(rf"[^,;`]+?\.(?:{'|'.join(SUFFIXES)})\b")

# A line or an entry of each label file, as its corpus' docstring has it.
LABEL_FILES = {
    "casia": {
        "list.txt": "201 就是下雨也去\n202、今天\n",
        "liuchanhg/angry/201.wav": "",
    },
    "cremad": {
        "VideoDemographics.csv": "ActorID,Age,Sex,Race,Ethnicity\n"
        "1001,51,Male,Caucasian,Not Hispanic\n",
        "AudioWAV/1001_DFA_ANG_XX.wav": "",
    },
    "dusha": {
        "crowd_train/raw_crowd_train.jsonl": '{"hash_id": "8d5f", "audio_path": '
        '"wavs/8d5f.wav", "duration": 3.1, "annotator_emo": "angry", "golden_emo": NaN, '
        '"speaker_text": "нет", "speaker_emo": "angry", "source_id": "b1", '
        '"annotator_id": "c2"}\n'
    },
    "eesc": {
        "1.TextGrid": 'File type = "ooTextFile"\nitem [1]:\n class = "IntervalTier"\n '
        'name = "emotion"\n xmin = 0\n intervals [1]:\n  text = "joy"\nitem [2]:\n '
        'name = "sentence"\n  text = "Tere ""hommikust"""\n',
        "1.wav": "",
    },
    "emns": {
        "metadata.csv": "id|utterance|description|emotion|date_created|status|gender|age"
        "|level|audio_recording|user_id\n4|I say|So|Happy|2022|Complete|Female|30s|7|"
        "wavs/recorded_audio_02jmPGL.webm|3\n"
    },
    "emozionalmente": {
        "metadata/samples.csv": "file_name,actor,sentence,emotion_expressed\n"
        "1612871026347.wav,anna,Vorrei il numero,joy\n",
        "metadata/users.csv": "username,gender,age\nanna,female,30\n",
    },
    "esd": {
        "0001/0001.txt": "0001_000351\t打远一看\t生气\n",
        "0001/Angry/0001_000351.wav": "",
    },
    "esd_en": {
        "0011/0011.txt": "0011_000351\tThe nine\tAngry\n",
        "0011/Angry/0011_000351.wav": "",
    },
    "hi_kia": {
        "split/F5_eval.csv": "fname,neutral,happy,angry,sad\nF5_hi_a.wav,0,0,1,0\n"
    },
    "iemocap": {
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt": "% [START - END] TURN\n\n"
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
        "C-E2:\tNeutral;\t()\n",
        "Session1/dialog/transcriptions/Ses01F_impro01.txt": "Ses01F_impro01_F000 "
        "[006.2901-008.2357]: Excuse me.\n",
    },
    "jvnv": {
        "transcription.csv": "anger_free_01|くそっ|くそっ、やられた\n",
        "F1/anger/free/F1_anger_free_01.wav": "",
    },
    "m3ed": {
        "annotation.json": '{"shaonianpai": {"shaonianpai_1": {"SpeakerInfo": {"A": '
        '{"Name": "邓小琪", "Gender": "Female"}}, "Dialog": {"shaonianpai_1_1": '
        '{"Speaker": "A", "Text": "你好", "EmoAnnotation": '
        '{"final_main_emo": "Happy"}}}}}}',
        "splitInfo/movie_list_train.txt": "shaonianpai\nxiaohuanxi\n",
    },
    "meld": {
        "train_sent_emo.csv": "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,"
        'Utterance_ID\n1,"also, I was",Chandler,neutral,neutral,0,0\n'
    },
    "msp_improv": {
        "Evalution.txt": "UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.500000; "
        "D:NaN ; N:4.000000;\nWORKER00000001; Neutral; Neutral; A:3.000000;\n"
    },
    "msp_podcast": {
        "Labels/labels_consensus.csv": "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,"
        "Gender,Split_Set\nMSP-PODCAST_0001_0008.wav,N,3.2,4.0,3.8,127,Male,Train\n"
    },
    "nemo": {
        "data.tsv": "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
        'SB0_anger_1.wav\tanger \t"Nie"\tnie\tSB0\tfemale\t21\n'
    },
    "pavoque": {
        "pavoque-angry.yaml": "- prompt: Spike0001\n  text: 'Sie haben''s'\n  style: angry"
        "\n  start: 0.25\n  end: 1.5\n  segments:\n  - {lab: a, dur: 0.1}\n",
        "pavoque-angry.flac": "",
    },
    "thai_ser": {
        "emotion_label.json": '{"s001_con_actor001_script1_1_1a.flac": [{"assigned_emo": '
        '"Angry", "majority_emo": "Angry", "agreement": 0.8, "annotated": []}]}',
        "actor_demography.json": '{"data": [{"Actor\'s ID": "001", "Sex": "Female"}]}',
    },
}
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-16", "gb18030", "cp1252", "cp932")
# What case folding, number parsing, file names, CSV, JSON and terminals trip over. The
# first four are letters of English to a regular expression that ignores case.
NASTY = (
    "ſ", "K", "ı", "İ", "ß", "٣", "²", "Ⅷ", "\u0301", "é", "中", "😀", "\u200f", "\ufeff",
    "\x85", "\u2028", "\0", "\n", "\r", "\t", "\x1a", " ", "\udcff", "\ud800", "\\", "/",
    "..", "'", '"', '""', ",", ";", "|", "-", "_", ".", "[", "]", "{", "}", "(", ":", "#",
    "%", "$data_root", "nan", "inf", "-1", "1e999", "0", "00", "99999999999999999999",
    "null", "None", "true", "../../x", "C:\\x", "A" * 300,
)  # fmt: skip
VALUES = (
    None, True, 0, -1, 1e999, float("nan"), "", "a\0b", "\ud800", "../x", "ſ", [], {}, [[]],
    {"a": {}}, 10**30,
)  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Finding nothing but refusals would mean that the generator never reaches the parsers.
USED = 0.05


@cache
def examples() -> dict[str, tuple[str, ...]]:
    """The file names that each corpus' docstring and layout give as examples."""
    found = {}
    for info in pkgutil.iter_modules(data_prep.corpora.__path__):
        module = importlib.import_module(f"data_prep.corpora.{info.name}")
        text = " ".join(re.findall(r"``([^`]+)``", module.__doc__))
        for item in getattr(module, "CORPORA", None) or (module.CORPUS,):
            names = EXAMPLE.findall(f"{text},{item.layout}")
            found[item.name] = tuple(
                re.sub(r"\s*\n", "", name).split(" and ")[-1].strip() for name in names
            )
    return found


def assert_sound(item: object, where: object) -> None:
    """What a walking function yields can be worked with."""
    if isinstance(item, Rejected):
        assert isinstance(item.path, str) and item.path and item.reason, where
        return
    assert isinstance(item, Utterance), (item, where)
    for key in ("id", "path", "speaker", "emotion", "text", "session", "media",
                "intensity", "arousal", "valence", "dominance"):  # fmt: skip
        assert isinstance(getattr(item, key), str), (key, item, where)
    assert item.split in ("", *manifest.SPLITS), (item, where)
    assert item.gender in ("", "male", "female"), (item, where)
    assert 0 <= item.start < math.inf and 0 <= item.stop < math.inf, (item, where)


def walk(item: Corpus, folder: Path) -> Counter:
    """Run a walking function; count what comes of it."""
    counts: Counter = Counter()
    try:
        for found in item.utterances(folder):
            assert_sound(found, item.name)
            counts[type(found).__name__] += 1
    except UserError:
        counts["refused"] += 1
    return counts


@contextlib.contextmanager
def pretending(paths: list[str], root: Path) -> Iterator[None]:
    """Have ``os.walk`` tell of files that are not there."""
    tree: dict = {}
    for path in paths:
        *parents, name = path.split("/")
        inner = tree
        for parent in filter(None, parents):
            inner = inner.setdefault((parent,), {})
        inner[name] = None
    real = os.walk

    def below(folder, inner):
        folders = [key[0] for key in inner if isinstance(key, tuple)]
        yield folder, folders, [key for key in inner if isinstance(key, str)]
        for name in folders:
            yield from below(os.path.join(folder, name), inner[name,])

    def fake(top, *args, **kwargs):
        if Path(top) != root:
            return real(top, *args, **kwargs)
        return below(str(root), tree)

    os.walk = fake
    try:
        yield
    finally:
        os.walk = real


def mutate(rng: random.Random, text: str) -> str:
    """Change a text in one to four places."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, kind = rng.randrange(len(text) + 1), rng.randrange(10)
        more = min(len(text), at + rng.choice((1, 1, 2, 8)))
        if kind == 0:
            text = text[:at] + text[more:]
        elif kind == 1:
            text = text[:more] + text[at:]
        elif kind == 2:
            text = text[:at] + text[at:more].swapcase() + text[more:]
        elif kind == 3:
            text = text[:at] + chr(rng.randrange(32, 127)) + text[more:]
        elif kind < 6:
            text = text[:at] + rng.choice(NASTY) + text[more if kind == 4 else at :]
        elif text[at:].isascii():  # a letter for a letter: the name may still fit
            old = text[at : at + 1]
            alike = "0123456789" if old.isdigit() else LETTERS
            text = (
                text[:at]
                + (rng.choice(alike) if old.isalnum() else old)
                + text[at + 1 :]
            )
    return text


def mutate_path(rng: random.Random, path: str) -> str:
    """Change a path; it stays one that a folder can hold."""
    stem, _, suffix = path.rpartition(".")
    if rng.random() < 0.9:
        changed = f"{mutate(rng, stem)}.{rng.choice((suffix, 'wav'))}"
    else:
        changed = mutate(rng, path)
    changed = changed.replace("\0", "").replace("\ud800", "")
    return "/".join(part for part in changed.split("/") if part.strip("."))


def mutate_json(rng: random.Random, value: object) -> object:
    """Replace, remove or rename something anywhere in a JSON value."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    changed = dict(value) if isinstance(value, dict) else list(value)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if rng.random() < 0.1:
        del changed[key]
    elif isinstance(value, dict) and rng.random() < 0.15:
        changed[mutate(rng, key)] = changed.pop(key)
    else:
        changed[key] = mutate_json(rng, value[key])
    return changed


def mutate_file(rng: random.Random, path: str, text: str, rows: int) -> bytes:
    """A label file whose rows are changed, in some encoding."""
    if path.endswith((".json", ".jsonl")) and rng.random() < 0.7:
        new = [json.dumps(mutate_json(rng, json.loads(text))) for _ in range(rows)]
        text = "\n".join(new if path.endswith("l") else new[:1])
    elif path.endswith(".json"):
        text = mutate(rng, text)
    else:
        lines = text.splitlines(keepends=True)
        header, body = (
            (lines[:1], lines[1:]) if path[-3:] in ("csv", "tsv") else ([], [])
        )
        body = "".join(body or lines)
        if "jvnv" in path or not header:
            header, body = [], text
        new = [mutate(rng, body) for _ in range(rows)]
        text = "".join(header) + "".join(new)
        if rng.random() < 0.05:
            text = mutate(rng, text)
    return text.encode(rng.choice(ENCODINGS), "replace").replace(b"\xed\xa0\x80", b"?")


def plant(folder: Path, files: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for path, data in files.items():
        path = folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def seeds(name: str) -> dict[str, bytes]:
    """The unharmed label files of a corpus."""
    return {path: text.encode() for path, text in LABEL_FILES[name].items()}


def labels(name: str) -> list[str]:
    """The paths of a corpus' label files."""
    return [path for path, text in LABEL_FILES[name].items() if text]


@pytest.fixture(scope="module")
def memory():
    """A folder in memory, where there is one."""
    home = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=home if home.is_dir() else None)
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


# --- The material itself ---


def test_every_corpus_has_an_example_and_its_label_files():
    assert set(examples()) == set(corpus.registry())
    assert not [name for name, paths in examples().items() if not paths]
    readers = {"read_table", "read_text", "read_json"}
    needed = {
        name
        for name, item in corpus.registry().items()
        if readers & set(vars(sys.modules[item.utterances.__module__]))
    }
    assert needed <= set(LABEL_FILES)


@pytest.mark.parametrize("name", LABEL_FILES)
def test_the_unharmed_label_files_are_read(name, tmp_path):
    plant(tmp_path, seeds(name))
    (found,), rejected = prepare.walk(corpus.get(name), tmp_path)
    assert found.emotion and not rejected
    assert found.text or name in ("msp_improv", "msp_podcast", "thai_ser")
    assert found.gender or name in ("dusha", "meld")


@pytest.mark.parametrize("name", sorted(corpus.registry()))
def test_letters_that_only_look_alike(name, tmp_path):
    """Some are letters of English, to a regular expression that ignores case."""
    for path in examples()[name]:
        for at, old in enumerate(path):
            for new in "ſKıİ" if old.isalpha() else "٣" if old.isdigit() else "":
                with pretending([path[:at] + new + path[at + 1 :]], tmp_path):
                    walk(corpus.get(name), tmp_path)


# --- Generated: as many as the time allows ---


def paths_of(rng: random.Random, item: Corpus, number: int) -> list[str]:
    """Changed example paths, no two of one stem: that would refuse the whole folder."""
    known = examples()[item.name]
    made = (mutate_path(rng, rng.choice(known)) for _ in range(number))
    unique = {path.rpartition("/")[2].rpartition(".")[0]: path for path in made if path}
    return list(unique.values())


def culprit(item: Corpus, paths: list[str], root: Path) -> str:
    """The first path that alone makes a walking function fail."""
    for path in paths:
        try:
            with pretending([path], root):
                walk(item, root)
        except Exception as error:
            return f"{item.name}: the path {path!r}: {error!r}"
    return f"{item.name}: {len(paths)} paths together"


def try_paths(rng: random.Random, number: int, root: Path) -> tuple[Counter, list[str]]:
    """Walk generated folders of all corpora in turn."""
    counts, crashes = Counter(), {}
    while counts["tried"] < number:
        for name, item in corpus.registry().items():
            paths = paths_of(rng, item, 500)
            counts["tried"] += len(paths)
            try:
                with pretending(paths, root):
                    counts += walk(item, root)
            except Exception:
                crashes.setdefault(name, culprit(item, paths, root))
    return counts, list(crashes.values())


def try_rows(rng: random.Random, number: int, root: Path) -> tuple[Counter, list[str]]:
    """Walk folders whose label files hold generated rows."""
    counts, crashes = Counter(), {}
    while counts["tried"] < number:
        for name in LABEL_FILES:
            folder = root / name
            files = seeds(name)
            for _ in range(5):
                rows = rng.choice((1, 1, 2, 5, 20, 100))
                path = rng.choice(labels(name))
                if path.endswith(".json"):
                    rows = 1
                files[path] = mutate_file(rng, path, LABEL_FILES[name][path], rows)
                plant(folder, files)
                counts["tried"] += rows
                try:
                    counts += walk(corpus.get(name), folder)
                except Exception as error:
                    told = f"{name}: {path} of {files[path][-400:]!r}: {error!r}"
                    crashes.setdefault(name, told)
                files[path] = LABEL_FILES[name][path].encode()
    return counts, list(crashes.values())


def tell(capsys, what: str, counts: Counter) -> None:
    with capsys.disabled():
        print(
            f"\n{counts['tried']:,} generated {what} tried: {counts['Utterance']:,} "
            f"utterances, {counts['Rejected']:,} rejected, {counts['refused']:,} folders "
            "refused with a clear error"
        )


@pytest.mark.parametrize(
    "number", [20_000, pytest.param(MILLION // 2, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("attempt, what", [(try_paths, "paths"), (try_rows, "rows")])
def test_generated(memory, capsys, number, attempt, what):
    counts, crashes = attempt(random.Random(number), number, memory)
    tell(capsys, what, counts)
    assert not crashes, "\n".join(crashes)
    assert counts["tried"] >= number
    assert counts["Utterance"] > USED * number


# --- Searched by hypothesis: the whole way to a manifest ---

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies
NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), max_size=40
)


def manifest_of(item: Corpus, folder: Path, out: Path) -> None:
    """Prepare a folder; the manifest that comes of it can be read."""
    policy = next(name for name in item.policies if name != "paper")
    try:
        path = prepare.prepare(item, folder, out, policy)
    except UserError:
        return
    rows = manifest.read(path)
    assert manifest.read_sidecar(path)["counts"]["utterances"] == len(rows)
    home = os.path.realpath(folder)
    for row in rows:
        assert os.path.realpath(row.path(folder.parent)).startswith(home), row
        assert row.ID.removeprefix(f"{item.name}-") and "\0" not in row.wav, row


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_label_files_of_any_bytes(memory, data):
    name = data.draw(st.sampled_from(sorted(LABEL_FILES)))
    path = data.draw(st.sampled_from(labels(name)))
    files = seeds(name)
    part = data.draw(st.binary(max_size=300))
    head = files[path][: data.draw(st.integers(0, len(files[path])))]
    files[path] = head + part + files[path][len(head) :] * data.draw(st.integers(0, 1))
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        plant(Path(folder) / name, files)
        manifest_of(corpus.get(name), Path(folder) / name, Path(folder) / "out")


@settings(max_examples=250, deadline=None)
@given(name=st.sampled_from(sorted(LABEL_FILES)), seed=st.integers(0, 1 << 32))
def test_label_files_with_changed_rows(memory, name, seed):
    rng = random.Random(seed)
    path = rng.choice(labels(name))
    files = seeds(name)
    files[path] = mutate_file(rng, path, LABEL_FILES[name][path], rng.randint(1, 3))
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        plant(Path(folder) / name, files)
        manifest_of(corpus.get(name), Path(folder) / name, Path(folder) / "out")


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(corpus.registry())),
    paths=st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=5),
    suffix=st.sampled_from(SUFFIXES),
    changed=st.integers(0, 1 << 32),
)
def test_folders_of_any_names(memory, name, paths, suffix, changed):
    rng, item = random.Random(changed), corpus.get(name)
    made = [f"{'/'.join(filter(None, parts))}.{suffix}" for parts in paths]
    made += [mutate_path(rng, rng.choice(examples()[name])) for _ in range(3)]
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        root = Path(folder) / name
        root.mkdir()
        for path in made:
            with contextlib.suppress(OSError):  # too long, or a file where a folder is
                plant(root, {path: b""})
        walk(item, root)
        manifest_of(item, root, Path(folder) / "out")


TABLES = st.binary(max_size=400) | st.text(max_size=200).map(
    lambda text: text.encode("utf-16", "surrogatepass")
)


@settings(max_examples=150, deadline=None)
@given(data=TABLES, delimiter=st.sampled_from(",\t|;"))
def test_read_table(memory, data, delimiter):
    path = memory / "table.csv"
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        for row in corpus.read_table(path, (), delimiter):
            assert all(isinstance(value, str) for value in row.values())
    assert isinstance(corpus.read_text(path, "gb18030"), str)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400), header=st.booleans())
def test_read_a_manifest(memory, data, header):
    path = memory / "manifest.csv"
    path.write_bytes(
        ",".join(manifest.COLUMNS).encode() * header + b"\n" * header + data
    )
    with contextlib.suppress(UserError):
        assert all(isinstance(row, manifest.Row) for row in manifest.read(path))
    with contextlib.suppress(UserError):
        manifest.read_sidecar(path)


# --- Searched by atheris, led by coverage ---


@pytest.mark.slow
def test_atheris(tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed")
    command = [sys.executable, __file__, "-runs=20000", "-seed=1", "-verbosity=0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def search(arguments: list[str]) -> None:
    """Run atheris over all label files; the first byte chooses the file."""
    import atheris

    with atheris.instrument_imports(include=["data_prep"]):
        for module in list(sys.modules):
            if module.startswith("data_prep"):
                del sys.modules[module]
        fresh = importlib.import_module("data_prep.corpus")
        refusal = importlib.import_module("data_prep.errors").UserError
        registry = fresh.registry()
    places = [(name, path) for name in LABEL_FILES for path in labels(name)]
    home = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    for name in LABEL_FILES:
        plant(home / name, seeds(name))

    def one_input(data: bytes) -> None:
        name, path = places[data[0] % len(places) if data else 0]
        (home / name / path).write_bytes(data[1:])
        try:
            for _ in registry[name].utterances(home / name):
                pass
        except refusal:
            pass
        finally:
            (home / name / path).write_bytes(LABEL_FILES[name][path].encode())

    start = home / "seeds"
    start.mkdir()
    for i, (name, path) in enumerate(places):
        (start / str(i)).write_bytes(bytes([i]) + LABEL_FILES[name][path].encode())
    atheris.Setup([sys.argv[0], *arguments, str(start)], one_input)
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    search(sys.argv[1:])
