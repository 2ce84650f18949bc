"""``python -m data_prep``: list, prepare, check and imitate corpora."""

import argparse
import csv
import logging
import sys
from collections import Counter
from pathlib import Path

from data_prep import audio, corpus, manifest, prepare, standin
from data_prep.errors import UserError

FIELDS = (
    "corpus",
    "language",
    "title",
    "speakers",
    "utterances",
    *manifest.EMOTIONS,
    "splits",
    "licence",
    "homepage",
)


def corpus_table(data_root: Path | None = None) -> list[dict]:
    """Tell what corpora there are, as declared in their files.

    Arguments
    ---------
    data_root : Path, optional
        If given, a column ``on_disk`` tells whether the corpus' folder is there.

    Returns
    -------
    list of dict
        One a corpus, with the keys ``FIELDS``.

    Example
    -------
    >>> corpus_table()[0]["corpus"]
    'cafe'
    """
    rows = []
    for item in corpus.registry().values():
        row = {
            "corpus": item.name,
            "language": item.language,
            "title": item.title,
            "speakers": item.speakers,
            "utterances": item.size,
            **{
                emotion: item.expected.get(emotion, "") for emotion in manifest.EMOTIONS
            },
            "splits": "paper, speaker" if item.paper_split else "speaker",
            "licence": item.licence,
            "homepage": item.homepage,
        }
        if data_root:
            row["on_disk"] = "yes" if item.locate(data_root).is_dir() else "no"
        rows.append(row)
    return rows


def _print_table(rows: list[dict], style: str) -> None:
    if style == "csv":
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if style == "markdown":
        cells.insert(1, ["-" * width for width in widths])
    edge, between = ("| ", " | ") if style == "markdown" else ("", "  ")
    for row in cells:
        line = between.join(v.ljust(w) for v, w in zip(row, widths, strict=True))
        print((edge + line + edge[::-1]).rstrip())


def _list(args: argparse.Namespace) -> None:
    _print_table(corpus_table(args.data_root), args.format)


def _prepare(args: argparse.Namespace) -> None:
    item = corpus.get(args.corpus)
    path = prepare.prepare(
        item, args.data_folder, args.save_folder, args.splits, args.decode
    )
    print(f"manifest: {path}\nsidecar:  {manifest.sidecar_path(path)}")


def _check(args: argparse.Namespace) -> None:
    item = corpus.get(args.corpus)
    utterances, rejected = prepare.walk(item, args.data_folder)
    headers, unusable, missing = prepare.probe(
        item, args.data_folder, utterances, audio.check
    )
    rejected += unusable
    entries = [(entry.path, entry.reason) for entry in rejected]
    for path, reason in entries + [(path, "not on disk") for path in missing]:
        # A name that is not UTF-8 must not stop the listing.
        print(f"{path.encode(errors='backslashreplace').decode()}: {reason}")
    usable = [item.emotions[u.emotion] for u in utterances if u.id in headers]
    found = Counter(usable)
    speakers = len({u.speaker for u in utterances if u.speaker})
    print(f"{'':12}{'declared':>10}{'found':>10}{'usable':>10}")
    lines = [
        ("utterances", item.size, len(utterances), len(usable)),
        ("speakers", item.speakers, speakers, ""),
    ]
    labels = Counter(item.emotions[u.emotion] for u in utterances)
    for emotion in manifest.EMOTIONS:
        declared = item.expected.get(emotion, "")
        lines.append((emotion, declared, labels[emotion], found[emotion]))
    for name, *values in lines:
        print(f"{name:12}" + "".join(f"{value:>10}" for value in values))
    problems = len(rejected) + len(missing)
    if problems:
        raise UserError(
            f"{args.data_folder}: {problems} file(s) cannot be used (listed above): "
            "get them anew, or go on without them (`prepare --decode` leaves them out)"
        )
    print(f"{args.data_folder}: all {len(usable)} files decode")


def _standin(args: argparse.Namespace) -> None:
    for name in args.corpora:
        folder = corpus.get(name).locate(args.data_root)
        clips = standin.write(name, folder, seed=args.seed)
        print(f"{name}: {clips} synthetic clips in {folder}")


def parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data_prep``."""
    main = argparse.ArgumentParser(prog="python -m data_prep", description=__doc__)
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, function, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub

    sub = add("list", _list, "Show all corpora, with their declared counts.")
    sub.add_argument("--format", choices=("text", "csv", "markdown"), default="text")
    sub.add_argument(
        "--data_root", type=Path, help="also tell which of them lie below this folder"
    )

    sub = add("prepare", _prepare, "Write a corpus' manifest (CSV) and sidecar (JSON).")
    sub.add_argument("corpus", help="registry name, see `list`")
    sub.add_argument("--data_folder", type=Path, required=True, help="the corpus")
    sub.add_argument("--save_folder", type=Path, required=True, help="for the manifest")
    sub.add_argument(
        "--splits",
        choices=("paper", "speaker"),
        help="Table 1 of the paper, or about 80/10/10 by whole speakers; "
        "default: paper where the paper uses the corpus",
    )
    sub.add_argument(
        "--decode", action="store_true", help="decode every file, reject damaged ones"
    )

    sub = add("check", _check, "Decode every file; compare counts with the declared.")
    sub.add_argument("corpus", help="registry name, see `list`")
    sub.add_argument("--data_folder", type=Path, required=True, help="the corpus")

    sub = add("standin", _standin, "Write synthetic stand-ins of corpora, for demos.")
    sub.add_argument("corpora", nargs="+", choices=standin.CORPORA, metavar="corpus")
    sub.add_argument("--data_root", type=Path, required=True, help="where to write")
    sub.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    return main


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Arguments
    ---------
    argv : list of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0, or 2 after a mistake that the user can mend.
    """
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        args.function(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
