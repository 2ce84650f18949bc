"""Manifests as Lhotse's recordings and supervisions, and these as corpora.

A manifest becomes ``<corpus>_recordings_<part>.jsonl.gz`` and
``<corpus>_supervisions_<part>.jsonl.gz`` for the parts train, dev and test, named as
Lhotse's own recipes do. What a supervision has no field for is in its ``custom`` ones.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

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

CUSTOM = (
    "emotion",
    "category",
    "native_emotion",
    "split",
    *(name for name in CARRIED if name not in ("gender", "text")),
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
    for row in tqdm(rows, f"{name}, headers", unit="file", leave=False):
        source = os.path.abspath(row.path(data_root))
        try:
            recording = lhotse.Recording.from_file(source, recording_id=row.ID)
        except Exception as error:  # whatever its audio back-ends raise
            raise UserError(
                f"{source} cannot be read: {error}: redo the manifest {path}"
            ) from error
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
    recordings = {item.id: item for item, _ in _load(Path(folder), "recordings")}
    table = Table()
    for item, name in _load(Path(folder), "supervisions"):
        recording = recordings.get(item.recording_id)
        custom = {key: str(value) for key, value in (item.custom or {}).items()}
        own_label = custom.get("native_emotion") or custom.get("emotion", "")
        emotion = custom.get(label, "") if label else own_label
        try:
            path = _source(recording, item, audio)
            if not emotion:
                raise ValueError(f"no emotion in its custom field {label or 'emotion'}")
        except ValueError as error:
            table.rejected.append(Rejected(f"supervision {item.id}", str(error)))
            continue
        part = re.search(r"_(train|dev|valid|test)\b", name)
        utterance = Utterance(
            id=item.id,
            path=path,
            speaker=item.speaker or "",
            emotion=emotion,
            split=SPLITS.get(custom.get("split") or (part[1] if part else ""), ""),
            **{key: custom.get(key, "") for key in CARRIED if key != "gender"},
            gender=item.gender or "",
        )
        utterance.text = item.text or ""
        whole = item.start == 0 and item.duration > recording.duration - ROUNDING
        cut = (0.0, 0.0) if whole else (item.start, item.end)
        code = re.match(r"([a-z]{2})([-_]|$)", (item.language or "").lower())
        table.found.append(
            Found(
                place(utterance, *cut),
                code[1] if code else "",
                custom.get("emotion", ""),
                custom.get("category", ""),
            )
        )
    return table


def _load(folder: Path, kind: str) -> Iterator[tuple]:
    """The items of all manifests of a kind, and the names of their files."""
    lhotse = require("lhotse")
    paths = sorted(folder.glob(f"*{kind}*.json*"))
    if not paths:
        raise UserError(f"{folder} holds no *{kind}*.jsonl.gz: is it the right folder?")
    for path in paths:
        try:
            items = list(lhotse.load_manifest(path))
        except Exception as error:  # whatever its parsers raise
            raise UserError(f"{path} cannot be read: {error}: write it anew") from error
        yield from ((item, path.name) for item in items)


def _source(recording, supervision, audio: Path) -> str:
    """The file of a supervision, below the folder; ValueError tells why there is none."""
    if recording is None:
        raise ValueError(f"no recording {supervision.recording_id}")
    if len(recording.sources) != 1 or recording.sources[0].type != "file":
        raise ValueError("its recording is not one file")
    channel = supervision.channel
    wanted = set(channel if isinstance(channel, list) else [channel])
    if wanted != set(recording.channel_ids):
        raise ValueError("one channel of several: write it to a file of its own")
    path = below(audio, recording.sources[0].source)
    if not path:
        raise ValueError(f"{recording.sources[0].source} lies outside {audio}")
    return path
