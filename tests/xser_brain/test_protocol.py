"""Settings, plans, and all that the zero-shot guard must refuse."""

import csv
import hashlib
import json
import os
from collections import Counter
from dataclasses import FrozenInstanceError, asdict, replace
from functools import cache, partial
from pathlib import Path

import pytest
from small import RECIPE

from data_prep import corpus, manifest, prepare
from data_prep.errors import UserError
from data_prep.vocabulary import LABEL_SETS
from xser_brain.data.augmentation import Mixup, Noise
from xser_brain.data.sampling import RandomBatches
from xser_brain.objectives import (
    Adversary,
    ConstantSchedule,
    Coral,
    LanguageAwareSupCon,
    Memory,
)
from xser_brain.protocol import (
    PAPER_CORPORA,
    PAPER_LABELS,
    PAPER_SETTINGS,
    Labels,
    LabelSet,
    Plan,
    Setting,
    System,
    guard,
    make_plan,
)
from xser_brain.reports.paper import paper_systems
from xser_brain.training.selection import selection_of
from xser_brain.training.spec import describe

ZERO_SHOT = [name for name in paper_systems() if name != "upper_bound"]
EN_DE = Setting(("ravdess",), ("urdu",), "emodb")


@cache
def get_system(name: str) -> System:
    """A piece of recipes/common/systems."""
    return describe(RECIPE, {"system": name}).system


def system_of(trains_on="all", selection="mean", **objectives) -> System:
    """A system of one's own."""
    chosen = selection_of(selection)
    return System("mine", trains_on, objectives or {"emotion": None}, selection=chosen)


@pytest.fixture
def three(tiny_corpora):
    return tiny_corpora(ravdess="en", urdu="ur", emodb="de")


@pytest.fixture
def plan_of(write_manifests, tmp_path):
    def build(corpora, system="proposed", setting=EN_DE, labels="paper") -> Plan:
        if isinstance(system, str):
            system = get_system(system)
        manifests, label_set = write_manifests(corpora), LabelSet.of(labels)
        return make_plan(setting, system, manifests, tmp_path, label_set)

    return build


def ids(rows):
    return {row.ID for row in rows}


# --- Settings and systems


def test_paper_settings_are_table_1(shared):
    with (shared / "paper/table1_settings.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [row["setting"] for row in table] == list(PAPER_SETTINGS)
    for row in table:
        setting = PAPER_SETTINGS[row["setting"]]
        names = [PAPER_CORPORA[code] for code in row["non_target"].split()]
        assert setting.source == (PAPER_CORPORA[row["source"]],)
        assert sorted(setting.non_target) == sorted(names)
        assert setting.target == PAPER_CORPORA[row["target"]]


def test_paper_corpora_speak_their_language():
    codes = {"EN": "en", "CN": "zh", "DE": "de", "FR": "fr", "UR": "ur"}
    assert codes.keys() == PAPER_CORPORA.keys()
    for name, code in codes.items():
        assert corpus.get(PAPER_CORPORA[name]).language == code


def test_systems_are_table_2():
    """The columns of Table 2: trained on, sampler, SupCon, adversary."""
    declared = {}
    for name in paper_systems():
        system = get_system(name)
        there = set(system.objectives)
        assert "emotion" in there
        declared[name] = (
            system.trains_on, system.sampler, "supcon" in there, "speaker" in there
        )  # fmt: skip
        assert len(there) == 1 + sum(declared[name][2:])
        if "supcon" in there:
            memory = system.objectives["supcon"]
            assert isinstance(memory, Memory) and memory.size == 0
            assert isinstance(memory.loss, LanguageAwareSupCon)
        if "speaker" in there:
            assert system.objectives["speaker"].requires == ("speakers",)
    assert declared == {
        "baseline1": ("source", "random", False, False),
        "baseline2": ("all", "random", False, False),
        "proposed": ("all", "hierarchical", True, True),
        "without_supcon": ("all", "hierarchical", False, True),
        "without_spkadv": ("all", "hierarchical", True, False),
        "upper_bound": ("target", "random", False, False),
    }
    zero_shot = [name for name in paper_systems() if get_system(name).zero_shot]
    assert zero_shot == ZERO_SHOT


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (((), ("urdu",), "emodb"), "no source"),
        ((("emodb",), (), "emodb"), "source and target are both emodb"),
        ((("ravdess",), ("urdu", "emodb"), "emodb"), "emodb is among the non-target"),
        ((("ravdess",), ("ravdess",), "emodb"), "ravdess is named twice"),
        ((("ravdess", "ravdess"), (), "emodb"), "ravdess is named twice"),
    ],
)
def test_setting_refuses(parts, message):
    with pytest.raises(UserError, match=message):
        Setting(*parts)


