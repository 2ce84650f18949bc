"""Files of a new recipe: a YAML and, for a new language pair, its folder."""

from pathlib import Path
from string import Template

from data_prep import corpus
from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from xser_brain.protocol import Setting
from xser_brain.recipes import COMMON, find_piece, pieces_beside
from xser_brain.recipes import folder as installed

RECIPE = Template("""\
# $source ($source_language) to $target ($target_language)$others.
# python train.py hparams/$name.yaml --data_root=/corpora
source: $sources
non_target: [$non_target]
target: $target_name
encoder: $encoder    # a file of recipes/common/encoders

run: !include:../../common/run.yaml
training: !include:../../common/training.yaml
objectives: !include:../../common/objectives.yaml
model: !include:../../common/encoders/$$encoder.yaml
adapt: !include:../../common/adaptation.yaml
""")
README = Template("""\
# $source_language to $target_language

```bash
python train.py hparams/$name.yaml --data_root=/corpora
python train.py hparams/$name.yaml --data_root=/corpora --system=baseline1
```

Every key that `python train.py hparams/$name.yaml --help` shows can be given as
`--key=value`.
""")


def new_recipe(recipes: Path, setting: Setting, encoder: str) -> list[Path]:
    """Write a recipe's YAML and, where they are missing, train.py and README.md.

    Arguments
    ---------
    recipes : Path
        The folder to write into. It may hold pieces of its own in ``common``; the
        others are those of the package.
    setting : Setting
        Which corpora play which part.
    encoder : str
        A piece of ``common/encoders``.

    Returns
    -------
    list of Path
        The files written, the YAML first.

    Raises
    ------
    UserError
        If there is such a recipe already, a corpus or the encoder is unknown, or a
        corpus is of the target's language.
    """
    piece = recipes / f"{COMMON}/encoders/{encoder}.yaml"
    if not find_piece(piece).is_file():
        there = ", ".join(pieces_beside(piece))
        raise UserError(f"unknown encoder {encoder!r}: there are {there}")
    target = corpus.get(setting.target)
    others = [corpus.get(name) for name in setting.non_target]
    sources = [corpus.get(name) for name in setting.source]
    for item in (*sources, *others):
        if item.language == target.language:
            raise UserError(
                f"{item.name} is of the target's language ({target.language}): zero-shot "
                "needs others; leave it out"
            )
    folder = recipes / f"{sources[0].language}_{target.language}"
    path = folder / f"hparams/{setting.name}.yaml"
    if path.exists():
        raise UserError(f"{path} is there already: edit it, or remove it first")
    values = {
        "name": setting.name,
        "source": ", ".join(item.title for item in sources),
        "source_language": sources[0].language,
        "target": target.title,
        "target_language": target.language,
        "others": f"; {', '.join(item.title for item in others)} are trained on too"
        if others
        else "",
        "sources": setting.source[0]
        if len(setting.source) == 1
        else f"[{', '.join(setting.source)}]",
        "non_target": ", ".join(setting.non_target),
        "target_name": setting.target,
        "encoder": encoder,
    }
    texts = {path: RECIPE.substitute(values)}
    train = (installed() / "en_de/train.py").read_text(encoding="utf-8")
    for name, text in (("train.py", train), ("README.md", README.substitute(values))):
        if not (folder / name).exists():
            texts[folder / name] = text
    for file, text in texts.items():
        write_atomic(file, text.encode())
    return list(texts)
