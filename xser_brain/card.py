"""The card of an exported model: what it is, how good, and what it is not for."""

from transformers.models.whisper.tokenization_whisper import LANGUAGES

from data_prep import corpus
from data_prep.errors import UserError


def card(config: dict) -> str:
    """Write a model card from an exported model's configuration.

    Arguments
    ---------
    config : dict
        ``config.json``.

    Returns
    -------
    str
        Markdown with the hub's front matter.
    """
    training, result = config["training"], config["result"]
    encoder = config["encoder"]
    made_of = encoder.get("source", "ECAPA-TDNN, trained from scratch")
    languages = ", ".join(map(_language, training["languages"]))
    lines = [
        "---",
        "library_name: speechbrain",
        "pipeline_tag: audio-classification",
        "tags: [speech-emotion-recognition, speechbrain, xser]",
        f"language: [{', '.join(training['languages'])}]",
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
        "```python",
        "from xser_brain.inference import Classifier",
        "",
        'classifier = Classifier.from_pretrained("FOLDER OR HUB NAME")',
        'print(classifier("clip.wav"))',
        "```",
        "",
        "On the command line `xser predict MODEL clip.wav folder/`; with SpeechBrain "
        "`EncoderClassifier.from_hparams(source=MODEL)`. Loading it with `Classifier` "
        "runs no code of this folder.",
        "",
        "## What it was trained on",
        "",
        "| corpus | language | licence |",
        "| --- | --- | --- |",
        *map(_corpus_row, training["corpora"]),
        "",
        f"{training['utterances']} utterances of {training['speakers']} speakers; "
        f"system {training['system']}, seed {training['seed']}; encoder: {made_of}"
        + (f" ({encoder['options']['adaptation']})" if "source" in encoder else "")
        + ".",
        "",
        "## How good it is",
        "",
        f"On {result['target']} ({_language(result['language'])}), "
        f"{result['protocol']}:",
        "",
        "| part | utterances | UAR (%) | 95 % interval | macro-F1 (%) | 95 % interval |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            _result_row(name, result[part])
            for part, name in (("test", "test part"), ("all", "whole corpus"))
            if result[part]
        ),
        "",
        _confidence(config["calibration"]),
        "",
        "## Limits",
        "",
        "- The corpora are mostly acted, recorded in quiet rooms, with few speakers: "
        "spontaneous speech, noise and telephones are harder than these figures.",
        "- It hears how something is said, in four classes; it knows no others, and no "
        "words.",
        "- Languages, ages and accents that are not in the table above may fare worse.",
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


def _language(code: str) -> str:
    return LANGUAGES.get(code, code).title()


def _corpus_row(name: str) -> str:
    try:
        known = corpus.get(name)
    except UserError:
        return f"| {name} | | |"
    return f"| {known.title} | {known.language} | {known.licence} |"


def _result_row(name: str, result: dict) -> str:
    cells = [name, str(result["n"])]
    for key in ("uar", "macro_f1"):
        low, high = result["ci95"][key]
        cells += [f"{result[key]:.1f}", f"{low:.1f}-{high:.1f}"]
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
