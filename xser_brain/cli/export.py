"""``xser export``: a model with its encoder, or as ONNX."""

import argparse
from pathlib import Path

from xser_brain.cli.arguments import add_model_and_device

TEXT = "Write a trained model with its encoder, or as ONNX."


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
        help="write an ONNX graph: 16 kHz samples of one utterance to probabilities",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser export``."""
    from xser_brain.inference.sources import model_folder

    folder = model_folder(args.model, args.revision)
    if args.whole:
        from xser_brain.models.export import bundle

        bundle(folder, args.whole, args.encoder_source)
    else:
        from xser_brain.inference.to_onnx import export_onnx

        export_onnx(folder, args.onnx, args.encoder_source)
    print(f"written to {(args.whole or args.onnx).resolve()}")
    return 0
