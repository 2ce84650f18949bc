"""The card of an exported model: what it is, how good, and what it is not for."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import metadata
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from data_prep import corpus
from data_prep.errors import UserError
from xser_brain.encoders.families import BUILT_IN, find
from xser_brain.evaluation.summary import shown_interval
from xser_brain.markdown import piped

MAIN = "main"  # the hub's own branch
PLACEHOLDER = "FOLDER OR HUB NAME"
PARTS = {"test": "test part", "all": "whole corpus"}
# What the registry says of corpora that are not for all uses.
RESTRICTED = re.compile(r"\bNC\b|non[- ]?commercial|research", re.IGNORECASE)
UNKNOWN = "unknown, ask"
DATASETS = "https://huggingface.co/datasets/"  # where the hub's corpora have their home
PAPER = "https://arxiv.org/abs/2606.06200"
BIBTEX = """\
@inproceedings{mi2026zeroshot,
  title         = {Learning Emotion-discriminative Representations for Zero-Shot Cross-lingual Speech Emotion Recognition},
  author        = {Mi and Ma and Toda},
  booktitle     = {Proceedings of Interspeech},
  year          = {2026},
  eprint        = {2606.06200},
  archiveprefix = {arXiv},
}"""  # noqa: E501  (an entry's value is one line)
# What a package calls the address of its code.
CODE = ("source", "code", "repository", "homepage")


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
    use = (
        _with_transformers()
        if library == "transformers"
        else _with_xser(config, repo, revision)
    )
    code = f"[XSER]({address})" if (address := _code()) else "XSER"
    licences = {name: _held(training, name) for name in training["corpora"]}
    lines = [
        "---",
        _front_matter(config, repo, licence, library).to_yaml(),
        "---",
        f"# Speech emotion recognition, trained on {languages}",
        "",
        f"Tells {', '.join(config['labels'][:-1])} and {config['labels'][-1]} apart in "
        f"speech, with calibrated probabilities. Made with {code}, after Mi, Ma & Toda "
        f"(Interspeech 2026, [arXiv:2606.06200]({PAPER})).",
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
        *(_corpus_row(name, licence) for name, licence in licences.items()),
        "",
        f"{training['utterances']} utterances of {training['speakers']} speakers; "
        f"system {training['system']}, seed {training['seed']}; encoder: "
        f"{_made_of(config['encoder'])}.",
        "",
        "## How good it is",
        "",
        *_left_out(config.get("left_out", [])),
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
        _licence_note(licences, licence),
        "",
        "## Intended use and misuse",
        "",
        "Meant for research on speech emotion, and for tools whose users know of it and "
        "agree. Not for judging people: not in hiring, teaching, policing, insurance, "
        "health or border control, nor to watch anyone without consent; in places the "
        "law forbids that. What a voice expresses is not what a person feels.",
        "",
        "## Citation",
        "",
        "```bibtex",
        BIBTEX,
        "```",
        "",
    ]
    return "\n".join(lines)


def _with_xser(config: dict, repo: str, revision: str) -> list[str]:
    made_by = config["versions"]["xser-brain"]
    branch = f', revision="{revision}"' if revision != MAIN else ""
    model = repo if repo and not branch else "MODEL"
    return [
        "```bash",
        f'pip install "xser-brain>={made_by}"',
        "```",
        "",
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
        *_import_note(config["encoder"]["family"]),
    ]


def _with_transformers() -> list[str]:
    return [
        "```bash",
        "pip install transformers torch",
        "```",
        "",
        "```python",
        "from transformers import pipeline",
        "",
        f'classifier = pipeline("audio-classification", model="{PLACEHOLDER}")',
        'print(classifier("clip.wav", top_k=None))',
        "```",
        "",
        "Nothing but transformers is needed, and no code of this folder is run. Recordings "
        "of 25 ms or more, one at a time (`batch_size=1`, which is its default), heard at "
        "16 kHz; files are read by the machine's `ffmpeg`.",
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
        datasets=_datasets(training),
        # A name without an owner is that of a folder.
        base_model=source if "/" in source and not Path(source).is_absolute() else None,
        model_name=repo.rpartition("/")[2] or "xser",
        # What it gets where it was trained would stand on the hub as if it were a promise.
        eval_results=None
        if config.get("left_out")
        else _figures(config["result"], training["standin"]),
    )


def _figures(result: dict, standin: bool) -> list[EvalResult]:
    """Those that are not zero-shot, or not of real speech, say so."""
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
            metric_value=round(result[part][key], 1),
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


def _datasets(training: dict) -> list[str] | None:
    """What it was trained on, as far as the hub is where a corpus is at home."""
    if training["standin"]:
        return None
    homes = [known.homepage for name in training["corpora"] if (known := _corpus(name))]
    return [h.removeprefix(DATASETS) for h in homes if h.startswith(DATASETS)] or None


def _code() -> str:
    """Where the code is, if the installed package says so."""
    links = metadata("xser-brain").get_all("Project-URL") or []
    addresses = dict(link.split(", ", 1) for link in links)
    addresses = {name.lower(): address for name, address in addresses.items()}
    return next((addresses[name] for name in CODE if name in addresses), "")


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


def _held(training: dict, name: str) -> str:
    """A corpus' licence: the registry's word, or what was imported with it."""
    known = _corpus(name)
    return known.licence if known else training.get("licences", {}).get(name, "")


def _corpus_row(name: str, licence: str) -> str:
    known = _corpus(name)
    if known:
        return f"| {known.title} | {known.language} | {licence} |"
    return f"| {name} | | {piped(licence) or UNKNOWN} |"


def _licence_note(licences: Mapping[str, str], of_weights: str) -> str:
    titles = {
        name: known.title if (known := _corpus(name)) else name for name in licences
    }
    restricted = [titles[n] for n, held in licences.items() if RESTRICTED.search(held)]
    unknown = sorted(titles[n] for n, held in licences.items() if not held)
    note = "" if of_weights == "other" else f"The weights: {of_weights}. "
    note += (
        "What the corpora's licences allow decides what may be done with the weights."
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


def _left_out(figures: Sequence[Mapping]) -> list[str]:
    """How the same system does on languages that it has never heard."""
    if not figures:
        return []
    mean = sum(figure["uar"] for figure in figures) / len(figures)
    return [
        "This model has heard all of its languages. What to expect of another, the same "
        "system says with each of them left out in turn (whole corpus, mean over seeds):",
        "",
        "| left out | language | utterances | UAR (%) | 95 % interval over |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {one['target']} | {language_name(one['language'])} | {one['utterances']} | "
            f"{one['uar']:.1f} | {one['low']:.1f} to {one['high']:.1f}, {one['unit']} |"
            for one in figures
        ),
        f"| mean | | | {mean:.1f} | |",
        "",
    ]


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