def test_unknown_system_names_the_known():
    with pytest.raises(UserError, match="'propsed'.*proposed"):
        get_system("propsed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trains_on": "both"}, "system mine: trains_on is 'both': use one of source"),
        ({"objectives": {}}, "system mine has no objectives"),
        ({"objectives": None}, "system mine has no objectives"),
        ({"objectives": ["emotion"]}, "system mine has no objectives"),
    ],
)
def test_system_refuses(changes, message):
    values = {"trains_on": "all", "objectives": {"emotion": None}, **changes}
    with pytest.raises(UserError, match=message):
        System("mine", **values)


def test_definition_tells_what_decides():
    """Of systems made in Python: two that differ in anything have two definitions."""

    def made(loss=None, **changes):
        loss = loss or LanguageAwareSupCon(temperature=0.2)
        return System("mine", "all", {"a": Memory(loss, 8)}, **changes).definition()

    systems = [
        made(),
        made(LanguageAwareSupCon(temperature=0.3)),
        made(LanguageAwareSupCon(temperature=0.2, weight=0.5)),
        made(LanguageAwareSupCon(temperature=0.2, normalise_by="positives")),
        made(Adversary("language")),
        made(Adversary("corpus")),
        made(Adversary("language", schedule=ConstantSchedule(0.5))),
        made(Adversary("language", schedule=ConstantSchedule(0.25))),
        made(sampler="hierarchical"),
        made(sampler=RandomBatches.of),
        made(sampler=partial(RandomBatches.of, batch_size=8)),
        made(sampler=partial(RandomBatches.of, batch_size=9)),
        made(selection=selection_of("last")),
        made(selection=selection_of({"language": "ur"})),
        made(selection=selection_of({"language": "en"})),
        made(waveforms=Noise(1, 2)),
        made(waveforms=Noise(1, 3)),
        made(embeddings=Mixup(0.2)),
        made(embeddings=Mixup(0.3)),
    ]
    texts = [json.dumps(definition, sort_keys=True) for definition in systems]
    assert len(set(texts)) == len(texts)
    assert texts[0] == json.dumps(made(), sort_keys=True)
    assert not any(" at 0x" in text for text in texts)


# --- Labels


@pytest.mark.parametrize(
    ("value", "name", "members"),
    [
        ("paper", "paper", {e: (e,) for e in manifest.EMOTIONS}),
        (list(manifest.EMOTIONS), "paper", {e: (e,) for e in manifest.EMOTIONS}),
        ("happy,sad", "happy+sad", {"happy": ("happy",), "sad": ("sad",)}),
        (["sad", " happy"], "sad+happy", {"sad": ("sad",), "happy": ("happy",)}),
        ("neutral,happy,angry,sad,fear,disgust", "six", None),
        (
            {"good": ["happy", "relief"], "bad": "sad"},
            "good+bad",
            {"good": ("happy", "relief"), "bad": ("sad",)},
        ),
    ],
)
def test_label_sets(value, name, members):
    found = LabelSet.of(value)
    assert found.name == name
    if members is not None:
        assert list(found.members.items()) == list(members.items())
    assert found.names == tuple(found.members)
    assert LabelSet.of(found) is found


