"""Options that several commands have, and what they lead to."""

import argparse
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xser_brain.inference import Classifier


def add_model_and_device(parser: argparse.ArgumentParser) -> None:
    """A model, and where it runs."""
    add_model(parser)
    add_device(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    """A model."""
    parser.add_argument(
        "model", help="a run's folder, its model/, or a name on the hub"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where a model runs, and where its encoder lies."""
    parser.add_argument("--device", help="as cpu or cuda:1; default: a GPU if any")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    add_encoder(parser)


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """Where the pretrained encoder lies."""
    parser.add_argument(
        "--encoder_source",
        metavar="DIR",
        help="where the pretrained encoder lies, if not where it was in training",
    )


def add_threshold(parser: argparse.ArgumentParser) -> None:
    """When to be unsure."""
    parser.add_argument(
        "--threshold",
        type=float,
        help="probability below which an emotion is called unsure; default: the model's",
    )


def load(args: argparse.Namespace, **options) -> "Classifier":
    """Load the model that is asked for.

    Arguments
    ---------
    args : argparse.Namespace
        From a parser with ``add_model_and_device``.
    **options
        For ``Classifier.from_pretrained``.

    Returns
    -------
    Classifier
    """
    from xser_brain.inference import Classifier

    # So that it is shown where the pretrained encoder comes from.
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("xser_brain.inference").setLevel(logging.INFO)
    return Classifier.from_pretrained(
        args.model,
        args.device,
        args.precision,
        encoder_source=args.encoder_source,
        **options,
    )
