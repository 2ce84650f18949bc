"""Manifests as Lhotse's recordings and supervisions, and these as corpora.

A manifest becomes ``<corpus>_recordings_<part>.jsonl.gz`` and
``<corpus>_supervisions_<part>.jsonl.gz`` for the parts train, dev and test, named as
Lhotse's own recipes do. What a supervision has no field for is in its ``custom`` ones.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from data_prep import outside
from data_prep.audio import AudioError, probe
from data_prep.corpus import Rejected, Utterance
from data_prep.errors import UserError
from data_prep.exchange import (
    CARRIED,
    PARTS,
    SPLITS,
    Found,
    Table,
    below,
    own,
    place,
    require,
    with_audio,
    writing,
)
from data_prep.progress import bar

CUSTOM = (
    "emotion",
    "category",
    "native_emotion",
    "split",
    *(name for name in CARRIED if name not in ("gender", "text")),
)
# What is read of each kind of manifest; all else in them is passed over.
RECORDINGS = (
    "recordings",
    {
        "id": str,
        "sources": [{"type": str, "channels": [int], "source": str}],
        "duration": float,
    },
)
TEXT = (str, type(None))
SUPERVISIONS = (
    "supervisions",
    {
        "id": str,
        "recording_id": str,
        "start": float,
        "duration": float,
        "channel?": (int, list),
        "text?": TEXT,
        "language?": TEXT,
        "speaker?": TEXT,
        "gender?": TEXT,
        "custom?": (dict, type(None)),
    },
)
# Seconds that a supervision may be shorter than its recording and still be all of it.
ROUNDING = 0.05


def write(path: Path, data_root: Path, save_folder: Path) -> Path:
    """Write a manifest as Lhotse manifests.

    Arguments
    ---------
    path : Path
        The manifest.
    data_root : Path
        Where the corpora lie.
    save_folder : Path
        Where to write.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        If the manifest or a file cannot be read, or the folder cannot be written to.
    """
    lhotse = require("lhotse")
    rows = with_audio(path, data_root)
    folder, name = Path(save_folder), rows[0].corpus
    sets = {part: ([], []) for part in PARTS.values()}
    for row in bar(rows, f"{name}, headers", unit="file"):
        source = os.path.abspath(row.path(data_root))
        try:
            header = probe(source)
        except AudioError as error:
            raise UserError(f"{source}: {error}: redo the manifest {path}") from error
        channels = list(range(header.channels))
        recording = lhotse.Recording(
            id=row.ID,
            sources=[lhotse.audio.AudioSource("file", channels, source)],
            sampling_rate=header.sample_rate,
            num_samples=header.frames,
            duration=header.duration,
        )
        recordings, supervisions = sets[PARTS[row.split]]
        recordings.append(recording)
        supervisions.append(
            lhotse.SupervisionSegment(
                id=row.ID,
                recording_id=row.ID,
                start=0.0,
                duration=recording.duration,
                channel=recording.channel_ids,
                text=row.text or None,
                language=row.language,
                speaker=own(row, row.speaker) or None,
                gender=row.gender or None,
                custom={key: getattr(row, key) for key in CUSTOM if getattr(row, key)},
            )
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for part, (recordings, supervisions) in sets.items():
            for kind, items in (
                ("recordings", lhotse.RecordingSet.from_recordings(recordings)),
                ("supervisions", lhotse.SupervisionSet.from_segments(supervisions)),
            ):
                if len(items):
                    items.to_file(folder / f"{name}_{kind}_{part}.jsonl.gz")
    return folder


def read(folder: Path, audio: Path | None = None, label: str = "") -> Table:
    """Read all recordings and supervisions of a folder.

    Arguments
    ---------
    folder : Path
        Where ``*recordings*.jsonl.gz`` and ``*supervisions*.jsonl.gz`` lie; other
        suffixes that Lhotse knows will do.
    audio : Path, optional
        Where the audio lies, and what relative paths start from; by default the folder.
    label : str
        The custom field that holds the emotion; by default ``native_emotion`` where
        there is one, else ``emotion``.

    Returns
    -------
    Table

    Raises
    ------
    UserError
        If there are no such manifests.
    """
    audio = Path(audio or folder)
    recordings = {item["id"]: item for item, _ in _load(Path(folder), *RECORDINGS)}
    table = Table()
    for item, name in _load(Path(folder), *SUPERVISIONS):
        recording = recordings.get(item["recording_id"])
        custom = {key: str(value) for key, value in (item.get("custom") or {}).items()}
        own_label = custom.get("native_emotion") or custom.get("emotion", "")
        emotion = custom.get(label, "") if label else own_label
        try:
            path = _source(recording, item, audio)
            if not emotion:
                raise ValueError(f"no emotion in its custom field {label or 'emotion'}")
        except ValueError as error:
            rejected = Rejected(f"supervision {item['id']}", str(error))
            table.rejected.append(rejected)
            continue
        part = re.search(r"_(train|dev|valid|test)\b", name)
        utterance = Utterance(
            id=item["id"],
            path=path,
            speaker=item.get("speaker") or "",
            emotion=emotion,
            split=SPLITS.get(custom.get("split") or (part[1] if part else ""), ""),
            **{key: custom.get(key, "") for key in CARRIED if key != "gender"},
            gender=item.get("gender") or "",
        )
        utterance.text = item.get("text") or ""
        start, duration = item["start"], item["duration"]
        whole = start == 0 and duration > recording["duration"] - ROUNDING
        cut = (0.0, 0.0) if whole else (start, round(start + duration, 8))
        code = re.match(r"([a-z]{2})([-_]|$)", (item.get("language") or "").lower())
        table.found.append(
            Found(
                place(utterance, *cut),
                code[1] if code else "",
                custom.get("emotion", ""),
                custom.get("category", ""),
            )
        )
    return table


def _load(folder: Path, kind: str, shape: dict) -> Iterator[tuple[dict, str]]:
    """The items of all manifests of a kind, and the names of their files.

    They are read as what they are, JSON: Lhotse itself would open what they name.
    """
    paths = sorted(folder.glob(f"*{kind}*.json*"))
    if not paths:
        raise UserError(f"{folder} holds no *{kind}*.jsonl.gz: is it the right folder?")
    for path in paths:
        where, mend = f"{path}, a Lhotse manifest,", "write it anew"
        data = outside.read_bytes(path, "a Lhotse manifest", mend=mend)
        data = outside.unzipped(data, where, mend=mend)
        if ".jsonl" in path.name:
            lines = (line for line in data.splitlines() if line.strip())
            items = (outside.parse_json(x, where, shape, mend=mend) for x in lines)
        else:
            items = outside.parse_json(data, where, [shape], mend=mend)
        yield from ((item, path.name) for item in items)


def _source(recording: dict | None, supervision: dict, audio: Path) -> str:
    """The file of a supervision, below the folder; ValueError tells why there is none."""
    if recording is None:
        raise ValueError(f"no recording {supervision['recording_id']}")
    sources = recording["sources"]
    if len(sources) != 1 or sources[0]["type"] != "file":
        raise ValueError("its recording is not one file")
    channel = supervision.get("channel", 0)
    wanted = set(channel if isinstance(channel, list) else [channel])
    if wanted != set(sources[0]["channels"]):
        raise ValueError("one channel of several: write it to a file of its own")
    path = below(audio, sources[0]["source"])
    if not path:
        raise ValueError(f"{sources[0]['source']} lies outside {audio}")
    return path
