"""Units are learnt from what is said in training, the same ones each time."""

import random
import subprocess
import sys
from dataclasses import replace

import pytest

from data_prep.errors import UserError
from xser_brain.data.units import KINDS, Units, spoken
from xser_brain.objectives import ContentAdversary, CrossEntropy
from xser_brain.protocol import Setting, System, make_plan
from xser_brain.training.assemble import learn_units

SENTENCES = [
    "The meeting starts at nine.",
    "My bag is under the table.",
    "Die Sitzung beginnt um neun.",
    "她把信放在抽屉里。",
    "Lubię czytać przed snem.",
]


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("Kids are TALKING by the door.", "kids are talking by the door"),
        ("  'Don’t!' -- he said…\n", "don't he said"),
        ("मैं ठीक हूँ।", "मैं ठीक हूँ"),  # vowel signs are no punctuation
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("▁<unk>\0", "unk"),
        ("... -- ' ' ?!", ""),
        ("", ""),
    ],
)
def test_what_can_be_heard_of_a_transcript(written, heard):
    assert spoken(written) == heard


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 40, 80, 5000])
def test_every_training_transcript_can_be_written_in_units(kind, size):
    vocabulary = Units(size, kind).learn(SENTENCES)
    characters = len({*"".join(map(spoken, SENTENCES)).replace(" ", "")}) + 2
    assert len(vocabulary.pieces) >= characters
    if size == 80:
        assert len(vocabulary.pieces) <= size
    for sentence in SENTENCES:
        units = vocabulary.encode(sentence)
        text = "".join(vocabulary.pieces[unit] for unit in units)
        assert 0 not in units  # unknown
        assert text.replace("▁", " ").strip() == spoken(sentence)
    assert vocabulary.encode("") == vocabulary.encode("?!") == []


def test_the_same_transcripts_give_the_same_units():
    expected = [Units(60, kind).learn(SENTENCES).sha256 for kind in KINDS]
    shuffled = random.Random(0).sample(SENTENCES * 3 + ["", "!"], 17)
    assert [Units(60, kind).learn(shuffled).sha256 for kind in KINDS] == expected
    # In another process, where hashes of strings and addresses differ.
    code = (
        "import sys; from xser_brain.data.units import KINDS, Units\n"
        "for kind in KINDS: print(Units(60, kind).learn(sys.argv[1:]).sha256)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SENTENCES],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == expected
    for kind, before in zip(KINDS, expected, strict=True):
        assert Units(60, kind).learn(SENTENCES[1:]).sha256 != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "units.size is 0: set a whole number from 1"),
        ({"size": "many"}, "units.size is 'many'"),
        ({"kind": "word"}, "units.kind is 'word': use unigram or bpe"),
    ],
)
def test_units_refuse(options, message):
    with pytest.raises(UserError, match=message):
        Units(**options)


@pytest.mark.parametrize("transcripts", [[], [""], ["?!", "..."]])
def test_no_word_to_learn_from(transcripts):
    with pytest.raises(UserError, match="no training transcript has a word"):
        Units().learn(transcripts)


# --- Of whom


@pytest.fixture
def planned(tiny_corpora, write_manifests, tmp_path):
    """A plan of transcripts that are chosen utterance by utterance."""

    def plan(text):
        corpora = tiny_corpora(ravdess="en", urdu="ur", emodb="de")
        for rows in corpora.values():
            rows[:] = [replace(row, text=text(row)) for row in rows]
        objectives = {"emotion": CrossEntropy(), "content": ContentAdversary()}
        system = System("mine", "all", objectives)
        setting = Setting(("ravdess",), ("urdu",), "emodb")
        return make_plan(
            setting, system, write_manifests(corpora), tmp_path, allow_incomplete=True
        )

    return plan


def learnt(plan):
    """The units of a run of that plan."""

    class Spec:
        system = plan.system

    return learn_units(Spec, plan)


def test_only_training_transcripts_are_learnt_from(planned):
    def text(row):
        heard = row.split == "train" and row.corpus != "emodb"
        return "a cat sat on a mat" if heard else "zebra xylophone quiz"

    found = learnt(planned(text))
    without = learnt(planned(lambda row: text(row) if "cat" in text(row) else ""))
    assert found.model == without.model
    assert not {*"zxylqupbreih"} & {*"".join(found.pieces[1:])}
    added = learnt(planned(lambda row: "zebra" if row.emotion == "sad" else text(row)))
    assert "z" in "".join(added.pieces)  # the letters of training are found


def test_other_transcripts_another_run_but_for_validation_and_target(planned):
    def said(where):
        return lambda row: "a dog" if where(row) else "a cat"

    plain = planned(lambda row: "a cat").transcripts()
    assert planned(said(lambda row: row.split != "train")).transcripts() == plain
    assert planned(said(lambda row: row.corpus == "emodb")).transcripts() == plain
    assert planned(said(lambda row: row.ID == "urdu-asad")).transcripts() != plain


def test_corpora_without_transcripts_are_refused(planned):
    with pytest.raises(UserError, match=r"ravdess, urdu do not tell transcripts, on"):
        planned(lambda row: "" if row.split == "train" else "a cat")