def test_named_label_sets_are_of_the_wide_vocabulary():
    for name, members in LABEL_SETS.items():
        assert LabelSet.of(name).members == members
        assert LabelSet.of(name).name == name


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("sixx", "unknown label set 'sixx' .*paper, six.*did you mean six"),
        ("happy", r"unknown label set 'happy' .*list labels, as \[happy, sad\]"),
        ([], "fewer than two labels"),
        ({"good": ["happy"]}, "good has fewer than two labels"),
        (["happy", "joy"], "unknown label 'joy': use a label set .*surprise"),
        (["happy", "sad", "happy"], "names a label twice"),
        ({"good": ["happy"], "bad": ["sad", "happy"]}, "happy is named twice"),
        ({"<b>": ["happy"], "bad": ["sad"]}, "'<b>' cannot be a label"),
        ({"unsure": ["happy"], "bad": ["sad"]}, "'unsure' cannot be a label"),
        (4, "labels is 4: name a label set or list labels"),
        (None, "labels is None"),
    ],
)
def test_no_label_set(value, message):
    with pytest.raises(UserError, match=message) as error:
        LabelSet.of(value)
    assert "\n" not in str(error.value)


def test_the_wide_label_decides_and_what_a_corpus_counts_it_as_else(three):
    row = three["urdu"][0]
    rows = [
        replace(row, ID="a", emotion="happy", category="excitement"),
        replace(row, ID="b", emotion="", category="fear"),
        replace(row, ID="c", emotion="sad", category=""),
        replace(row, ID="d", emotion="", category="boredom"),
    ]

    def labelled(value):
        return {r.ID: r.emotion for r in LabelSet.of(value).labelled(rows)}

    assert labelled("paper") == {"a": "happy", "c": "sad"}
    assert labelled("six") == {"a": "happy", "b": "fear", "c": "sad"}
    assert labelled(["happy", "excitement"]) == {"a": "excitement"}
    assert labelled("valence") == {"a": "positive", "b": "negative", "c": "negative"}
    assert [row.emotion for row in rows] == ["happy", "", "sad", ""]  # as they were


def test_labels_of_training_utterances(three):
    rows = three["urdu"] + three["ravdess"]
    rows[0] = replace(rows[0], speaker="", gender="female")
    labels = Labels.of(rows, ("sad", "happy"))
    assert labels.emotions == ("sad", "happy")
    assert labels.languages == ("en", "ur")
    assert labels.corpora == ("ravdess", "urdu")
    assert labels.genders == ("female",)
    assert "" not in labels.speakers and len(labels.speakers) == 8


def test_plan_of_another_label_set(three, plan_of):
    fear = {}
    for name, rows in three.items():
        fear[name] = [
            replace(r, ID=r.ID + "f", wav=r.wav + "f", emotion="", category="fear")
            for r in rows
            if r.emotion == "sad"
        ]
        rows += fear[name]
    paper = plan_of(three)
    assert paper.label_set == PAPER_LABELS
    assert not ids(paper.train) & ids(fear["urdu"])
    plan = plan_of(three, labels=["sad", "fear"])
    assert plan.labels.emotions == plan.label_set.names == ("sad", "fear")
    assert {row.emotion for row in plan.train + plan.test} == {"sad", "fear"}
    assert len(plan.train) == 2 * 2 * 2  # corpora, speakers, labels
    assert plan.sha256() != paper.sha256()
    assert plan.sha256() != plan_of(three, labels=["fear", "sad"]).sha256()
    with pytest.raises(UserError, match="no training utterance is disgust.*--labels"):
        plan_of(three, labels="six")


def test_guard_knows_the_target_beyond_the_labels(three, plan_of):
    """Whatever the label set, all of the target's files are its files."""
    happy = next(row for row in three["urdu"] if row.emotion == "happy")
    happy.wav = three["emodb"][0].wav  # neutral, which is nobody's label
    with pytest.raises(UserError, match="the target's file"):
        plan_of(three, labels=["happy", "sad"])


def test_paper_labels_hash_as_before_there_were_label_sets(three, plan_of):
    """Of the four, the hash holds who is trained on, and nothing of label sets."""
    plan = plan_of(three)
    digest = hashlib.sha256()
    digest.update(json.dumps(asdict(plan.setting)).encode())
    digest.update(plan.system.name.encode())
    for part in (plan.train, plan.valid, plan.test, plan.rest):
        digest.update(json.dumps([(row.ID, row.emotion) for row in part]).encode())
    assert plan.sha256() == digest.hexdigest()


# --- Plans


