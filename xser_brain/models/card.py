"""The card of an exported model: what it is, how good, and what it is not for."""

import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from data_prep import corpus
from data_prep.errors import UserError
from xser_brain.encoders.families import BUILT_IN, find
from xser_brain.evaluation.summary import shown_interval

MAIN = "main"  # the hub's own branch
PLACEHOLDER = "FOLDER OR HUB NAME"
PARTS = {"test": "test part", "all": "whole corpus"}
# What the registry says of corpora that are not for all uses.
RESTRICTED = re.compile(r"\bNC\b|non-commercial|research")


def card(
    config: dict,
    repo: str = "",
    revision: str = MAIN,
    licence: str = "other",
    library: str = "speechbrain",
) -> str:
    """Write a model card from ``config.json``: Markdown with the hub's front matter.

    ``repo`` and ``revision`` say where on the hub the model is published, if it is;
    ``licence`` is that of the weights, as the hub names it; ``library`` is what loads
    it, ``speechbrain`` or ``transformers``.
    """
    training, result = config["training"], config["result"]
    languages = ", ".join(map(language_name, training["languages"]))
    if library == "transformers":
        use = _with_transformers()
    else:
        use = _with_xser(config["encoder"]["family"], repo, revision)
    lines = [
        "---",
        _front_matter(config, repo, licence, library).to_yaml(),
        "---",
        f"# Speech emotion recognition, trained on {languages}",
        "",
        f"Tells {', '.join(config['labels'][:-1])} and {config['labels'][-1]} apart in "
        "speech, with calibrated probabilities. Made with XSER, after Mi, Ma & Toda "
        "(Interspeech 2026, arXiv:2606.06200).",
        "",
    ]
    if training["standin"]:
        lines += [
            "**Trained on synthetic stand-ins: its figures say nothing about real "
            "speech.**",
            "",
        ]
    lines += [
        "## Use",
        "",
        *use,
        "",
        "## What it was trained on",
        "",
        "| corpus | language | licence |",
        "| --- | --- | --- |",
        *map(_corpus_row, training["corpora"]),
        "",
        f"{training['utterances']} utterances of {training['speakers']} speakers; "
        f"system {training['system']}, seed {training['seed']}; encoder: "
        f"{_made_of(config['encoder'])}.",
        "",
        "## How good it is",
        "",
        f"On {result['target']} ({language_name(result['language'])}), "
        f"{result['protocol']}:",
        "",
        "| part | utterances | UAR (%) | 95 % interval | macro-F1 (%) | 95 % interval |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            _result_row(name, result[part])
            for part, name in PARTS.items()
            if result.get(part)
        ),
        "",
        _confidence(config["calibration"]),
        "",
        "## Limits",
        "",
        "- The corpora are mostly acted, recorded in quiet rooms, with few speakers: "
        "spontaneous speech, noise and telephones are harder than these figures.",
        f"- It classifies how something is said as one of {len(config['labels'])} labels; "
        "it knows no other, and no words.",
        "- Languages, ages and accents that are not in the table above may fare worse.",
        "",
        "## Licence",
        "",
        _licence_note(training["corpora"], licence),
        "",
        "## Intended use and misuse",
        "",
        "Meant for research on speech emotion, and for tools whose users know of it and "
        "agree. Not for judging people: not in hiring, teaching, policing, insurance, "
        "health or border control, nor to watch anyone without consent; in places the "
        "law forbids that. What a voice expresses is not what a person feels.",
        "",
    ]
    return "\n".join(lines)


def _with_xser(family: str, repo: str, revision: str) -> list[str]:
    branch = f', revision="{revision}"' if revision != MAIN else ""
    model = repo if repo and not branch else "MODEL"
    return [
        "```python",
        "from xser_brain.inference import Classifier",
        "",
        f'classifier = Classifier.from_pretrained("{repo or PLACEHOLDER}"{branch})',
        'print(classifier("clip.wav"))',
        "```",
        "",
        f"On the command line `xser predict {model} clip.wav folder/`; with SpeechBrain "
        f'`EncoderClassifier.from_hparams(source="{model}")`. Loading it with '
        "`Classifier` runs no code of this folder.",
        *_import_note(family),
    ]


