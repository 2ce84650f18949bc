"""Who may see what: settings, systems, the plan of a run, and the zero-shot guard."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path

from data_prep import manifest
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS, Row

# A few clips that a release lacks may be missing; a corpus without audio may not.
MISSING_AUDIO = 0.01


@dataclass(frozen=True)
class System:
    """A row of the paper's Table 2.

    Arguments
    ---------
    trains_on : str
        ``source``, ``all`` (source and non-target) or ``target``.
    sampler : str
        ``random`` or ``hierarchical``.
    supcon, adversary : bool
        Which objectives join the cross-entropy.
    """

    trains_on: str
    sampler: str
    supcon: bool
    adversary: bool

    @property
    def zero_shot(self) -> bool:
        """Whether the target is unseen in training."""
        return self.trains_on != "target"


SYSTEMS = {
    "baseline1": System("source", "random", False, False),
    "baseline2": System("all", "random", False, False),
    "proposed": System("all", "hierarchical", True, True),
    "without_supcon": System("all", "hierarchical", False, True),
    "without_spkadv": System("all", "hierarchical", True, False),
    "upper_bound": System("target", "random", False, False),
}


def get_system(name: str) -> System:
    """Look a system up.

    Arguments
    ---------
    name : str
        A key of ``SYSTEMS``.

    Returns
    -------
    System

    Raises
    ------
    UserError
        If there is none of that name.
    """
    if name not in SYSTEMS:
        raise UserError(f"unknown system {name!r}: use one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


@dataclass(frozen=True)
class Setting:
    """Which corpora play which part; names as in the registry of ``data_prep``.

    Arguments
    ---------
    source, non_target : tuple of str
        Corpora to train on.
    target : str
        The corpus of the unseen language.

    Raises
    ------
    UserError
        If a corpus plays two parts.

    Example
    -------
    >>> Setting(("iemocap",), ("esd", "cafe"), "emodb").name
    'iemocap_to_emodb'
    """

    source: tuple[str, ...]
    non_target: tuple[str, ...]
    target: str

    def __post_init__(self):
        if not self.source:
            raise UserError("there is no source corpus: pass --source=CORPUS")
        if self.target in self.source:
            raise UserError(
                f"source and target are both {self.target}: zero-shot needs two "
                "languages; pass another --source or --target"
            )
        if self.target in self.non_target:
            raise UserError(
                f"the target {self.target} is among the non-target corpora: it would be "
                "trained on; take it out of --non_target"
            )
        both = [*self.source, *self.non_target]
        twice = sorted({name for name in both if both.count(name) > 1})
        if twice:
            raise UserError(
                f"{', '.join(twice)} is named twice among source and non-target: "
                "name each corpus once"
            )

    @property
    def name(self) -> str:
        """``<source>_to_<target>``."""
        return f"{'+'.join(self.source)}_to_{self.target}"

    def trained_on(self, system: System) -> tuple[str, ...]:
        """The corpora that a system trains on."""
        return {
            "source": self.source,
            "all": self.source + self.non_target,
            "target": (self.target,),
        }[system.trains_on]

    def corpora(self, system: System) -> tuple[str, ...]:
        """The corpora that a system needs at all, the target last."""
        others = [name for name in self.trained_on(system) if name != self.target]
        return (*others, self.target)


PAPER_CORPORA = {"EN": "meld", "CN": "esd", "DE": "emodb", "UR": "urdu", "FR": "cafe"}


def _paper_settings() -> dict[str, Setting]:
    """The nine settings of Table 1; the order is the paper's."""
    settings = {}
    for target in ("DE", "FR", "CN"):
        for source in ("EN", "CN", "DE", "FR"):
            if source != target:
                others = [
                    name for name in PAPER_CORPORA if name not in (source, target)
                ]
                settings[f"{source}-{target}"] = Setting(
                    (PAPER_CORPORA[source],),
                    tuple(PAPER_CORPORA[name] for name in others),
                    PAPER_CORPORA[target],
                )
    return settings


PAPER_SETTINGS = _paper_settings()


