"""Corpora that were imported, in recipes, grids and the guard: CAMEO's schema for one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ruamel.yaml
import soundfile
from small import ROOT, SIZES

from data_prep import corpus, manifest, prepare
from data_prep.__main__ import main as data_prep
from xser_brain.cli import main
from xser_brain.reports.names import setting_name
from xser_brain.training.spec import settle

RECIPE = ROOT / "recipes/leave_one_out/hparams/leave_one_out.yaml"
WORDS = {"neutral": "neutral", "happy": "happiness", "angry": "anger", "sad": "sadness"}
# What each stand-in plays: two English corpora, of which each has half the speakers, and
# one that names no speakers.
PARTS = {
    "ravdess": (("CREMA-D", "RAVDESS"), "English"),
    "esd": (("SUBESCO",), "Bengali"),
    "urdu": (("MESD",), "Spanish"),
    "emodb": (("PAVOQUE",), "German"),
}
NAMES = [
    f"cameo_{name}" for name in ("crema_d", "ravdess", "subesco", "mesd", "pavoque")
]


def records(standins: Path):
    """Rows of CAMEO's schema."""
    for name, (titles, language) in PARTS.items():
        item = corpus.get(name)
        found, _ = prepare.walk(item, standins / name)
        speakers = sorted({utterance.speaker for utterance in found})
        for utterance in found:
            if not item.emotion(utterance.emotion):
                continue
            title = titles[speakers.index(utterance.speaker) % len(titles)]
            file = f"{utterance.id}.wav"
            yield {
                "file_id": file,
                "audio": {
                    "bytes": (standins / name / utterance.path).read_bytes(),
                    "path": file,
                },
                "emotion": WORDS[item.emotion(utterance.emotion)],
                "transcription": utterance.text,
                "speaker_id": None
                if title == "MESD"
                else f"{name}_{utterance.speaker}",
                "gender": utterance.gender or None,
                "age": "31",
                "dataset": title,
                "language": language,
                "license": "Creative Commons Attribution 4.0 International",
            }


