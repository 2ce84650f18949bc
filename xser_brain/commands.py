"""The commands of ``xser`` that use a trained model.

Heavy imports wait until a command runs.
"""

import argparse
import contextlib
import csv
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from data_prep.errors import UserError
from data_prep.manifest import NOT_UTF8

FORMATS = ("text", "csv", "json")


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser predict``.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    """
    _add_model_arguments(parser)
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="audio files, or folders of them"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="csv, json (one object a line) or text; default: %(default)s",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of stdout")
    parser.add_argument(
        "--timeline",
        action="store_true",
        help="also the emotions of overlapping windows",
    )
    for name, default, text in (
        ("window", 6.0, "seconds of a window"),
        ("overlap", 0.5, "share of a window that the next one hears again"),
        ("batch_seconds", 60.0, "seconds of audio that the encoder takes at once"),
    ):
        text += "; default: %(default)s"
        parser.add_argument(f"--{name}", type=float, default=default, help=text)
    _add_threshold_argument(parser)
    parser.add_argument(
        "--normalise",
        choices=("corpus", "speaker"),
        help="another protocol than zero-shot: standardise embeddings by all recordings "
        "given, or by those of the same speaker",
    )
    parser.add_argument(
        "--speakers",
        metavar="REGEX|FILE",
        help="for --normalise=speaker: a pattern whose first group, found in the path, "
        "is the speaker, or a CSV file with the columns path and speaker; default: the "
        "folder a file lies in",
    )
    parser.add_argument(
        "--noprogressbar", action="store_true", help="show no progress bar"
    )


def predict(args: argparse.Namespace) -> int:
    """Carry out ``xser predict``.

    Arguments
    ---------
    args : argparse.Namespace
        From a parser with ``add_predict_arguments``.

    Returns
    -------
    int
        0, or 1 if some recordings could not be classified.

    Raises
    ------
    UserError
        On a mistake that the user can mend.
    """
    from xser_brain.inference.recordings import Windows

    for path in args.paths:
        if not os.path.exists(path):
            raise UserError(f"no file or folder {path}")
    if args.speakers and args.normalise != "speaker":
        raise UserError("--speakers is for --normalise=speaker: pass both or neither")
    speakers = _speakers(args.speakers) if args.speakers else None
    classifier = _load(
        args,
        threshold=args.threshold,
        windows=Windows(args.window, args.overlap),
        batch_seconds=args.batch_seconds,
    )
    results = classifier.classify(
        args.paths, args.timeline, args.normalise, speakers, not args.noprogressbar
    )
    done = failed = 0
    with _opened(args.output) as stream:
        write = WRITERS[args.format](stream, args.timeline)
        try:
            for result in results:
                done, failed = done + 1, failed + bool(result.error)
                write(result)
                stream.flush()
        except BrokenPipeError:  # who reads has read enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            return 0
    if not done:
        raise UserError(f"no audio files in {', '.join(args.paths)}")
    where = f", written to {args.output}" if args.output else ""
    print(f"{done - failed} of {done} recordings classified{where}", file=sys.stderr)
    return int(failed > 0)


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser export``.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    """
    _add_model_arguments(parser)
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


def export(args: argparse.Namespace) -> int:
    """Carry out ``xser export``.

    Arguments
    ---------
    args : argparse.Namespace
        From a parser with ``add_export_arguments``.

    Returns
    -------
    int
        0.

    Raises
    ------
    UserError
        On a mistake that the user can mend.
    """
    from xser_brain.inference.sources import model_folder

    folder = model_folder(args.model)
    if args.whole:
        from xser_brain.export import bundle

        bundle(folder, args.whole, args.encoder_source)
    else:
        from xser_brain.inference.to_onnx import export_onnx

        export_onnx(folder, args.onnx, args.encoder_source)
    print(f"written to {(args.whole or args.onnx).resolve()}")
    return 0


