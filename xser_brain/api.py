"""Training from Python, as a recipe does it from the command line."""

from dataclasses import fields
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from xser_brain import recipes
from xser_brain.protocol import Setting, System
from xser_brain.training.run import carry_out
from xser_brain.training.spec import describe

RECIPE = "en_de/hparams/iemocap_to_emodb.yaml"


def train(
    setting: Setting,
    system: System | str = "proposed",
    recipe: str | Path | None = None,
    **options,
) -> Path:
    """Train and score a system, with the same guard, resume and artefacts as a recipe.

    Arguments
    ---------
    setting : Setting
        Which corpora play which part.
    system : System or str
        An object, or the name or path that ``--system`` takes.
    recipe : path, optional
        Whose other values hold; by default those of ``recipes/common``.
    **options
        Any keys of the recipe and run options of SpeechBrain, as on a command line;
        those with dots in a dict: ``**{"objectives.supcon.temperature": 0.2}``.

    Returns
    -------
    Path
        The run's folder; ``Classifier.from_pretrained`` takes it.

    Example
    -------
    >>> setting = Setting(("ravdess",), ("urdu",), "emodb")
    >>> folder = train(setting, "baseline2", data_root="/corpora")  # doctest: +SKIP
    """
    recipe = recipe or recipes.folder() / RECIPE
    known = {field.name for field in fields(RunOptions)}
    given = {key: options.pop(key) for key in [*options] if key in known}
    run_opts = RunOptions.from_dictionary({"param_file": str(recipe), **given})
    overrides = {
        "source": list(setting.source),
        "non_target": list(setting.non_target),
        "target": setting.target,
        **{key: str(v) if isinstance(v, Path) else v for key, v in options.items()},
    }
    if isinstance(system, System):
        return carry_out(describe(recipe, overrides, system), run_opts)
    return carry_out(describe(recipe, {**overrides, "system": str(system)}), run_opts)