@pytest.fixture(scope="session")
def cameo(standins, tmp_path_factory) -> Path:
    """A folder with CAMEO's schema in Parquet, imported: ``root`` and ``manifests``."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet

    folder = tmp_path_factory.mktemp("cameo")
    (folder / "hub/data").mkdir(parents=True)
    rows = list(records(standins))
    for title in {row["dataset"] for row in rows}:
        part = title.lower().replace("-", "_")
        table = pa.Table.from_pylist([row for row in rows if row["dataset"] == title])
        path = folder / f"hub/data/{part}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(table, path)
    call = ["import", "datasets", folder / "hub", "--name=cameo"]
    call += ["--corpus_column=dataset", f"--data_root={folder}/root"]
    call += [f"--save_folder={folder}/manifests"]
    assert data_prep(list(map(str, call))) == 0
    return folder


def where(cameo: Path, results: Path, **changes) -> list[str]:
    options = {
        **{"data_root": cameo / "root", "manifests": cameo / "manifests"},
        **SIZES,
        **{"results": results, "noprogressbar": None, **changes},
    }
    return [
        f"--{key}" if value is None else f"--{key}={value}"
        for key, value in options.items()
    ]


def test_one_corpus_for_each_of_its_own(cameo):
    paths = sorted((cameo / "manifests").glob("*.csv"))
    assert [path.stem for path in paths] == sorted(NAMES)
    rows = {path.stem: manifest.read(path) for path in paths}
    assert {name: {row.language for row in own} for name, own in rows.items()} == {
        "cameo_crema_d": {"en"},
        "cameo_ravdess": {"en"},
        "cameo_subesco": {"bn"},
        "cameo_mesd": {"es"},
        "cameo_pavoque": {"de"},
    }
    assert {row.speaker for row in rows["cameo_mesd"]} == {""}
    assert {row.split for row in rows["cameo_mesd"]} == {"train"}
    assert {row.split for row in rows["cameo_crema_d"]} == set(manifest.SPLITS)
    assert all(row.audio_sha256 and row.emotion for own in rows.values() for row in own)
    sidecar = manifest.read_sidecar(cameo / "manifests/cameo_mesd.csv")
    assert sidecar["title"] == "MESD"
    assert sidecar["licence"] == "Creative Commons Attribution 4.0 International"
    assert "license" in (cameo / "root/cameo/metadata.csv").read_text().splitlines()[0]


def test_all_corpora_of_the_targets_language_are_left_out(cameo):
    folder = {"manifests": str(cameo / "manifests")}
    setting = settle({"corpora": NAMES, "target": "cameo_ravdess", "run": folder})
    assert setting.source == ("cameo_subesco",)
    assert setting.non_target == ("cameo_mesd", "cameo_pavoque")


def test_the_recipe_names_what_the_import_writes():
    tree = ruamel.yaml.YAML(typ="safe").load((ROOT / "recipes/cameo.yaml").read_text())
    assert set(NAMES) <= set(tree["leave_one_out"]["corpora"])
    assert len(tree["leave_one_out"]["corpora"]) == 13


@pytest.mark.slow
def test_a_grid_over_it_and_its_tables(cameo, tmp_path, capsys):
    path, results = tmp_path / "grid.yaml", tmp_path / "results"
    path.write_text(
        f"leave_one_out:\n  recipe: {RECIPE}\n  corpora: [{', '.join(NAMES)}]\n"
        "  targets: [cameo_ravdess]\nsystems: [baseline2]\nencoders: [ecapa]\n"
    )
    options = [x for x in where(cameo, results) if x != "--noprogressbar"]
    call = [sys.executable, "-m", "xser_brain", "grid", path, "--jobs=1", *options]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    [run] = results.glob("*/*/*/1/run.json")
    assert run.parts[-5] == "cameo_subesco_to_cameo_ravdess"
    record = json.loads(run.read_text())
    assert record["audit"]["training"]["languages"] == ["bn", "de", "es"]
    assert record["audit"]["evaluation"]["corpora"] == ["cameo_ravdess"]
    whole = [
        r for r in manifest.read(cameo / "manifests/cameo_ravdess.csv") if r.emotion
    ]
    assert record["target_all"]["n"] == len(whole)
    card = (run.parent / "model/README.md").read_text()
    licence = "Creative Commons Attribution 4.0 International"
    assert f"| cameo_mesd | | {licence} |" in card
    assert main(["tables", str(results)]) == 0
    assert setting_name(run.parts[-5]) in capsys.readouterr().out


# --- Held to the rules of any corpus


def refused(complaint, cameo, tmp_path, target="cameo_pavoque", **changes) -> str:
    parts = {"corpora": "[cameo_subesco,cameo_mesd,cameo_pavoque]", "target": target}
    options = where(cameo, tmp_path / "results", **{**parts, **changes})
    line = complaint([str(RECIPE), "--encoder=ecapa", "--system=proposed", *options])
    assert not list((tmp_path / "results").glob("*/*/*/1/run.json"))
    return line


def copied(cameo: Path, tmp_path: Path, files, language: str, name="liar") -> list[str]:
    """A corpus of these recordings of CAMEO, under other names and in that language."""
    lines, root = ["path,emotion,speaker"], tmp_path / "root"
    root.mkdir()
    (root / "cameo").symlink_to(cameo / "root/cameo")
    for number, row in enumerate(files):
        file = root / f"{name}/{number}.flac"
        file.parent.mkdir(exist_ok=True)
        samples, rate = soundfile.read(row.path(cameo / "root"), dtype="int16")
        soundfile.write(file, samples, rate)
        lines.append(f"{number}.flac,{row.native_emotion},{number % 4}")
    (root / name / "labels.csv").write_text("\n".join(lines))
    folder = tmp_path / "manifests"
    folder.mkdir()
    for path in (cameo / "manifests").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    call = ["import", "csv", f"{root}/{name}/labels.csv", f"--name={name}"]
    assert data_prep([*call, f"--language={language}", f"--save_folder={folder}"]) == 0
    return root, folder


@pytest.mark.parametrize("language", ["de", "fr"])
def test_copies_and_the_language_of_the_target(cameo, tmp_path, complaint, language):
    """Whatever a table says of its language, it holds the target's recordings."""
    target = manifest.read(cameo / "manifests/cameo_pavoque.csv")
    root, folder = copied(cameo, tmp_path, target, language)
    line = refused(
        *(complaint, cameo, tmp_path),
        **{"corpora": "[cameo_subesco]", "source": "[cameo_subesco,liar]"},
        **{"data_root": root, "manifests": folder},
    )
    expected = {"de": "the target's language de", "fr": "a recording, copied or not"}
    assert f"not zero-shot: {expected[language]}" in line or expected[language] in line


def test_recordings_that_changed_since(cameo, tmp_path, complaint):
    rows = manifest.read(cameo / "manifests/cameo_subesco.csv")[:16]
    root, folder = copied(cameo, tmp_path, rows, "fr", "mine")
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(root / "mine/0.flac", noise, 16000)
    options = {"data_root": root, "manifests": folder}
    options["corpora"] = "[cameo_mesd,mine,cameo_pavoque]"
    line = refused(complaint, cameo, tmp_path, **options)
    assert "1 of 16 recordings of mine changed since it was imported" in line
    assert "import it anew" in line


def test_an_incomplete_table(cameo, tmp_path, complaint):
    """Of which one emotion cannot be read."""
    rows = manifest.read(cameo / "manifests/cameo_subesco.csv")[:16]
    root, folder = copied(cameo, tmp_path, rows, "fr", "mine")
    for number, row in enumerate(rows):
        if row.emotion == "angry":
            (root / f"mine/{number}.flac").write_bytes(b"")
    call = ["import", "csv", f"{root}/mine/labels.csv", "--name=mine", "--language=fr"]
    assert data_prep([*call, f"--save_folder={folder}"]) == 0
    options = {"data_root": root, "manifests": folder}
    options["corpora"] = "[cameo_mesd,mine,cameo_pavoque]"
    line = refused(complaint, cameo, tmp_path, **options)
    assert "mine is incomplete, it lacks angry" in line


def test_a_corpus_that_is_not_imported_yet(cameo, tmp_path, complaint):
    options = {"manifests": tmp_path / "none"}
    line = refused(complaint, cameo, tmp_path, **options)
    assert "unknown corpus 'cameo_pavoque'" in line
    assert "if it was imported, pass the --manifests=DIR" in line
