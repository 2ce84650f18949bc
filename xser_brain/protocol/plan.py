"""The plan of a run: which utterances each of its stages may see."""

import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from data_prep import completeness, manifest
from data_prep.errors import UserError
from data_prep.hashes import twins
from data_prep.manifest import Row
from xser_brain.protocol.guard import guard
from xser_brain.protocol.labels import PAPER_LABELS, Labels, LabelSet
from xser_brain.protocol.setting import Setting
from xser_brain.protocol.system import System

logger = logging.getLogger(__name__)

# A few clips that a release lacks may be missing; a corpus without audio may not.
MISSING_AUDIO = 0.01
PARTS = ("train", "valid", "test", "rest")


@dataclass(frozen=True)
class Plan:
    """Everything a run may see, and when.

    Arguments
    ---------
    setting : Setting
        Who plays which part.
    system : System
        What is trained.
    label_set : LabelSet
        The classes; each utterance's ``emotion`` is one of them.
    train, valid : list of Row
        What training and model selection see.
    test : list of Row
        The target's test part, or all of a target without: first decoded after
        training.
    rest : list of Row
        The rest of the target, which a zero-shot system never saw either; empty for
        a system that trained on it.
    without_audio : dict
        Corpus to number of utterances left out, for their audio is not on disk.
    manifests : dict
        Corpus to hash of its manifest.
    standin : bool
        Whether any of it is synthetic.
    incomplete : dict
        Corpus to what a copy of it lacks that is used all the same.
    licences : dict
        Corpus to what its manifest says of its licence, if it says anything.
    """

    setting: Setting
    system: System
    label_set: LabelSet
    train: list[Row]
    valid: list[Row]
    test: list[Row]
    rest: list[Row]
    without_audio: dict[str, int] = field(default_factory=dict)
    manifests: dict[str, str] = field(default_factory=dict)
    standin: bool = False
    incomplete: dict[str, str] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)

    @cached_property
    def labels(self) -> Labels:
        """What the indices in a batch stand for."""
        return Labels.of(self.train, self.label_set.names)

    def tells(self, attribute: str) -> bool:
        """Whether a training utterance has an attribute of ``Labels``, or a transcript."""
        if attribute == "transcripts":
            return any(row.text.strip() for row in self.train)
        return bool(getattr(self.labels, attribute))

    def transcripts(self) -> str:
        """Hash of what is said in training; no other transcript is ever looked at."""
        said = [(row.ID, row.text) for row in self.train]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def sha256(self) -> str:
        """Hash of who is trained, validated and tested on."""
        digest = hashlib.sha256()
        digest.update(json.dumps(asdict(self.setting)).encode())
        digest.update(self.system.name.encode())
        if self.label_set.names != PAPER_LABELS.names:
            digest.update(json.dumps(self.label_set.names).encode())
        for part in (self.train, self.valid, self.test, self.rest):
            digest.update(json.dumps([(row.ID, row.emotion) for row in part]).encode())
        return digest.hexdigest()

    def audio(self) -> dict[str, str]:
        """Hash of each corpus' recordings, as far as they are planned."""
        digests = defaultdict(hashlib.sha256)
        for part in PARTS:
            for row in sorted(getattr(self, part), key=lambda row: row.ID):
                digests[row.corpus].update(f"{row.ID} {row.audio_sha256}\n".encode())
        return {name: digest.hexdigest() for name, digest in sorted(digests.items())}

    def counts(self) -> dict:
        """Utterances per part, training speakers, and what had no audio."""
        return {
            "train": len(self.train),
            "valid": len(self.valid),
            "test": len(self.test),
            "target_all": len(self.test) + len(self.rest),
            "speakers": len(self.labels.speakers),
            "without_audio": self.without_audio,
        }

    def audit(self) -> dict:
        """What each stage of the run saw."""

        def seen(rows: Sequence[Row]) -> dict:
            return {
                "utterances": len(rows),
                "corpora": sorted({row.corpus for row in rows}),
                "languages": sorted({row.language for row in rows}),
                "speakers": len({row.speaker for row in rows if row.speaker}),
            }

        return {
            "training": seen(self.train),
            "sampling": seen(self.train),
            # Every normalisation is per utterance: no statistic of a corpus is kept.
            "normalisation": seen([]),
            "model_selection": seen(self.valid),
            "evaluation": seen(self.test + self.rest),
        }

    def with_audio(self) -> "Plan":
        """The same plan without the few clips that a release lacks.

        Returns
        -------
        Plan

        Raises
        ------
        UserError
            If more than 1 % of a corpus' utterances have no audio on disk.
        """
        parts = {name: getattr(self, name) for name in PARTS}
        planned = defaultdict(list)
        for row in chain(*parts.values()):
            planned[row.corpus].append(row)
        without_audio = {}
        for corpus, own in sorted(planned.items()):
            lost = [row for row in own if not row.has_audio]
            if len(lost) > MISSING_AUDIO * len(own):
                raise UserError(
                    f"{corpus}: {len(lost)} of {len(own)} utterances have no audio on "
                    f"disk, as {lost[0].wav}: put it there, or use other corpora"
                )
            if lost:
                without_audio[corpus] = len(lost)
        kept = {
            name: [row for row in rows if row.has_audio] for name, rows in parts.items()
        }
        return replace(self, without_audio=without_audio, **kept)


