"""Splits: the paper's, and whole speakers for any corpus however uneven."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import splits
from data_prep.corpus import Corpus, PaperSplit, Utterance
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS, SPLITS

LABELS = {emotion: emotion for emotion in (*EMOTIONS, "fear")}


def corpus(**changes) -> Corpus:
    values = dict.fromkeys(("title", "language", "licence", "homepage", "layout"), "x")
    values |= {"speakers": 9, **changes}
    return Corpus(name="x", emotions=LABELS, utterances=iter, **values)


def make(
    counts: dict[str, dict[str, int]], session=lambda speaker: ""
) -> list[Utterance]:
    """Utterances from counts per speaker and emotion."""
    return [
        Utterance(
            f"{speaker}_{emotion}_{i}", "", speaker, emotion, session=session(speaker)
        )
        for speaker, emotions in counts.items()
        for emotion, number in emotions.items()
        for i in range(number)
    ]


def even(speakers: int, number: int = 5) -> list[Utterance]:
    return make({f"{i:02}": dict.fromkeys(EMOTIONS, number) for i in range(speakers)})


COUNTS = st.dictionaries(
    st.text("abcABC0123", max_size=3),  # "" stands for an unknown speaker
    st.dictionaries(st.sampled_from(sorted(LABELS)), st.integers(1, 60), max_size=5),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)  # the first call pays for imports
@given(COUNTS, st.randoms(use_true_random=False))
def test_any_corpus_splits_by_speaker(counts, random):
    utterances = make(counts)
    found = splits.split(utterances, corpus(), "speaker")
    assert set(found) == {item.id for item in utterances}
    assert set(found.values()) <= set(SPLITS)

    speakers = defaultdict(set)
    four = Counter()
    for item in utterances:
        speakers[found[item.id]].add(item.speaker)
        four[item.speaker, found[item.id]] += item.emotion != "fear"
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert "" not in speakers["valid"] | speakers["test"]

    able = {name for (name, _), number in four.items() if name and number}
    if len(able) >= 3:
        assert not speakers["valid"] & speakers["test"]
        for part in SPLITS:
            assert speakers[part] & able, f"nobody in {part}"
        tenth = sum(number for (name, _), number in four.items() if name) / 10
        for part in ("valid", "test"):
            held = sum(four[name, part] for name in speakers[part])
            assert held <= 3 * tenth or len(speakers[part]) == 1
    elif len(able) == 2:
        assert len(speakers["train"] & able) == 1

    random.shuffle(utterances)
    assert splits.split(utterances, corpus(), "speaker") == found


@pytest.mark.parametrize("speakers", [10, 20, 50])
def test_an_even_corpus_splits_80_10_10(speakers):
    utterances = even(speakers)
    found = Counter(splits.split(utterances, corpus(), "speaker").values())
    assert [found[part] / len(utterances) for part in SPLITS] == [0.8, 0.1, 0.1]


@pytest.mark.parametrize(
    "counts, train",
    [
        ({"a": 1000, "b": 1, "c": 1}, {"a"}),
        ({"a": 1, "b": 1, "z": 1000}, {"z"}),
        ({"a": 1, "m": 1000, "z": 1}, {"m"}),
        ({"a": 500, "b": 500, "c": 10, "d": 10}, {"a", "b"}),
    ],
)
def test_who_says_most_trains(counts, train):
    utterances = make({name: dict.fromkeys(EMOTIONS, n) for name, n in counts.items()})
    found = splits.split(utterances, corpus(), "speaker")
    assert {item.speaker for item in utterances if found[item.id] == "train"} == train


def test_held_out_parts_gather_all_emotions():
    counts = {f"{i:02}": {EMOTIONS[i % 4]: 10} for i in range(40)}
    utterances = make(counts)
    found = splits.split(utterances, corpus(), "speaker")
    for part in ("valid", "test"):
        held = {item.emotion for item in utterances if found[item.id] == part}
        assert held == set(EMOTIONS)


def test_sessions_stay_whole():
    counts = {
        f"Ses0{i}{sex}": dict.fromkeys(EMOTIONS, 9) for i in range(1, 6) for sex in "FM"
    }
    utterances = make(counts, session=lambda speaker: speaker[:-1])
    found = splits.split(utterances, corpus(split_by="session"), "speaker")
    parts = defaultdict(set)
    for item in utterances:
        parts[item.session].add(found[item.id])
    assert all(len(part) == 1 for part in parts.values())
    assert parts["Ses05"] == {"test"}
    assert parts["Ses04"] == {"valid"}


def test_one_speaker_trains_and_two_share():
    assert set(splits.split(even(1), corpus(), "speaker").values()) == {"train"}
    found = Counter(
        (name.split("_")[0], part)
        for name, part in splits.split(even(2, 5), corpus(), "speaker").items()
    )
    assert found == {("00", "train"): 20, ("01", "valid"): 8, ("01", "test"): 12}


def paper(counts, speakers, assign, **kwargs) -> Corpus:
    return corpus(paper_split=PaperSplit(counts, speakers, assign, **kwargs))


def test_hold_out():
    declared = paper((60, 20, 20), 3, splits.hold_out({"03"}, {"04"}))
    found = splits.split(even(5), declared, "paper")
    assert {name.split("_")[0] for name, part in found.items() if part == "test"} == {
        "04"
    }


def test_search_goes_from_the_last_speaker_with_few_in_test():
    counts = {"a": 10, "b": 10, "c": 2, "d": 5, "e": 3, "f": 5}
    utterances = make({name: dict.fromkeys(EMOTIONS, n) for name, n in counts.items()})
    found = splits.search(valid=20, test=20, held_out=3)(utterances)
    parts = defaultdict(set)
    for item in utterances:
        parts[found[item.id]].add(item.speaker)
    # One of f and d fills test alone; valid then needs two: c and e.
    assert parts == {"train": {"a", "b", "d"}, "test": {"f"}, "valid": {"c", "e"}}


def test_search_wants_every_emotion_in_each_part():
    counts = {"a": dict.fromkeys(EMOTIONS, 5), "b": {"sad": 4}, "c": {"sad": 4}}
    with pytest.raises(UserError, match="splits=speaker"):
        splits.search(valid=4, test=4, held_out=2)(make(counts))


@pytest.mark.parametrize(
    "utterances, counts, speakers",
    [
        (even(5)[:-1], (60, 20, 20), 3),  # one utterance short
        (even(5), (60, 20, 20), 4),  # another number of speakers
        (even(5), (50, 30, 20), 3),
    ],
)
def test_a_paper_split_that_does_not_come_out_is_refused(utterances, counts, speakers):
    declared = paper(counts, speakers, splits.hold_out({"03"}, {"04"}))
    with pytest.raises(UserError, match="splits=speaker"):
        splits.split(utterances, declared, "paper")


def test_an_incomplete_corpus_is_refused_before_any_search():
    def never(utterances):
        raise AssertionError

    with pytest.raises(UserError, match="99"):
        splits.split(even(5)[:-1], paper((60, 20, 20), 3, never), "paper")


@pytest.mark.parametrize(
    "policy, changes, message",
    [
        ("paper", {}, "no split of x: use --splits=speaker$"),
        ("paper", {"parts": True}, "use --splits=speaker or official$"),
        ("official", {}, "x has no official parts: use --splits=speaker$"),
        ("speaker", {"speakers": 0}, "does not tell who speaks: use --splits=none$"),
        ("speaker", {"speakers": 0, "parts": True}, "use --splits=official$"),
        ("random", {}, "no split policy 'random'"),
    ],
)
def test_a_policy_that_does_not_fit_names_those_that_do(policy, changes, message):
    with pytest.raises(UserError, match=message):
        splits.split(even(3), corpus(**changes), policy)


def test_none_trains_on_all():
    found = splits.split(even(3), corpus(speakers=0), "none")
    assert set(found.values()) == {"train"}
    assert len(found) == len(even(3))


def test_official_takes_the_parts_as_they_are():
    utterances = even(3)
    for item, part in zip(utterances, ["train", "valid", "test"] * 20, strict=True):
        item.split = part
    found = splits.split(utterances, corpus(parts=True), "official")
    assert found == {item.id: item.split for item in utterances}
    assert splits.is_speaker_disjoint(utterances, found) is False
    for item in utterances:
        item.speaker = ""
    assert splits.is_speaker_disjoint(utterances, found) is None


def test_a_merged_label_counts_for_the_split():
    """Who has nothing but a merged label can be held out; without merging, nobody can."""
    counts = {name: {"fear": 10} for name in "abcdefghij"}
    declared = corpus(merge={"fear": "angry"})
    found = splits.split(make(counts), declared, "speaker")
    assert set(found.values()) == set(SPLITS)
    assert set(splits.split(make(counts), corpus(), "speaker").values()) == {"train"}


def test_leaks_are_never_let_through():
    leaking = paper((50, 20, 30), 5, lambda items: dict(zip(
        [item.id for item in items], ["train", "valid", "test", "train", "test",
        "train", "valid", "train", "test", "train"] * 10, strict=True)))  # fmt: skip
    with pytest.raises(AssertionError, match="train and held out"):
        splits.split(even(5), leaking, "paper")