@dataclass
class Plan:
    """Everything a run may see, and when.

    Arguments
    ---------
    setting : Setting
        Who plays which part.
    system_name : str
        Key of ``SYSTEMS``.
    train, valid : list of Row
        What training and model selection see.
    test : list of Row
        The target's test part, or all of a target without: first decoded after
        training.
    rest : list of Row
        The rest of the target, which a zero-shot system never saw either; empty for
        a system that trained on it.
    without_audio : dict
        Corpus to number of training and validation utterances left out, for their
        audio is not on disk.
    manifests : dict
        Corpus to hash of its manifest.
    standin : bool
        Whether any of it is synthetic.
    """

    setting: Setting
    system_name: str
    train: list[Row]
    valid: list[Row]
    test: list[Row]
    rest: list[Row]
    without_audio: dict[str, int] = field(default_factory=dict)
    manifests: dict[str, str] = field(default_factory=dict)
    standin: bool = False

    @property
    def system(self) -> System:
        """The system's declaration."""
        return SYSTEMS[self.system_name]

    @property
    def speakers(self) -> list[str]:
        """Known training speakers, sorted: the classes of the adversary."""
        return sorted({row.speaker for row in self.train if row.speaker})

    @property
    def languages(self) -> list[str]:
        """Training languages, sorted."""
        return sorted({row.language for row in self.train})

    def sha256(self) -> str:
        """Hash of who is trained, validated and tested on."""
        digest = hashlib.sha256()
        digest.update(json.dumps(asdict(self.setting)).encode())
        digest.update(self.system_name.encode())
        for part in (self.train, self.valid, self.test, self.rest):
            digest.update(json.dumps([(row.ID, row.emotion) for row in part]).encode())
        return digest.hexdigest()

    def counts(self) -> dict:
        """Utterances per part, training speakers, and what had no audio."""
        return {
            "train": len(self.train),
            "valid": len(self.valid),
            "test": len(self.test),
            "target_all": len(self.test) + len(self.rest),
            "speakers": len(self.speakers),
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

    def require_audio(self) -> None:
        """Refuse to train where audio is missing; leave out a few missing clips.

        Raises
        ------
        UserError
            If more than 1 % of a corpus' utterances have no audio on disk.
        """
        seen = {"train": self.train, "valid": self.valid, "test": self.test}
        planned = defaultdict(list)
        for row in chain(self.train, self.valid, self.test, self.rest):
            planned[row.corpus].append(row)
        for corpus, own in sorted(planned.items()):
            lost = [row for row in own if not row.has_audio]
            if len(lost) > MISSING_AUDIO * len(own):
                raise UserError(
                    f"{corpus}: {len(lost)} of {len(own)} utterances have no audio on "
                    f"disk, as {lost[0].wav}: put it there, or use other corpora"
                )
            if lost:
                self.without_audio[corpus] = len(lost)
        for part in seen:
            setattr(self, part, [row for row in seen[part] if row.has_audio])
        self.rest = [row for row in self.rest if row.has_audio]


def guard(
    seen: Iterable[Row], target: Iterable[Row], data_root: str | os.PathLike
) -> None:
    """Refuse anything of the target in what training or model selection sees.

    Arguments
    ---------
    seen : iterable of Row
        All that training, sampling, normalisation and model selection see.
    target : iterable of Row
        All of the target corpus.
    data_root : path
        Where the corpora lie; files are compared by what they are on disk, so that
        a link does not hide one.

    Raises
    ------
    UserError
        Naming the corpus, language, speaker or file that is shared.
    """
    seen, target = list(seen), list(target)

    def shared(of) -> list:
        return sorted(
            {of(row) for row in seen if of(row)} & {of(row) for row in target}
        )

    for what, of, mend in (
        ("corpus", lambda row: row.corpus, "take it out of --source and --non_target"),
        ("language", lambda row: row.language, "leave out corpora of that language"),
        ("speaker", lambda row: row.speaker, "a speaker may be heard on one side only"),
    ):
        both = shared(of)
        if both:
            corpora = sorted({row.corpus for row in seen if of(row) in both})
            raise UserError(
                f"not zero-shot: the target's {what} {both[0]} is in the training data "
                f"(of {', '.join(corpora)}): {mend}"
            )

    real = cache(os.path.realpath)  # a folder holds many files

    def identity(row: Row):
        path = row.path(data_root)
        try:
            stat = os.stat(path)
        except OSError:
            folder, name = os.path.split(path)
            path = f"{real(folder)}/{name}"
            return os.path.realpath(path) if os.path.islink(path) else path
        return (stat.st_dev, stat.st_ino)

    held = {identity(row): row for row in target}
    for row in seen:
        twin = held.get(identity(row))
        if twin:
            raise UserError(
                f"not zero-shot: the target's file {twin.path(data_root)} is in the "
                f"training data as {row.ID}: a file may be used on one side only"
            )


def make_plan(
    setting: Setting,
    system_name: str,
    manifests: Mapping[str, Path],
    data_root: str | os.PathLike,
) -> Plan:
    """Decide which utterances each stage of a run sees.

    Only utterances of the four emotions take part.

    Arguments
    ---------
    setting : Setting
        Who plays which part.
    system_name : str
        Key of ``SYSTEMS``.
    manifests : mapping
        Corpus name to its manifest, for all of ``setting.corpora(system)``.
    data_root : path
        Where the corpora lie.

    Returns
    -------
    Plan

    Raises
    ------
    UserError
        If the system is unknown, a manifest cannot be read, a part is empty, or the
        plan would not be zero-shot.
    """
    system = get_system(system_name)
    rows, hashes, standin = {}, {}, False
    for name in setting.corpora(system):
        sidecar = manifest.read_sidecar(manifests[name])
        rows[name] = manifest.read(manifests[name])
        hashes[name] = sidecar["sha256"]
        standin |= bool(sidecar.get("standin"))
    trained = [
        row for name in setting.trained_on(system) for row in rows[name] if row.emotion
    ]
    target = [row for row in rows[setting.target] if row.emotion]
    train = [row for row in trained if row.split == "train"]
    valid = [row for row in trained if row.split == "valid"]
    test = [row for row in target if row.split == "test"]
    rest = [row for row in target if row.split != "test"] if system.zero_shot else []
    if not test:  # a corpus without parts is tested on as a whole
        test, rest = rest, []
    if system.zero_shot:
        guard(train + valid, rows[setting.target], data_root)
    for part, found in (("train", train), ("valid", valid), ("test", test)):
        if not found:
            corpora = (
                setting.trained_on(system) if part != "test" else (setting.target,)
            )
            raise UserError(
                f"no utterance to {part} on in {', '.join(corpora)}: a corpus of one "
                "speaker, or of none known, has no held-out part; add another corpus"
            )
    lacking = [emotion for emotion in EMOTIONS if emotion not in _emotions(train)]
    if lacking:
        raise UserError(
            f"no training utterance is {' or '.join(lacking)}: add a corpus that has some"
        )
    plan = Plan(
        setting, system_name, train, valid, test, rest,
        manifests=hashes, standin=standin,
    )  # fmt: skip
    if system.adversary and not plan.speakers:
        raise UserError(
            f"{', '.join(setting.trained_on(system))} do not tell who speaks, on which "
            f"the adversary of {system_name} is trained: add a corpus that does, or use "
            "--system=without_spkadv"
        )
    return plan


def _emotions(rows: Iterable[Row]) -> set[str]:
    return {row.emotion for row in rows}