@pytest.mark.parametrize(
    ("system", "trained"),
    [
        ("baseline1", {"ravdess"}),
        ("baseline2", {"ravdess", "urdu"}),
        ("proposed", {"ravdess", "urdu"}),
        ("without_supcon", {"ravdess", "urdu"}),
        ("without_spkadv", {"ravdess", "urdu"}),
        ("upper_bound", {"emodb"}),
    ],
)
def test_plan(three, plan_of, system, trained):
    plan = plan_of(three, system)
    everything = [row for rows in three.values() for row in rows]
    for part, split in ((plan.train, "train"), (plan.valid, "valid")):
        own = [r for r in everything if r.corpus in trained and r.split == split]
        assert ids(part) == ids(own)
        assert len(part) == len(own)
    target = three["emodb"]
    assert ids(plan.test) == ids(row for row in target if row.split == "test")
    rest = {row.ID for row in target if row.split != "test"}
    assert ids(plan.rest) == (set() if system == "upper_bound" else rest)
    assert set(plan.labels.speakers) == {row.speaker for row in plan.train}
    assert list(plan.labels.languages) == sorted({row.language for row in plan.train})
    assert set(plan.manifests) == trained | {"emodb"}
    seen = plan.audit()
    assert seen["evaluation"]["corpora"] == ["emodb"]
    assert seen["normalisation"]["utterances"] == 0
    for stage in ("training", "sampling", "model_selection"):
        assert set(seen[stage]["corpora"]) == trained


def test_baseline1_needs_no_manifest_of_the_non_target(three, plan_of):
    del three["urdu"]
    assert plan_of(three, "baseline1").labels.languages == ("en",)
    with pytest.raises(KeyError):
        plan_of(three, "baseline2")


def test_plan_holds_the_four_emotions_only(three, plan_of):
    for rows in three.values():
        rows += [
            replace(row, ID=row.ID + "x", wav=row.wav + "x", emotion="")
            for row in rows[::3]
        ]
    plan = plan_of(three)
    parts = (plan.train, plan.valid, plan.test, plan.rest)
    assert {row.emotion for part in parts for row in part} == set(manifest.EMOTIONS)


def test_unknown_speakers_are_no_class_of_the_adversary(three, plan_of):
    for row in three["urdu"]:
        row.speaker = ""
    assert plan_of(three).labels.speakers == ("ravdess-a", "ravdess-b")


@pytest.mark.parametrize(
    ("split", "system"),
    [("train", "proposed"), ("valid", "proposed"), ("test", "upper_bound")],
)
def test_an_empty_part_is_refused(three, plan_of, split, system):
    for rows in three.values():
        rows[:] = [row for row in rows if row.split != split]
    with pytest.raises(UserError, match=f"no utterance to {split} on"):
        plan_of(three, system)


def test_a_target_without_a_test_part_is_tested_on_as_a_whole(three, plan_of):
    for row in three["emodb"]:
        row.split, row.speaker = "train", ""
    plan = plan_of(three)
    assert ids(plan.test) == ids(three["emodb"])
    assert plan.rest == []
    assert plan.counts()["test"] == plan.counts()["target_all"]


def test_an_adversary_needs_a_known_speaker(three, plan_of):
    for row in [*three["ravdess"], *three["urdu"]]:
        row.speaker = ""
    with pytest.raises(UserError, match="ravdess, urdu do not tell speakers"):
        plan_of(three)
    assert plan_of(three, "without_spkadv").labels.speakers == ()


@pytest.mark.parametrize(
    ("objective", "attribute"),
    [(Adversary("gender"), "genders"), (Memory(Adversary("gender"), 4), "genders")],
)
def test_an_objective_needs_what_it_is_about(three, plan_of, objective, attribute):
    system = system_of(mine=objective)
    message = f"do not tell {attribute}, on which the objective mine of mine"
    with pytest.raises(UserError, match=message):
        plan_of(three, system)
    for row in three["urdu"]:
        row.gender = "female"
    assert plan_of(three, system).labels.genders == ("female",)
    for objective in (Adversary("language"), Adversary("corpus"), Coral()):
        assert plan_of(three, system_of(mine=objective)).train


# --- Selection


