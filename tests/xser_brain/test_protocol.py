"""Settings, plans, and all that the zero-shot guard must refuse."""

import csv
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from data_prep import corpus, manifest, prepare
from data_prep.errors import UserError
from xser_brain.protocol import (
    PAPER_CORPORA,
    PAPER_SETTINGS,
    SYSTEMS,
    Plan,
    Setting,
    get_system,
    guard,
    make_plan,
)

ZERO_SHOT = [name for name in SYSTEMS if name != "upper_bound"]
EN_DE = Setting(("ravdess",), ("urdu",), "emodb")


@pytest.fixture
def three(tiny_corpora):
    return tiny_corpora(ravdess="en", urdu="ur", emodb="de")


@pytest.fixture
def plan_of(write_manifests, tmp_path):
    def build(corpora, system="proposed", setting=EN_DE) -> Plan:
        return make_plan(setting, system, write_manifests(corpora), tmp_path)

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
    declared = {
        name: (s.trains_on, s.sampler, s.supcon, s.adversary)
        for name, s in SYSTEMS.items()
    }
    assert declared == {
        "baseline1": ("source", "random", False, False),
        "baseline2": ("all", "random", False, False),
        "proposed": ("all", "hierarchical", True, True),
        "without_supcon": ("all", "hierarchical", False, True),
        "without_spkadv": ("all", "hierarchical", True, False),
        "upper_bound": ("target", "random", False, False),
    }
    assert [name for name in SYSTEMS if SYSTEMS[name].zero_shot] == ZERO_SHOT


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
    assert set(plan.speakers) == {row.speaker for row in plan.train}
    assert plan.languages == sorted({row.language for row in plan.train})
    assert set(plan.manifests) == trained | {"emodb"}
    seen = plan.audit()
    assert seen["evaluation"]["corpora"] == ["emodb"]
    assert seen["normalisation"]["utterances"] == 0
    for stage in ("training", "sampling", "model_selection"):
        assert set(seen[stage]["corpora"]) == trained


def test_baseline1_needs_no_manifest_of_the_non_target(three, plan_of):
    del three["urdu"]
    assert plan_of(three, "baseline1").languages == ["en"]
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
    assert plan_of(three).speakers == ["ravdess-a", "ravdess-b"]


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
    with pytest.raises(UserError, match="ravdess, urdu do not tell who speaks"):
        plan_of(three)
    assert plan_of(three, "without_spkadv").speakers == []


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
    assert not any(speaker.startswith("urdu") for speaker in plan.speakers)


def test_a_missing_emotion_is_refused(three, plan_of):
    for rows in three.values():
        rows[:] = [row for row in rows if row.emotion != "sad"]
    with pytest.raises(UserError, match="no training utterance is sad"):
        plan_of(three)


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
        make_plan(EN_DE, "proposed", paths, tmp_path)


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
    row.wav = theirs.wav.replace("/emodb/", f"/{row.corpus}/../emodb/")


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
    assert plan_of(three, "upper_bound").languages == ["de"]


def test_guard_passes_strangers(three, tmp_path):
    guard(three["ravdess"], three["emodb"], tmp_path)


# --- Audio that is not on disk


def test_require_audio_leaves_a_few_out(tiny_corpora, plan_of):
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
    plan = plan_of(corpora)
    plan.require_audio()
    assert plan.without_audio == {"urdu": 3}
    assert plan.counts()["without_audio"] == {"urdu": 3}
    assert not ids(plan.train) & ids(lost)
    assert len([row for row in plan.train if row.corpus == "urdu"]) == 200 - 3


@pytest.mark.parametrize("name", ["urdu", "emodb"])
def test_require_audio_refuses_a_corpus_without(three, plan_of, name):
    for row in three[name]:
        row.sample_rate = 0
    plan = plan_of(three)
    lost = 16 if name == "emodb" else 12  # its test part is not needed
    with pytest.raises(UserError, match=f"{name}: {lost} of {lost} utterances have no"):
        plan.require_audio()


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
    one = blank(root / "one.wav")
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
    plan = make_plan(setting, "proposed", manifests, root)
    assert len(plan.train) == int(row["train_utterances"])
    assert len(plan.speakers) == int(row["train_speakers"])
    trained = [*setting.source, *setting.non_target]
    assert len(plan.valid) == sum(TABLE_1[corpus][1] for corpus in trained)
    assert len(plan.test) == TABLE_1[setting.target][2]
    whole = sum(TABLE_1[setting.target])
    assert len(plan.test) + len(plan.rest) == whole
    assert len(plan.languages) == 4


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
    plan = make_plan(PAPER_SETTINGS["EN-DE"], system, manifests, root)
    assert len(plan.train) == sum(TABLE_1[name][0] for name in trained)
    assert len(plan.valid) == sum(TABLE_1[name][1] for name in trained)
    assert len(plan.test) == 38
    assert len(plan.rest) == rest


@pytest.mark.slow
def test_label_only_meld_can_be_planned_but_not_trained_on(paper):
    root, manifests = paper
    plan = make_plan(PAPER_SETTINGS["EN-DE"], "baseline1", manifests, root)
    with pytest.raises(UserError, match="meld: 9142 of 9142 utterances have no audio"):
        plan.require_audio()