def _with_transformers() -> list[str]:
    return [
        "```python",
        "from transformers import pipeline",
        "",
        f'classifier = pipeline("audio-classification", model="{PLACEHOLDER}")',
        'print(classifier("clip.wav", top_k=None))',
        "```",
        "",
        "Nothing but transformers is needed, and no code of this folder is run. Recordings "
        "of 25 ms or more, one at a time (`batch_size=1`, which is its default), heard at "
        "16 kHz.",
    ]


def _front_matter(config: dict, repo: str, licence: str, library: str) -> ModelCardData:
    """What the hub reads."""
    training, source = config["training"], config["encoder"].get("source", "")
    return ModelCardData(
        language=training["languages"],
        license=licence,
        library_name=library,
        pipeline_tag="audio-classification",
        tags=["speech-emotion-recognition", library, "xser"],
        # A name without an owner is that of a folder.
        base_model=source if "/" in source and not Path(source).is_absolute() else None,
        model_name=repo.rpartition("/")[2] or "xser",
        eval_results=_figures(config["result"], training["standin"]),
    )


def _figures(result: dict, standin: bool) -> list[EvalResult]:
    """Full precision; those that are not zero-shot, or not of real speech, say so."""
    known, protocol = _corpus(result["target"]), result["protocol"]
    title = known.title if known else result["target"]
    note = "" if protocol == "zero-shot" else f", {protocol}"
    return [
        EvalResult(
            task_type="audio-classification",
            task_name="speech emotion recognition",
            dataset_type=result["target"],
            dataset_name=title + (", synthetic stand-in" if standin else ""),
            dataset_split=part,
            metric_type=kind,
            metric_name=f"{name} (%, {PARTS[part]}{note})",
            metric_value=result[part][key],
            metric_args={"average": "macro"},
        )
        for part in PARTS
        if result.get(part)
        # Unweighted average recall is what the hub knows as recall, macro-averaged.
        for kind, key, name in (
            ("recall", "uar", "UAR"),
            ("f1", "macro_f1", "macro-F1"),
        )
    ]


def language_name(code: str) -> str:
    """A language in English, by its ISO 639-1 code; an unknown code is capitalised."""
    return LANGUAGES.get(code, code).title()


def _made_of(encoder: dict) -> str:
    if "source" not in encoder:
        return find(encoder["family"]).title or f"`{encoder['family']}`"
    inside = ", in `encoder/`" if encoder["included"] else ""
    return f"{encoder['source']} ({encoder['options']['adaptation']}){inside}"


def _import_note(family: str) -> list[str]:
    if family in BUILT_IN:
        return []
    return [
        "",
        f"Its encoder is the class `{family}`, which is not part of XSER or of this "
        "folder: import its module first (`--import=MODULE` of `xser predict`).",
    ]


def _corpus(name: str) -> corpus.Corpus | None:
    try:
        return corpus.get(name)
    except UserError:
        return None


def _corpus_row(name: str) -> str:
    known = _corpus(name)
    if known is None:
        return f"| {name} | | |"
    return f"| {known.title} | {known.language} | {known.licence} |"


def _licence_note(names: list[str], licence: str) -> str:
    known = [found for name in names if (found := _corpus(name))]
    restricted = [c.title for c in known if RESTRICTED.search(c.licence)]
    unknown = sorted(set(names) - {c.name for c in known})
    of_weights = "" if licence == "other" else f"The weights: {licence}. "
    note = (
        f"{of_weights}What the corpora's licences allow decides what may be done with "
        "the weights."
    )
    if restricted:
        note += f" For research or non-commercial use only: {'; '.join(restricted)}."
    if unknown:
        note += f" Licence not known here: {'; '.join(unknown)}."
    return note


def _result_row(name: str, result: dict) -> str:
    cells = [name, str(result["n"])]
    for key in ("uar", "macro_f1"):
        bounds, unit = shown_interval(result, key)
        interval = f"{bounds[0]:.1f}-{bounds[1]:.1f} over {unit}" if bounds else ""
        cells += [f"{result[key]:.1f}", interval]
    return f"| {' | '.join(cells)} |"


def _confidence(calibration: dict) -> str:
    return (
        f"Expected calibration error, before and after the temperature of "
        f"{calibration['temperature']:.2f} that was fitted on the training languages' "
        f"validation parts: there {calibration['ece_valid_before']:.1f} and "
        f"{calibration['ece_valid_after']:.1f} %, on the target "
        f"{calibration['ece_target_before']:.1f} and "
        f"{calibration['ece_target_after']:.1f} %. Below a probability of "
        f"{calibration['threshold']:g} it says `unsure`."
    )
