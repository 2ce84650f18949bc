"""The readers of outside data in data_prep, with small unharmed files for each."""

import json
from pathlib import Path

from data_prep import manifest, outside
from tests.fuzz import Reader


def _manifest(folder: Path) -> dict[str, bytes]:
    rows = [
        manifest.Row(
            f"x-{i}",
            1.0,
            f"$data_root/x/{i}.wav",
            16000,
            "x",
            "de",
            "x-a",
            "sad",
            "sadness",
            "test",
            text='Ja, "so"',
        )  # fmt: skip
        for i in range(3)
    ]
    manifest.write(folder / "x.csv", rows, {"corpus": "x", "title": "X"})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _read_manifest(folder: Path) -> object:
    return manifest.read(folder / "x.csv"), manifest.read_sidecar(folder / "x.csv")


def _json(_: Path) -> dict[str, bytes]:
    value = {"a": [1, 2.5, None, {"b": "é"}], "c": True, "d": {"e": {"f": "g"}}}
    return {"a.json": json.dumps(value).encode()}


def _csv(_: Path) -> dict[str, bytes]:
    return {"a.csv": 'ID,text\r\n1,"a, ""b"""\r\n2,é\r\n'.encode()}


READERS = [
    Reader("manifest and sidecar", _manifest, _read_manifest, folder=True),
    Reader("JSON", _json, lambda path: outside.read_json(path, "JSON", {"a": list})),
    Reader("CSV", _csv, lambda path: outside.read_csv(path, "a table", ["ID"])),
]
