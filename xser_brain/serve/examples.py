"""Recordings to try the page on: a few clips of stand-ins."""

import logging
import tempfile
from pathlib import Path

from data_prep import corpus, standin
from data_prep.errors import UserError
from data_prep.prepare import walk
from xser_brain.models.card import language_name

logger = logging.getLogger(__name__)
LANGUAGES = 2


def write_examples(folder: Path, config: dict) -> dict[str, Path]:
    """Make synthetic speech: a clip an emotion, in the target's and another language.

    Arguments
    ---------
    folder : Path
        Where to.
    config : dict
        Of the exported model, which decides on the languages.

    Returns
    -------
    dict of str to Path
        By language and emotion; none without espeak-ng, which is logged.
    """
    preferred = config["result"]["target"], *config["training"]["corpora"]
    chosen: dict[str, str] = {}
    for name in (*preferred, *standin.CORPORA):
        if name in standin.CORPORA and len(chosen) < LANGUAGES:
            chosen.setdefault(corpus.get(name).language, name)
    folder.mkdir(parents=True, exist_ok=True)
    examples = {}
    try:
        for language, name in chosen.items():
            with tempfile.TemporaryDirectory(dir=folder.parent) as made:
                clips = Path(made) / name
                standin.write(name, clips, speakers=1, sentences=1, progress=False)
                found = walk(corpus.get(name), clips)[0]
                for clip in sorted(found, key=lambda clip: clip.emotion):
                    emotion = corpus.get(name).emotion(clip.emotion)
                    label = f"{language_name(language)}, {emotion}"
                    examples[label] = folder / f"{label}.wav"
                    (clips / clip.path).rename(examples[label])
    except UserError as error:
        logger.warning("no examples on the page: %s", error)
    return examples
