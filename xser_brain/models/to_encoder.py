"""The encoder that a run has adapted, for other runs to begin with.

LoRA is merged into its weights, so that it is read as any pretrained encoder is
(``--encoder_source=DIR``): by a system that fits a frozen one, as ``robust``. Its
configuration names the corpora that it has heard (``adapted_on``), and no run takes it
that does not train on all of them: the target's would be no zero-shot result.
"""

import shutil
from pathlib import Path

from data_prep.errors import UserError
from xser_brain.encoders.adapters import merge
from xser_brain.encoders.pretrained import PretrainedEncoder
from xser_brain.encoders.weights import FILES, write_encoder
from xser_brain.inference.loading import load
from xser_brain.models.export import UNFINISHED, located


def export_encoder(
    folder: str | Path, out: str | Path, encoder_source: str | None = None
) -> None:
    """Write the adapted encoder of an exported model as a pretrained one.

    Arguments
    ---------
    folder : path
        A model's folder.
    out : path
        The folder to write; an older encoder there is replaced.
    encoder_source : str, optional
        Where the pretrained encoder is, if it has moved since training.

    Raises
    ------
    UserError
        If the model is damaged, its encoder did not adapt or has parts that a
        pretrained one lacks, or the folder holds something else.
    """
    folder, out = Path(folder), Path(out)
    if out.exists() and not (
        out.is_dir() and {path.name for path in out.iterdir()} <= set(FILES)
    ):
        raise UserError(f"{out} holds something else: pass another --output=DIR")
    model, config = load(folder, encoder_source)
    encoder = model.encoder
    if not isinstance(encoder, PretrainedEncoder):
        raise UserError(
            f"{folder} has an encoder of the family {encoder.family}, not a pretrained "
            "one: train with --encoder=whisper or another"
        )
    if encoder.adaptation == "frozen":
        raise UserError(
            f"the encoder of {folder} is {encoder.source} as it was, for it was frozen: "
            "use that, or train with --adaptation=lora"
        )
    if encoder.adaptation not in ("lora", "full"):
        raise UserError(
            f"{folder} has bottleneck adapters, for which a pretrained encoder has no "
            "place: train with --adaptation=lora or full"
        )
    temporary = out.with_name(out.name + UNFINISHED)
    shutil.rmtree(temporary, ignore_errors=True)
    write_encoder(
        located(folder, config["encoder"], encoder_source),
        temporary,
        merge(encoder).core.pretrained_state(),
        config["training"]["corpora"],
    )
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
