"""Options that several commands have, and what they lead to."""

import argparse
import contextlib
import gc
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.errors import UserError
from data_prep.outside import Printable
from xser_brain.cli.lists import read_list
from xser_brain.starter import NAME as STARTER

if TYPE_CHECKING:
    from xser_brain.inference import Classifier


def add_model_and_device(
    parser: argparse.ArgumentParser, default: str | None = None
) -> None:
    """A model, and where it runs; one by default, if that makes sense."""
    add_model(parser, default)
    parser.add_argument(
        "--revision",
        metavar="COMMIT",
        help="of a model of the hub, as NAME@COMMIT; a branch or tag may change",
    )
    add_device(parser)


def add_model(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """A model."""
    optional = {"nargs": "?", "default": default} if default else {}
    parser.add_argument(
        "model",
        **optional,
        help="a run's folder, its model/, a name on the hub (NAME@COMMIT), or "
        f"{STARTER}: the model that comes with xser, whose encoder the hub has",
    )
    add_import(parser)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Modules of the user's own."""
    parser.add_argument(
        "--import",
        action="append",
        default=[],
        dest="modules",
        metavar="MODULE",
        help="import a module of your own first, as one with the class of the model's "
        "encoder; it is looked for in the current folder too, as by `python -m`",
    )


def import_modules(names: Sequence[str]) -> None:
    """Import modules, also those of the current folder; UserError if one fails."""
    if names:
        sys.path.insert(0, os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # it is the user's code: anything may happen
            reason = f"no module {name}"
            if getattr(error, "name", None) != name:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"--import={name} failed ({reason[:200]})") from error


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where a model runs, and where its encoder is."""
    parser.add_argument("--device", help="as cpu or cuda:1; default: a GPU if any")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    add_encoder(parser)


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """Where the pretrained encoder is."""
    parser.add_argument(
        "--encoder_source",
        metavar="DIR",
        help="where the pretrained encoder lies, if not where it was in training",
    )


def add_recordings(parser: argparse.ArgumentParser) -> None:
    """Recordings, how long ones are cut, and how much is worked on at once."""
    paths = parser.add_argument(
        "paths",
        nargs="+",
        default=[],
        metavar="PATH",
        help="recordings, videos too, or folders of them",
    )
    # Not by "*", of which argparse takes none as soon as an option stands before them.
    paths.required = False
    parser.add_argument(
        "--list",
        metavar="FILE",
        help="recordings that a file names, by a column path of a CSV or one path a "
        "line, relative to its folder; - reads standard input",
    )
    for name, default, text in (
        ("window", 6.0, "seconds of a window of long recordings"),
        ("overlap", 0.5, "share of a window that the next one covers too"),
        ("batch_seconds", 60.0, "seconds of audio that the encoder takes at once"),
    ):
        text += "; default: %(default)s"
        parser.add_argument(f"--{name}", type=float, default=default, help=text)
    parser.add_argument(
        "--noprogressbar", action="store_true", help="show no progress bar"
    )


def recordings(args: argparse.Namespace) -> list[str]:
    """The files and folders that are asked for.

    UserError if one is not there; what a list names is told apart, as any recording
    that cannot be read.
    """
    for path in args.paths:
        if not os.path.exists(path):
            raise UserError(f"no file or folder {path}")
    listed = read_list(args.list) if args.list else []
    if not args.paths and not args.list:
        raise UserError("no recordings: name files or folders, or pass --list=FILE")
    return args.paths + listed


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage, which is a sixth of the time that imports take.

    What they make stays, and is looked through again and again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@uncollected()
def windows(args: argparse.Namespace) -> dict:
    """How they are cut and taken, for ``load``."""
    from xser_brain.inference.recordings import Windows

    return {
        "windows": Windows(args.window, args.overlap),
        "batch_seconds": args.batch_seconds,
    }


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Finished runs."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folders of finished runs, or folders of these",
    )


def add_out(parser: argparse.ArgumentParser) -> None:
    """Where tables and figures over several runs go."""
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="for tables and figures; default: the folder that all runs are in",
    )


def add_threshold(parser: argparse.ArgumentParser) -> None:
    """When to be unsure."""
    parser.add_argument(
        "--threshold",
        type=float,
        help="probability below which an emotion is called unsure; default: the model's",
    )


@uncollected()
def load(args: argparse.Namespace, **options) -> "Classifier":
    """Load the model that is asked for; options are those of ``from_pretrained``."""
    from xser_brain.inference import Classifier

    # So that it is shown where the model and its pretrained encoder come from.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable("%(message)s"))
    logging.basicConfig(handlers=[handler])
    for name in ("xser_brain.encoders.weights", "xser_brain.inference.sources"):
        logging.getLogger(name).setLevel(logging.INFO)
    return Classifier.from_pretrained(
        args.model,
        args.device,
        args.precision,
        revision=getattr(args, "revision", None),
        encoder_source=args.encoder_source,
        **options,
    )