def test_one_language_judges_and_is_not_trained_on(three, plan_of):
    plan = plan_of(three, system_of(selection={"language": "ur"}))
    assert {row.corpus for row in plan.train} == {"ravdess"}
    assert {row.split for row in plan.train} == {"train"}
    heard = [row for row in three["urdu"] if row.split in ("train", "valid")]
    assert ids(plan.valid) == ids(heard)
    assert plan.labels.languages == ("en",)
    assert not any(speaker.startswith("urdu") for speaker in plan.labels.speakers)
    seen = plan.audit()
    for stage in ("training", "sampling"):
        assert seen[stage]["languages"] == ["en"]
    assert seen["model_selection"]["languages"] == ["ur"]
    assert plan.sha256() != plan_of(three, system_of()).sha256()


@pytest.mark.parametrize("language", ["de", "fr", "urdu"])
def test_only_a_training_language_judges(three, plan_of, language):
    message = f"no utterance in '{language}' to judge by: use one of en, ur"
    with pytest.raises(UserError, match=message):
        plan_of(three, system_of(selection={"language": language}))


def test_the_only_language_cannot_judge(three, plan_of):
    with pytest.raises(UserError, match="no utterance to train on"):
        plan_of(three, system_of("source", {"language": "en"}))


def test_the_judge_is_guarded_too(three, plan_of):
    three["urdu"][0].speaker = "emodb-d"
    with pytest.raises(UserError, match="the target's speaker"):
        plan_of(three, system_of(selection={"language": "ur"}))


@pytest.mark.parametrize(
    "value", ["best", 3, {"languge": "ur"}, {"a": 1, "b": 2}, None]
)
def test_no_selection(value):
    with pytest.raises(UserError, match="use mean, last, {language: CODE}"):
        selection_of(value)


def test_a_target_without_the_four_emotions_is_refused(three, plan_of):
    for row in three["emodb"]:
        row.emotion = ""
    with pytest.raises(UserError, match="no utterance to test on in emodb"):
        plan_of(three)


def test_a_training_corpus_without_parts_only_trains(three, plan_of):
    for row in three["urdu"]:
        row.split, row.speaker = "train", ""
    plan = plan_of(three)
    assert {row.corpus for row in plan.valid} == {"ravdess"}
    assert ids(three["urdu"]) <= ids(plan.train)
    assert not any(speaker.startswith("urdu") for speaker in plan.labels.speakers)


def test_a_missing_emotion_is_refused(three, plan_of):
    for rows in three.values():
        rows[:] = [row for row in rows if row.emotion != "sad"]
    with pytest.raises(UserError, match="no training utterance is sad"):
        plan_of(three)


def test_a_plan_does_not_change(three, plan_of):
    plan = plan_of(three)
    with pytest.raises(FrozenInstanceError):
        plan.train = []
    assert plan.with_audio() is not plan
    assert plan.with_audio() == plan  # all of it is on disk


def test_protocol_hash_follows_the_plan(three, plan_of):
    before = plan_of(three).sha256()
    assert plan_of(three).sha256() == before
    assert plan_of(three, "baseline2").sha256() != before
    three["urdu"][0].split = "test"
    assert plan_of(three).sha256() != before


def test_a_manifest_edited_by_hand_is_refused(three, write_manifests, tmp_path):
    paths = write_manifests(three)
    text = paths["urdu"].read_text().replace(",test", ",train")
    paths["urdu"].write_text(text)
    with pytest.raises(UserError, match="changed by hand"):
        make_plan(EN_DE, get_system("proposed"), paths, tmp_path)


# --- The guard

ROLES = [(name, split) for name in ("ravdess", "urdu") for split in ("train", "valid")]


def in_role(corpora, name, split):
    return next(row for row in corpora[name] if row.split == split)


@pytest.mark.parametrize(("name", "split"), ROLES)
@pytest.mark.parametrize(
    ("what", "value"),
    [("language", "de"), ("corpus", "emodb"), ("speaker", "emodb-d")],
)
def test_guard_refuses_the_targets(three, plan_of, name, split, what, value):
    setattr(in_role(three, name, split), what, value)
    with pytest.raises(UserError, match=f"not zero-shot: the target's {what} {value}"):
        plan_of(three)


def _same_path(row, theirs, root):
    row.wav = theirs.wav


def _other_spelling(row, theirs, root):
    row.wav = theirs.wav.replace("/emodb/", "/./emodb/")


def _hard_link(row, theirs, root):
    os.unlink(row.path(root))
    os.link(theirs.path(root), row.path(root))


