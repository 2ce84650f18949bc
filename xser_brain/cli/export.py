"""``xser export``: a model with its encoder, as ONNX, for transformers, or its encoder."""

import argparse
from pathlib import Path

from data_prep.errors import UserError
from xser_brain.cli.arguments import add_model_and_device

TEXT = (
    "Write a trained model with its encoder, as ONNX, or for transformers alone; or the "
    "encoder that it has adapted."
)
FORMATS = ("whole", "onnx", "transformers", "encoder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser export``."""
    add_model_and_device(parser)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument(
        "--whole",
        type=Path,
        metavar="DIR",
        help="write the model with its pretrained encoder, which then needs nothing else",
    )
    choice.add_argument(
        "--onnx",
        type=Path,
        metavar="FILE",
        help="write an ONNX graph: 16 kHz samples of utterances to probabilities",
    )
    choice.add_argument(
        "--format",
        choices=FORMATS,
        help="transformers: a folder that its pipeline loads without this package; "
        "encoder: the adapted encoder alone, LoRA merged, for other runs "
        "(--encoder_source=DIR); the others are as above",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="where to, with --format; default: model-whole, model.onnx, "
        "model-transformers or model-encoder in the current folder",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser export``."""
    from xser_brain.inference.sources import model_folder

    kind, out = _asked(args)
    folder = model_folder(args.model, args.revision)
    if kind == "whole":
        from xser_brain.models.export import bundle as write
    elif kind == "onnx":
        from xser_brain.inference.to_onnx import export_onnx as write
    elif kind == "encoder":
        from xser_brain.models.to_encoder import export_encoder as write
    else:
        from xser_brain.models.to_transformers import export_transformers as write
    write(folder, out, args.encoder_source)
    print(f"written to {out.resolve()}")
    return 0


def _asked(args: argparse.Namespace) -> tuple[str, Path]:
    """The format, and where it goes."""
    if args.format:
        default = "model.onnx" if args.format == "onnx" else f"model-{args.format}"
        return args.format, args.output or Path(default)
    if args.output:
        raise UserError("--output goes with --format; --whole and --onnx name a place")
    return ("whole", args.whole) if args.whole else ("onnx", args.onnx)
