"""``xser evaluate``: an honest score for finished models."""

import argparse
import sys
import tempfile
from pathlib import Path

from data_prep.audio import LONGEST
from data_prep.errors import UserError
from data_prep.outside import printable
from xser_brain.cli.arguments import add_device, add_import, load

TEXT = "Score trained models on corpora and labelled tables, beside each other."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser evaluate``."""
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a run's folder, its model/, or a name on the hub (NAME@COMMIT)",
    )
    parser.add_argument(
        "--corpus",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names of `python -m data_prep list`, or of tables imported into --manifests",
    )
    parser.add_argument(
        "--table",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="CSV files with the columns path and emotion, and speaker, language and "
        "gender where they are known",
    )
    parser.add_argument(
        "--data_root",
        type=Path,
        metavar="DIR",
        help="the folder of the corpora, and of what tables name; default for tables: "
        "their own folder",
    )
    parser.add_argument(
        "--manifests",
        type=Path,
        metavar="DIR",
        help="keep the corpora's manifests here, to be used again; default: nowhere",
    )
    parser.add_argument(
        "--splits", metavar="POLICY", help="of the corpora; default: each corpus' own"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write evaluation.md, .csv and .json, with all details, into this folder",
    )
    parser.add_argument(
        "--batch_seconds", type=float, default=60.0, help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--noprogressbar", action="store_true", help="show no progress bar"
    )
    add_device(parser)
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser evaluate``; 1 if some recordings could not be scored."""
    from xser_brain.evaluation.scoring import score
    from xser_brain.inference.recordings import Windows
    from xser_brain.reports import leaderboard

    for models in (args.models, args.corpus, [path.stem for path in args.table]):
        for name in models:
            if models.count(name) > 1:
                raise UserError(f"{name} is given twice: give it once")
    materials = _materials(args)
    scored = []
    for name in args.models:
        asked = argparse.Namespace(**{**vars(args), "model": name})
        classifier = load(
            asked, windows=Windows(above=LONGEST), batch_seconds=args.batch_seconds
        )
        for material in materials:
            shown = printable(classifier.name or name)
            scored.append(score(classifier, shown, material, not args.noprogressbar))
    failed = {}
    for item in scored:
        failed |= item.failed
    for path, reason in failed.items():
        print(f"{printable(path)}: error: {printable(reason)}", file=sys.stderr)
    for item in scored:
        if not item.rows:
            raise UserError(
                f"no recording of {item.material.name} could be scored by {item.model}"
            )
    entries = leaderboard.entries(scored)
    whole = len(entries) == 1
    print(leaderboard.as_markdown(entries, whole))
    if args.out:
        for path in leaderboard.write_all(entries, args.out):
            print(path)
    elif not whole:
        print("\nwhat is taken for what, and all by speaker, sex and length: --out=DIR")
    return int(bool(failed))


def _materials(args: argparse.Namespace) -> list:
    from xser_brain.evaluation import material

    if not (args.corpus or args.table):
        raise UserError("nothing to score on: pass --corpus=NAME or --table=FILE")
    if args.corpus and not args.data_root:
        raise UserError(
            "--corpus needs --data_root=DIR, which holds one folder per corpus"
        )
    if args.data_root and not args.data_root.is_dir():
        raise UserError(f"no folder {args.data_root}: pass another --data_root")
    with tempfile.TemporaryDirectory(prefix="xser-") as scratch:
        manifests = args.manifests or Path(scratch)
        found = [
            material.of_corpus(name, args.data_root, manifests, args.splits)
            for name in args.corpus
        ]
    found += [material.of_table(path, args.data_root) for path in args.table]
    names = [item.name for item in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"a corpus and a table are called {name}: rename the table")
    return found