def _symlink(row, theirs, root):
    os.unlink(row.path(root))
    os.symlink(theirs.path(root), row.path(root))


def _linked_folder(row, theirs, root):
    os.symlink(root / "emodb", root / row.corpus / "linked")
    name = theirs.wav.rsplit("/", 1)[1]
    row.wav = f"$data_root/{row.corpus}/linked/{name}"


def _dangling(row, theirs, root):
    """Neither is on disk, but it would be the same file."""
    _other_spelling(row, theirs, root)
    os.unlink(theirs.path(root))


@pytest.mark.parametrize(
    "share",
    [_same_path, _other_spelling, _hard_link, _symlink, _linked_folder, _dangling],
)
@pytest.mark.parametrize(("name", "split"), ROLES)
def test_guard_refuses_the_targets_file(three, plan_of, tmp_path, name, split, share):
    row = in_role(three, name, split)
    theirs = in_role(three, "emodb", "train")  # not of its test part, even
    share(row, theirs, tmp_path)
    with pytest.raises(UserError, match="not zero-shot: the target's file") as error:
        plan_of(three)
    assert theirs.path(tmp_path) in str(error.value)
    assert row.ID in str(error.value)


@pytest.mark.parametrize("share", [_hard_link, _same_path])
def test_guard_knows_the_targets_other_emotions(three, plan_of, tmp_path, share):
    """A clip of the target that is never scored is a clip of the target."""
    bored = replace(
        three["emodb"][0],
        ID="emodb-bored",
        emotion="",
        wav="$data_root/emodb/bored.wav",
        speaker="emodb-z",
    )
    Path(bored.path(tmp_path)).touch()
    three["emodb"].append(bored)
    share(three["urdu"][0], bored, tmp_path)
    with pytest.raises(UserError, match="the target's file .*bored.wav"):
        plan_of(three)


def test_guard_knows_the_speakers_of_the_targets_other_emotions(three, plan_of):
    bored = replace(three["emodb"][0], ID="emodb-z", emotion="", speaker="both")
    three["emodb"].append(bored)
    three["urdu"][0].speaker = "both"
    with pytest.raises(UserError, match="the target's speaker both"):
        plan_of(three)


def test_guard_lets_unknown_speakers_pass(three, plan_of):
    for name in ("urdu", "emodb"):
        three[name][0].speaker = ""
    assert plan_of(three).train


@pytest.mark.parametrize("system", ZERO_SHOT)
def test_guard_stands_before_every_zero_shot_system(three, plan_of, system):
    three["ravdess"][0].language = "de"
    with pytest.raises(UserError, match="not zero-shot"):
        plan_of(three, system)


def test_guard_ignores_what_nobody_trains_on(three, plan_of):
    """A test part of a training language is not heard at all."""
    in_role(three, "urdu", "test").speaker = "emodb-d"
    assert plan_of(three).train


def test_upper_bound_is_not_guarded(three, plan_of):
    assert plan_of(three, "upper_bound").labels.languages == ("de",)


def test_guard_passes_strangers(three, tmp_path):
    guard(three["ravdess"], three["emodb"], tmp_path)


# --- Audio that is not on disk


def test_with_audio_leaves_a_few_out(tiny_corpora, plan_of):
    corpora = tiny_corpora(ravdess="en", urdu="ur", emodb="de")
    many = [
        replace(row, ID=f"{row.ID}{i}", wav=f"{row.wav}{i}")
        for row in corpora["urdu"]
        for i in range(25)
    ]
    corpora["urdu"] = many  # 400
    lost = [row for row in many if row.split == "train"][:3]
    for row in lost:
        row.sample_rate = 0
    before = plan_of(corpora)
    hashed, counts = before.sha256(), before.counts()
    plan = before.with_audio()
    assert (before.sha256(), before.counts()) == (hashed, counts)
    assert ids(lost) <= ids(before.train) and before.without_audio == {}
    assert plan.sha256() != hashed
    assert plan.without_audio == {"urdu": 3}
    assert plan.counts()["without_audio"] == {"urdu": 3}
    assert not ids(plan.train) & ids(lost)
    assert len([row for row in plan.train if row.corpus == "urdu"]) == 200 - 3


