"""``xser predict``: label recordings."""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from data_prep.errors import UserError
from data_prep.manifest import NOT_UTF8
from data_prep.outside import read_csv
from xser_brain.adaptation import PROTOCOLS
from xser_brain.cli.arguments import (
    add_model_and_device,
    add_recordings,
    add_threshold,
    load,
    recordings,
    windows,
)
from xser_brain.cli.writers import WRITERS

TEXT = "Label recordings with a trained model."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser predict``."""
    add_model_and_device(parser)
    add_recordings(parser)
    parser.add_argument(
        "--format",
        choices=sorted(WRITERS),
        default="text",
        help="csv, json (one object a line) or text; default: %(default)s",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of stdout")
    parser.add_argument(
        "--timeline",
        action="store_true",
        help="also the emotions of overlapping windows",
    )
    add_threshold(parser)
    parser.add_argument(
        "--adapt",
        "--normalise",
        choices=tuple(PROTOCOLS),
        help="another protocol than zero-shot, without labels: standardise embeddings by "
        "all recordings given (corpus), by those of the same speaker, or by those before "
        "each and itself (running); or fit the classifier to all of them (self_training)",
    )
    parser.add_argument(
        "--speakers",
        metavar="REGEX|FILE",
        help="for --adapt=speaker: a pattern whose first group, found in the path, "
        "is the speaker, or a CSV file with the columns path and speaker; default: the "
        "folder a file lies in",
    )
    parser.add_argument(
        "--examples",
        type=Path,
        metavar="FILE",
        help="another protocol, few-shot: fit the classifier anew to the labelled "
        "recordings of a CSV file with the columns path and emotion",
    )
    parser.add_argument(
        "--heard",
        type=Path,
        metavar="FILE",
        help="for --adapt=running: goes on from what this file says was heard, if it is "
        "there, and is written anew at the end",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser predict``; 1 if some recordings could not be classified."""
    sources = recordings(args)
    for name, by in (("speakers", "speaker"), ("heard", "running")):
        if getattr(args, name) and args.adapt != by:
            raise UserError(f"--{name} is for --adapt={by}: pass both or neither")
    if args.examples and args.adapt:
        raise UserError("protocols do not mix: pass --examples or --adapt")
    speakers = _speakers(args.speakers) if args.speakers else None
    examples = read_examples(args.examples) if args.examples else ()
    classifier = load(args, threshold=args.threshold, **windows(args))
    if args.examples:
        classifier = classifier.taught(examples, not args.noprogressbar)
    adapt = args.adapt
    if adapt == "running":
        adapt = classifier.running(
            args.heard if args.heard and args.heard.exists() else None
        )
    results = classifier.classify(
        sources, args.timeline, adapt, speakers, not args.noprogressbar
    )
    done = failed = 0
    with _opened(args.output) as stream:
        write = WRITERS[args.format](
            stream, classifier.labels, args.timeline, classifier.name
        )
        try:
            for result in results:
                done, failed = done + 1, failed + bool(result.error)
                write(result)
                stream.flush()
        except BrokenPipeError:  # who reads has read enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            return 0
    if not done:
        raise UserError(f"no recordings in {', '.join(sources)}")
    if args.heard:
        adapt.save(args.heard)
    where = f", written to {args.output}" if args.output else ""
    print(f"{done - failed} of {done} recordings classified{where}", file=sys.stderr)
    return int(failed > 0)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that appears when all of it is written."""
    if path is None:
        with contextlib.suppress(AttributeError):
            sys.stdout.reconfigure(errors=NOT_UTF8)
        yield sys.stdout
        return
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", -1, "utf-8", NOT_UTF8, "") as stream:
            yield stream
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def read_examples(path: Path) -> list[tuple[str, str]]:
    """Read labelled recordings.

    Arguments
    ---------
    path : Path
        A CSV file with the columns ``path`` and ``emotion``.

    Returns
    -------
    list of (str, str)
        Paths of files, and emotions.

    Raises
    ------
    UserError
        If it cannot be read, or a recording is not there.
    """
    columns = ("path", "emotion")
    rows = read_csv(
        path, "a table of examples", columns, mend="write it with these columns"
    )
    for row in rows:
        if "\0" in row["path"] or not os.path.isfile(row["path"]):
            raise UserError(f"{path} names {row['path']!r:.200}, which is no file")
    return [(row["path"], row["emotion"]) for row in rows]


def _speakers(text: str) -> Callable[[str], str]:
    """From path to speaker, by a CSV file or a pattern."""
    if text.lower().endswith(".csv"):
        what, columns = "a table of speakers", ("path", "speaker")
        rows = read_csv(Path(text), what, columns, mend="write it with these columns")
        named = {os.path.realpath(row["path"]): row["speaker"] for row in rows}
        return lambda path: _found(named.get(os.path.realpath(path)), path, text)
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"--speakers={text} is not a pattern: {error}") from error
    if not pattern.groups:
        raise UserError(f"--speakers={text} has no group: write one, as '/(\\d+)_'")

    def speaker(path: str) -> str:
        match = pattern.search(path)
        return _found(match[1] if match else None, path, text)

    return speaker


def _found(speaker: str | None, path: str, where: str) -> str:
    if not speaker:
        raise UserError(f"{where} names no speaker of {path}")
    return speaker