def add_publish_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser publish``.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    """
    _add_model_argument(parser)
    parser.add_argument(
        "--repo", required=True, metavar="OWNER/NAME", help="made if it is not there"
    )
    parser.add_argument("--private", action="store_true", help="seen by its owner only")
    parser.add_argument(
        "--revision", default="main", metavar="BRANCH", help="default: %(default)s"
    )
    parser.add_argument(
        "--licence",
        default="other",
        metavar="ID",
        help="of the weights, as the hub names it (cc-by-nc-sa-4.0); default: %(default)s",
    )
    parser.add_argument(
        "--whole", action="store_true", help="publish the pretrained encoder too"
    )
    parser.add_argument(
        "--encoder",
        metavar="NAME[@REVISION]",
        help="where on the hub anyone gets the pretrained encoder, if it was a folder",
    )
    _add_encoder_argument(parser)
    parser.add_argument(
        "--dry_run",
        "--dry-run",
        action="store_true",
        help="send nothing, write the folder that would be published",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="of a dry run; default: the repository's name, in this folder",
    )


def publish(args: argparse.Namespace) -> int:
    """Carry out ``xser publish``.

    Arguments
    ---------
    args : argparse.Namespace
        From a parser with ``add_publish_arguments``.

    Returns
    -------
    int
        0.

    Raises
    ------
    UserError
        On a mistake that the user can mend.
    """
    from xser_brain import publish as hub
    from xser_brain.inference.sources import model_folder

    if args.output and not args.dry_run:
        raise UserError("--output is for --dry_run: pass both or neither")
    hub.check_names(args.repo, args.revision, args.licence)
    encoder = hub.encoder_name(args.encoder) if args.encoder else None
    if not args.dry_run:
        hub.require_token()
    folder = model_folder(args.model)
    output = args.output or Path(args.repo.rpartition("/")[2])
    if args.dry_run:
        hub.require_replaceable(output, folder)
    with _scratch(output.parent if args.dry_run else None) as scratch:
        staged = scratch / "model"
        hub.assemble(
            folder,
            staged,
            args.repo,
            revision=args.revision,
            licence=args.licence,
            whole=args.whole,
            encoder=encoder,
            encoder_source=args.encoder_source,
            offline=args.dry_run,
        )
        sizes = hub.contents(staged)
        for name, size in sizes.items():
            print(f"{size / 1e6:10.2f} MB  {name}")
        print(f"{sum(sizes.values()) / 1e6:10.2f} MB in {len(sizes)} files", flush=True)
        if args.dry_run:
            hub.replace(staged, output)
            print(f"dry run, nothing sent: written to {output.resolve()}")
            return 0
        address, changed = hub.push(
            staged,
            args.repo,
            revision=args.revision,
            private=args.private,
            encoder=encoder,
        )
    print(f"{'published' if changed else 'nothing new, published before'}: {address}")
    return 0


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser serve``.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    """
    from xser_brain.serve.limits import Limits

    _add_model_arguments(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; default: %(default)s, which only this machine "
        "reaches. Browsers give a microphone to pages of their own machine or of https",
    )
    parser.add_argument(
        "--port", type=int, help="default: the first free one from 7860 on"
    )
    parser.add_argument(
        "--open", action="store_true", help="open the page in a browser"
    )
    texts = {
        "megabytes": "most that a recording may have",
        "seconds": "most that a recording may last",
        "at_once": "recordings classified at a time",
        "waiting": "most recordings that wait for their turn",
    }
    for name, default in vars(Limits()).items():
        parser.add_argument(
            f"--{name}",
            type=type(default),
            default=default,
            help=f"{texts[name]}; default: %(default)s",
        )
    _add_threshold_argument(parser)


def serve(args: argparse.Namespace) -> int:
    """Carry out ``xser serve``.

    Arguments
    ---------
    args : argparse.Namespace
        From a parser with ``add_serve_arguments``.

    Returns
    -------
    int
        0, when it is told to stop.

    Raises
    ------
    UserError
        On a mistake that the user can mend.
    """
    from xser_brain.serve.limits import Limits
    from xser_brain.serve.server import serve

    limits = Limits(**{name: getattr(args, name) for name in vars(Limits())})
    classifier = _load(args, threshold=args.threshold)
    serve(classifier, limits, args.host, args.port, args.open)
    return 0


