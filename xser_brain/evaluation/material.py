"""What a finished model is scored on: a corpus, or a labelled table."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep import completeness, corpus, languages, manifest, prepare, splits
from data_prep.errors import UserError
from data_prep.exchange import plain_tables
from data_prep.manifest import Row
from data_prep.outside import inside, printable
from data_prep.vocabulary import LABEL_SETS, WIDE
from xser_brain.protocol.labels import LabelSet

MEND = (
    "write it with the columns path and emotion, and speaker, language and gender where "
    "they are known"
)
RENAME = "call it {}"


@dataclass(frozen=True)
class Material:
    """Utterances to score models on.

    Arguments
    ---------
    name : str
        As it stands in tables.
    rows : list of Row
        All of them, whatever their emotion; of those without audio none.
    paths : dict of str to str
        Where each is, by ID.
    corpus : str
        The corpus' name; empty of a table, which does not tell it.
    standin : bool
        Whether it is synthetic.
    lacks : str
        What a copy of a corpus lacks.
    without_audio : int
        Utterances left out, for their audio is not on disk.
    """

    name: str
    rows: list[Row]
    paths: dict[str, str]
    corpus: str = ""
    standin: bool = False
    lacks: str = ""
    without_audio: int = 0

    def labelled(self, labels: Sequence[str]) -> list[Row]:
        """The utterances that have one of a model's labels, as ``emotion``; by ID.

        Arguments
        ---------
        labels : sequence of str
            The model's.

        Returns
        -------
        list of Row

        Raises
        ------
        UserError
            If there is none.
        """
        by_word = {label.casefold(): label for label in labels}
        known = label_set(labels)
        found = known.labelled(self.rows) if known else []
        of_set = {row.ID: row for row in found}
        rows = []
        for row in self.rows:
            word = "" if self.corpus else by_word.get(row.native_emotion.casefold(), "")
            if word:
                rows.append(replace(row, emotion=word))
            elif row.ID in of_set:
                rows.append(of_set[row.ID])
        if not rows:
            words = Counter(row.native_emotion for row in self.rows)
            said = ", ".join(word for word, _ in words.most_common(8))
            raise UserError(
                f"no utterance of {self.name} is {' or '.join(labels)}, which are the "
                f"model's labels: its emotions are {said or 'not told'}"
            )
        return sorted(rows, key=lambda row: row.ID)

    def others(self, labels: Sequence[str]) -> str:
        """How many utterances have none of a model's labels, and what they are instead."""
        kept = {row.ID for row in self.labelled(labels)}
        left = Counter(row.native_emotion for row in self.rows if row.ID not in kept)
        if not left:
            return ""
        words = ", ".join(f"{word or 'none'} {n}" for word, n in left.most_common())
        return f"{sum(left.values())} utterances of other emotions left out ({words})"


def label_set(labels: Sequence[str]) -> LabelSet | None:
    """The label set that a model's labels come from; None if they are its own words."""
    for name, members in LABEL_SETS.items():
        if tuple(members) == tuple(labels):
            return LabelSet.of(name)
    return LabelSet.of(list(labels)) if set(labels) <= set(WIDE) else None


def parts(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The test part and the rest, as of a run's target: without parts all is tested."""
    test = [row for row in rows if row.split == "test"]
    rest = [row for row in rows if row.split != "test"]
    return {"test": test, "rest": rest} if test else {"test": rest, "rest": []}


def of_corpus(
    name: str, data_root: Path, manifests: Path, policy: str | None = None
) -> Material:
    """Prepare a corpus, unless its manifest is up to date or was imported.

    Arguments
    ---------
    name : str
        As ``python -m data_prep list`` shows it, or of a table that was imported into
        the folder of manifests.
    data_root : Path
        Folder of the corpora.
    manifests : Path
        Where manifests are.
    policy : str, optional
        How it is split; by default as the corpus' own.

    Returns
    -------
    Material

    Raises
    ------
    UserError
        If it is not there, or not what it should be.
    """
    if policy not in (None, *splits.POLICIES):
        known = ", ".join(splits.POLICIES)
        raise UserError(f"unknown splits {policy!r}: use {known}")
    data_root = Path(data_root).absolute()
    path = manifests / f"{name}.csv"
    if name in corpus.registry() or not path.is_file():
        found = corpus.get(name)
        path = prepare.prepare(found, found.locate(data_root), manifests, policy)
    sidecar = manifest.read_sidecar(path)
    every = manifest.read(path)
    rows = [row for row in every if row.has_audio]
    return Material(
        name,
        rows,
        {row.ID: str(inside(data_root, row.path(data_root))) for row in rows},
        name,
        bool(sidecar.get("standin")),
        completeness.lacking(sidecar.get("census", {}), WIDE),
        len(every) - len(rows),
    )


def of_table(path: Path, data_root: Path | None = None) -> Material:
    """Read a labelled table.

    Arguments
    ---------
    path : Path
        As ``python -m data_prep import csv`` takes it: the columns path and emotion, and
        speaker, language and gender where they are known, by their usual names.
    data_root : Path, optional
        What its paths are relative to, and lie below; by default its own folder.

    Returns
    -------
    Material

    Raises
    ------
    UserError
        If it cannot be read, a recording is named twice, or one lies elsewhere.
    """
    lines = plain_tables.read(path, mend=MEND)
    columns = plain_tables.choose(list(lines[0]), {}, path, RENAME)
    root = Path(data_root or path.parent)
    disk = plain_tables.Disk(root)
    rows, paths, missing = [], {}, 0
    for line in lines:
        said = {key: line[column].strip() for key, column in columns.items()}
        name = said["path"]
        if name in paths:
            raise UserError(f"{path} names {name!r:.200} twice: leave one out")
        try:
            paths[name] = str(inside(root, disk.find(name) or name))
        except UserError as error:
            raise UserError(
                f"{path}: {error}: pass --data_root=DIR, below which all recordings lie"
            ) from error
        word, language = said["emotion"], said.get("language", "")
        missing += not os.path.exists(paths[name])
        rows.append(
            Row(
                ID=name,
                duration=0.0,
                wav=name,
                sample_rate=1,
                corpus="",
                language=languages.code(language) or language,
                speaker=said.get("speaker", ""),
                emotion="",
                native_emotion=word,
                split="test",
                gender=said.get("gender", ""),
                category=word.casefold() if word.casefold() in WIDE else "",
            )
        )
    if missing == len(rows):
        raise UserError(
            f"none of the {missing} recordings of {path} is below {root}, as "
            f"{rows[0].ID!r:.200}: pass --data_root=DIR"
        )
    return Material(printable(path.stem), rows, paths)
