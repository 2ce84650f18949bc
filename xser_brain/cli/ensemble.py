"""``xser ensemble``: several runs as one model."""

import argparse
from pathlib import Path

from xser_brain.cli.arguments import add_encoder, add_import

TEXT = "Write one model of several runs of one target: the mean of what they say."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser ensemble``."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folders of finished zero-shot runs with one frozen encoder, as those of "
        "several seeds",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where the model goes"
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="put the pretrained encoder in, so that the model needs nothing else",
    )
    add_encoder(parser)
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser ensemble``."""
    from xser_brain.evaluation.summary import in_words
    from xser_brain.models.ensemble import join

    record = join(args.runs, args.out, args.encoder_source, args.whole)
    target = record["setting"]["target"]
    for name, part in (("target_test", "test part"), ("target_all", "whole corpus")):
        if record[name]:
            print(
                f"{target}, {part}, n = {record[name]['n']}: UAR {in_words(record[name])}"
            )
    print(f"written to {args.out.resolve()}")
    return 0