def add_transductive_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser transductive``.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    """
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs"
    )
    parser.add_argument(
        "--data_root", type=Path, help="where the corpora lie; default: where they were"
    )
    _add_device_arguments(parser)


def transductive(args: argparse.Namespace) -> int:
    """Carry out ``xser transductive``.

    Arguments
    ---------
    args : argparse.Namespace
        From a parser with ``add_transductive_arguments``.

    Returns
    -------
    int
        0.

    Raises
    ------
    UserError
        On a mistake that the user can mend.
    """
    from xser_brain.inference.transductive import NAME, score_run

    for run in args.runs:
        figures = score_run(
            run,
            data_root=args.data_root,
            progress=True,
            device=args.device,
            precision=args.precision,
            encoder_source=args.encoder_source,
        )
        print(run)
        for protocol, parts in figures["protocols"].items():
            for part, result in parts.items():
                if result:
                    low, high = result["ci95"]["uar"]
                    gain = result["gain"]
                    print(
                        f"  {protocol}, {part}, n = {result['n']}: UAR "
                        f"{result['uar']:.2f} % (95 % interval {low:.1f}-{high:.1f}), "
                        f"{gain['uar']:+.2f} points on zero-shot (95 % interval "
                        f"{gain['ci95'][0]:+.1f} to {gain['ci95'][1]:+.1f})"
                    )
        print(f"written to {(run / NAME).resolve()}")
    return 0


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    _add_model_argument(parser)
    _add_device_arguments(parser)


def _add_model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", help="a run's folder, its model/, or a name on the hub"
    )


def _add_threshold_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=float,
        help="probability below which an emotion is called unsure; default: the model's",
    )


def _add_device_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="as cpu or cuda:1; default: a GPU if any")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    _add_encoder_argument(parser)


def _add_encoder_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoder_source",
        metavar="DIR",
        help="where the pretrained encoder lies, if not where it was in training",
    )


def _load(args: argparse.Namespace, **options):
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


@contextlib.contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    """A folder for as long as it is needed, in another or where the system has it."""
    try:
        if parent:
            parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".xser-", dir=parent)
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from error
    with scratch as name:
        yield Path(name)


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


def _speakers(text: str) -> Callable[[str], str]:
    """From path to speaker, by a CSV file or a pattern."""
    if text.lower().endswith(".csv"):
        try:
            with open(text, newline="", encoding="utf-8") as stream:
                named = {
                    os.path.realpath(row["path"]): row["speaker"]
                    for row in csv.DictReader(stream)
                }
        except (OSError, KeyError, UnicodeDecodeError) as error:
            raise UserError(
                f"{text} cannot be read as CSV with the columns path and speaker: {error}"
            ) from error
        return lambda path: _found(named.get(os.path.realpath(path)), path, text)
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"--speakers={text} is no pattern: {error}") from error
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


def _csv_writer(stream: TextIO, timeline: bool) -> Callable:
    """One row a recording, or a window where a time line is wanted."""
    from data_prep.manifest import EMOTIONS

    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["path", "part", "start", "end", "emotion", "predicted",
         *(f"p_{emotion}" for emotion in EMOTIONS), "protocol", "error"]
    )  # fmt: skip

    def write(result) -> None:
        parts = [("recording", result)]
        parts += [("window", part) for part in (result.timeline if timeline else ())]
        for name, part in parts:
            seconds = [f"{part.start:.3f}", f"{part.end:.3f}"]
            probabilities = [f"{p:.6f}" for p in part.probabilities.values()]
            writer.writerow(
                [part.path, name, *seconds, part.emotion, part.predicted,
                 *(probabilities or [""] * len(EMOTIONS)), part.protocol, part.error]
            )  # fmt: skip

    return write


def _json_writer(stream: TextIO, timeline: bool) -> Callable:
    """One object a line."""

    def write(result) -> None:
        values = result.to_dict()
        if not timeline:
            values.pop("timeline", None)
        stream.write(json.dumps(values, ensure_ascii=False) + "\n")

    return write


def _text_writer(stream: TextIO, timeline: bool) -> Callable:
    """For people."""

    def described(part) -> str:
        ranked = sorted(part.probabilities.items(), key=lambda item: -item[1])
        return f"{part.emotion:8} " + "  ".join(
            f"{name} {100 * p:.0f} %" for name, p in ranked
        )

    def write(result) -> None:
        what = f"error: {result.error}" if result.error else described(result)
        note = "" if result.protocol == "zero-shot" else f"  [{result.protocol}]"
        stream.write(f"{result.path}: {what}{note}\n")
        for part in result.timeline if timeline else ():
            stream.write(f"  {part.start:8.1f} -{part.end:8.1f} s  {described(part)}\n")

    return write


WRITERS = {"text": _text_writer, "csv": _csv_writer, "json": _json_writer}