def make_plan(
    setting: Setting,
    system: System,
    manifests: Mapping[str, Path],
    data_root: str | os.PathLike,
    label_set: LabelSet = PAPER_LABELS,
    allow_incomplete: bool = False,
) -> Plan:
    """Decide which utterances each stage of a run sees.

    Only utterances that have a label of the label set take part.

    Arguments
    ---------
    setting : Setting
        Who plays which part.
    system : System
        What is to be trained.
    manifests : mapping
        Corpus name to its manifest, for all of ``setting.corpora(system.trains_on)``.
    data_root : path
        Folder of the corpora.
    label_set : LabelSet
        The classes.
    allow_incomplete : bool
        Whether a copy is taken that lacks one of the classes, or more than a tenth of
        the utterances that its corpus is declared to have.

    Returns
    -------
    Plan

    Raises
    ------
    UserError
        If a manifest cannot be read, a copy is incomplete, a part or a class is empty,
        or the plan would not be zero-shot.
    """
    rows, hashes, standin, incomplete, licences = {}, {}, False, {}, {}
    wide = {label for members in label_set.members.values() for label in members}
    for name in setting.corpora(system.trains_on):
        sidecar = manifest.read_sidecar(manifests[name])
        rows[name] = manifest.read(manifests[name])
        hashes[name] = sidecar["sha256"]
        standin |= bool(sidecar.get("standin"))
        licences[name] = sidecar.get("licence", "")
        lacks = completeness.lacking(sidecar.get("census", {}), wide)
        if lacks and not allow_incomplete:
            raise UserError(
                f"{name} is incomplete, it lacks {lacks}: get the rest, or pass "
                "--allow_incomplete=True to go on without"
            )
        if lacks:
            incomplete[name] = lacks
        _tell_unhashed(name, rows[name])
    trained_on = setting.trained_on(system.trains_on)
    labelled = {name: label_set.labelled(own) for name, own in rows.items()}
    trained = [row for name in trained_on for row in labelled[name]]
    target = labelled[setting.target]
    parts = {
        "train": [row for row in trained if row.split == "train"],
        "valid": [row for row in trained if row.split == "valid"],
        "test": [row for row in target if row.split == "test"],
        "rest": [row for row in target if row.split != "test" and system.zero_shot],
    }
    if not parts["test"]:  # a corpus without parts is tested on as a whole
        parts["test"], parts["rest"] = parts["rest"], []
    if system.selection is not None:
        parts["train"], parts["valid"] = system.selection.divide(
            parts["train"], parts["valid"]
        )
    if system.zero_shot:
        guard(parts["train"] + parts["valid"], rows[setting.target], data_root)
    for part in ("train", "valid", "test"):
        if not parts[part]:
            corpora = trained_on if part != "test" else (setting.target,)
            raise UserError(
                f"no utterance to {part} on in {', '.join(corpora)}: a corpus of one "
                "speaker, or of none known, has no held-out part; add another corpus"
            )
    present = {row.emotion for row in parts["train"]}
    lacking = [label for label in label_set.names if label not in present]
    if lacking:
        raise UserError(
            f"no training utterance is {' or '.join(lacking)}: add a corpus that has some"
            + ("" if label_set == PAPER_LABELS else ", or choose other --labels")
        )
    for line in twins(
        (row.audio_sha256, row.ID, row.emotion, row.split)
        for part in PARTS
        for row in parts[part]
    ):
        logger.warning("%s", line)
    plan = Plan(
        setting,
        system,
        label_set,
        **parts,
        manifests=hashes,
        standin=standin,
        incomplete=incomplete,
        licences=licences,
    )
    _require_attributes(plan)
    return plan


def _tell_unhashed(name: str, rows: Sequence[Row]) -> None:
    """Say of a manifest of an earlier version what cannot be told by it."""
    heard = [row for row in rows if row.has_audio]
    if heard and not any(row.audio_sha256 for row in heard):
        logger.warning(
            "%s: its manifest, of an earlier version, holds no hashes of the recordings: "
            "copies among them, and changes, are not noticed",
            name,
        )


def _require_attributes(plan: Plan) -> None:
    """Refuse an objective on an attribute that no training utterance has."""
    for name, objective in plan.system.objectives.items():
        for attribute in getattr(objective, "requires", ()):
            if not plan.tells(attribute):
                corpora = plan.setting.trained_on(plan.system.trains_on)
                raise UserError(
                    f"{', '.join(corpora)} do not tell {attribute}, on which the objective "
                    f"{name} of {plan.system.name} is trained: add a corpus that does, or "
                    "use a --system without it"
                )
