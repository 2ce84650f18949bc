"""The model card: what a stranger needs to use the model, to cite it, and to trust it."""

import email
import json
import re
from functools import partial

import pytest
from huggingface_hub import ModelCard
from models import build
from models import record as some_record

from data_prep import corpus
from data_prep.errors import UserError
from xser_brain.inference import config as schema
from xser_brain.models import card as card_module
from xser_brain.models.card import card
from xser_brain.models.export import export


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture
def config_of(model, tmp_path):
    """``config.json`` of a model that was trained on these corpora."""

    def make(*corpora: str, **changes) -> dict:
        record = some_record() | {"standin": False, **changes}
        record["audit"]["training"]["corpora"] = list(corpora)
        export(tmp_path / "m", model, False, record)
        return json.loads((tmp_path / "m/config.json").read_text())

    return make


def part(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_it_says_how_to_install_what_loads_it(config_of):
    config = config_of("ravdess")
    made_by = config["versions"]["xser-brain"]
    use = part(card(config), "Use")
    assert f'pip install "xser-brain>={made_by}"' in use
    alone = part(card(config, library="transformers"), "Use")
    assert "pip install transformers torch" in alone
    assert "xser-brain" not in alone


def test_the_code_is_linked_where_the_package_says_where_it_is(config_of, monkeypatch):
    config = config_of("ravdess")
    assert card_module._code() == ""  # no address is invented
    assert "[XSER]" not in card(config)
    installed = email.message_from_string(
        "Project-URL: Paper, https://example.org/paper\n"
        "Project-URL: Source, https://example.org/code\n"
    )
    monkeypatch.setattr(card_module, "metadata", lambda name: installed)
    text = card(config)
    assert "Made with [XSER](https://example.org/code)," in text
    assert "[arXiv:2606.06200](https://arxiv.org/abs/2606.06200)" in text


def test_it_says_what_to_cite(config_of):
    entry = part(card(config_of("ravdess")), "Citation")
    assert re.search(
        r"```bibtex\n@inproceedings\{\w+,\n(  \w+ += \{.+\},\n)+\}\n```", entry
    )
    assert "Zero-Shot" in entry
    assert "2606.06200" in entry


def test_the_hub_hears_of_the_data_sets_it_has(config_of):
    hub_id = "Aniemore/resd"
    assert corpus.get("resd").homepage.endswith(f"/datasets/{hub_id}")
    config = config_of("ravdess", "resd", "mine")
    assert ModelCard(card(config)).data.datasets == [hub_id]
    assert ModelCard(card(config_of("ravdess"))).data.datasets is None
    stand_ins = config_of("resd", standin=True)  # not trained on it
    assert ModelCard(card(stand_ins)).data.datasets is None


def test_figures_are_rounded_where_people_read_them(config_of):
    figures = some_record()["target_test"] | {"uar": 200 / 3, "macro_f1": 100 / 7}
    config = config_of("ravdess", target_test=figures)
    assert config["result"]["test"]["uar"] == 200 / 3
    found = ModelCard(card(config)).data.eval_results
    assert [result.metric_value for result in found] == [66.7, 14.3]
    assert "| 66.7 |" in card(config)


def test_the_licence_of_an_imported_corpus_is_told(config_of):
    licences = {"mine": "CC-BY-NC 4.0", "open": "CC0", "silent": ""}
    config = config_of("ravdess", *licences, licences=licences)
    text = card(config)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert "| mine | | CC-BY-NC 4.0 |" in rows
    assert "| open | | CC0 |" in rows
    assert "| silent | | unknown, ask |" in rows
    note = part(text, "Licence")
    restricted, unknown = note.split("only: ")[1].split(" Licence not known here: ")
    assert restricted == f"{corpus.get('ravdess').title}; mine."
    assert unknown.startswith("silent.")


@pytest.mark.parametrize(
    "licence",
    ["cc-by-nc-4.0", "Attribution NonCommercial", "non commercial", "Research only"],
)
def test_restricted_licences_are_known_in_any_spelling(config_of, licence):
    config = config_of("mine", licences={"mine": licence})
    assert "non-commercial use only: mine." in part(card(config), "Licence")


def test_a_strangers_licence_is_text_and_no_markup(config_of):
    evil = "free | <img src=x>\n\n# Trust me [a](https://example.org) " + "x" * 1000
    text = card(config_of("mine", licences={"mine": evil}))
    (row,) = [line for line in text.splitlines() if line.startswith("| mine")]
    assert len(re.split(r"(?<!\\)\|", row)) == 5
    assert "\\<img" in row
    assert "](" not in row
    assert len(row) < 300
    assert "\n# Trust me" not in text


def test_licences_of_a_strangers_model_are_checked(config_of):
    config = config_of("mine", licences={"mine": "CC0"})
    check = partial(schema.check, where="config.json")
    check(config)
    for wrong in (
        ["CC0"],
        {"mine": 1},
        {"mine": "x" * 1000},
        {"a b": "CC0"},
        {"mine": "\n"},
    ):
        with pytest.raises(UserError, match="licences is"):
            check(config | {"training": config["training"] | {"licences": wrong}})