@pytest.mark.parametrize("name", ["urdu", "emodb"])
def test_with_audio_refuses_a_corpus_without(three, plan_of, name):
    for row in three[name]:
        row.sample_rate = 0
    plan = plan_of(three)
    lost = 16 if name == "emodb" else 12  # its test part is not needed
    with pytest.raises(UserError, match=f"{name}: {lost} of {lost} utterances have no"):
        plan.with_audio()


# --- Table 1 of the paper, from the corpora themselves


@pytest.fixture(scope="session")
def paper(restored, shared, listing, blank, tmp_path_factory):
    """Manifests of the five corpora with the paper's splits, and their root."""
    root = tmp_path_factory.mktemp("paper")
    for name in ("emodb", "urdu"):
        (root / name).symlink_to(restored / name)
    (root / "meld").mkdir()
    for path in (shared / "corpora/meld_csv").iterdir():
        (root / "meld" / path.name).write_bytes(path.read_bytes())
    for row in listing("cafe"):
        blank(root / row["path"])
    one = blank(root / "one.wav", 0.2)  # no copy of what another corpus holds
    emotions = ("Neutral", "Angry", "Happy", "Sad", "Surprise")
    for speaker in range(1, 11):
        for number in range(1750):
            folder = root / f"esd/{speaker:04}/{emotions[number // 350]}"
            if number % 350 == 0:
                folder.mkdir(parents=True)
            os.link(one, folder / f"{speaker:04}_{number + 1:06}.wav")
    return root, {
        name: prepare.prepare(
            corpus.get(name), root / name, root / "manifests", "paper"
        )
        for name in PAPER_CORPORA.values()
    }


# train, valid, test of Table 1
TABLE_1 = {
    "meld": (8245, 897, 2211),
    "esd": (11200, 1400, 1400),
    "emodb": (266, 35, 38),
    "cafe": (420, 42, 42),
    "urdu": (300, 20, 80),
}


@pytest.mark.slow
def test_table_1_corpora(paper):
    for name, path in paper[1].items():
        rows = [row for row in manifest.read(path) if row.emotion]
        counts = Counter(row.split for row in rows)
        assert tuple(counts[part] for part in manifest.SPLITS) == TABLE_1[name], name


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER_SETTINGS)
def test_table_1_settings(paper, shared, name):
    root, manifests = paper
    with (shared / "paper/table1_settings.csv").open(newline="") as stream:
        row = next(r for r in csv.DictReader(stream) if r["setting"] == name)
    setting = PAPER_SETTINGS[name]
    plan = make_plan(setting, get_system("proposed"), manifests, root)
    assert len(plan.train) == int(row["train_utterances"])
    assert len(plan.labels.speakers) == int(row["train_speakers"])
    trained = [*setting.source, *setting.non_target]
    assert len(plan.valid) == sum(TABLE_1[corpus][1] for corpus in trained)
    assert len(plan.test) == TABLE_1[setting.target][2]
    whole = sum(TABLE_1[setting.target])
    assert len(plan.test) + len(plan.rest) == whole
    assert len(plan.labels.languages) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "trained", "rest"),
    [
        ("baseline1", ["meld"], 301),
        ("baseline2", ["meld", "esd", "urdu", "cafe"], 301),
        ("without_supcon", ["meld", "esd", "urdu", "cafe"], 301),
        ("without_spkadv", ["meld", "esd", "urdu", "cafe"], 301),
        ("upper_bound", ["emodb"], 0),
    ],
)
def test_table_1_systems(paper, system, trained, rest):
    root, manifests = paper
    plan = make_plan(PAPER_SETTINGS["EN-DE"], get_system(system), manifests, root)
    assert len(plan.train) == sum(TABLE_1[name][0] for name in trained)
    assert len(plan.valid) == sum(TABLE_1[name][1] for name in trained)
    assert len(plan.test) == 38
    assert len(plan.rest) == rest


@pytest.mark.slow
def test_label_only_meld_can_be_planned_but_not_trained_on(paper):
    root, manifests = paper
    plan = make_plan(PAPER_SETTINGS["EN-DE"], get_system("baseline1"), manifests, root)
    with pytest.raises(UserError, match="meld: 9142 of 9142 utterances have no audio"):
        plan.with_audio()
