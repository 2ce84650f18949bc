"""``python -m data_prep``: list, get, prepare, check, add and imitate corpora."""

import argparse
import csv
import difflib
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from data_prep import corpus, documents, outside
from data_prep.columns import COLUMNS
from data_prep.corpora import VARIABLE
from data_prep.errors import UserError
from data_prep.splits import POLICIES
from data_prep.vocabulary import EMOTIONS

# What takes long to import is imported where it is needed: `list` answers at once.

logger = logging.getLogger(__name__)
FIELDS = (
    "corpus",
    "language",
    "title",
    "speakers",
    "utterances",
    *EMOTIONS,
    "others",
    "hours",
    "splits",
    "licence",
    "access",
    "homepage",
)
# Between which a document has the table of the corpora.
TABLE = (
    "<!-- corpora: python -m data_prep list --update=README.md -->",
    "<!-- end of corpora -->",
)


def corpus_table(data_root: Path | None = None) -> list[dict]:
    """List the corpora, as declared in their files.

    Arguments
    ---------
    data_root : Path, optional
        If given, a column ``on_disk`` says whether the corpus' folder is there.

    Returns
    -------
    list of dict
        One per corpus, with the keys ``FIELDS``; what is not known is empty, and so are
        the speakers of a corpus that does not identify them.

    Example
    -------
    >>> row = next(row for row in corpus_table() if row["corpus"] == "emodb")
    >>> row["language"], row["angry"], row["others"], row["access"]
    ('de', 127, 196, 'download')
    """
    rows = []
    for item in corpus.registry().values():
        declared = item.declared
        row = {
            "corpus": item.name,
            "language": item.language,
            "title": item.title,
            "speakers": item.speakers or "",
            "utterances": item.size,
            **{emotion: declared.get(emotion, "") for emotion in EMOTIONS},
            "others": item.size - sum(declared.values()) if declared else "",
            "hours": item.hours or "",
            "splits": ", ".join(item.policies),
            "licence": item.licence,
            "access": item.access,
            "homepage": item.homepage,
        }
        if data_root:
            row["on_disk"] = "yes" if item.locate(data_root).is_dir() else "no"
        rows.append(row)
    return rows


def _markdown(rows: list[dict]) -> str:
    rows = [{**row, "title": f"[{row['title']}]({row['homepage']})"} for row in rows]
    for row in rows:
        del row["homepage"]
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _print_table(rows: list[dict], style: str) -> None:
    if style == "csv":
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: outside.cell(v) for k, v in row.items()} for row in rows)
        return
    if style == "markdown":
        print(_markdown(rows))
        return
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip())


def _list(args: argparse.Namespace) -> None:
    rows = corpus_table(None if args.update else args.data_root)
    if args.update:
        documents.update(args.update, *TABLE, _markdown(rows))
        print(f"table of {len(rows)} corpora written into {args.update}")
    else:
        _print_table(rows, args.format)
    _warn()


def _warn() -> None:
    for line in corpus.unusable_files().values():
        logger.warning("left out: %s", line)


def _folder(args: argparse.Namespace, item: corpus.Corpus) -> Path:
    return args.data_folder or item.locate(args.data_root)


def _prepare(args: argparse.Namespace) -> None:
    from data_prep import manifest, prepare

    def run(item: corpus.Corpus) -> Path:
        return prepare.prepare(
            item,
            _folder(args, item),
            args.save_folder,
            args.splits,
            args.decode,
            not args.no_merge,
            args.allow_incomplete,
        )

    if args.all:
        _prepare_all(args.data_root, run)
        return
    path = run(corpus.get(args.corpus))
    print(f"manifest: {path}\nsidecar:  {manifest.sidecar_path(path)}")


def _prepare_all(data_root: Path, run: Callable[[corpus.Corpus], Path]) -> None:
    """Prepare what is there; a mistake in one corpus does not stop the others."""
    _warn()
    there = [c for c in corpus.registry().values() if c.locate(data_root).is_dir()]
    _warn_of_others(data_root, {c.locate(data_root) for c in there})
    if not there:
        raise UserError(
            f"{data_root} holds no corpus: each should lie there in a folder of its name, "
            "see `python -m data_prep list`"
        )
    outcome = {}
    for item in there:
        try:
            outcome[item.name] = f"ok: {run(item)}"
        except UserError as error:
            outcome[item.name] = f"failed: {error}"
        except Exception as error:
            logger.exception("%s: a defect of its file or of this program", item.name)
            outcome[item.name] = f"failed: {error!r}"
    for name, line in outcome.items():
        print(outside.printable(f"{name}: {line}"))
    failed = [name for name in outcome if outcome[name].startswith("failed")]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(there)} corpora failed ({', '.join(failed)}), as "
            "said above: mend them, or do without"
        )


def _warn_of_others(data_root: Path, known: set[Path]) -> None:
    """Name the folders that are passed over, and what they come nearest to."""
    names = {corpus.plain(c.folder or c.name): c for c in corpus.registry().values()}
    for folder in corpus.folders(data_root):
        if folder in known or folder.name.startswith("."):
            continue
        near = difflib.get_close_matches(corpus.plain(folder.name), names, n=1)
        hint = f": if it is {names[near[0]].title}, rename it {near[0]}" if near else ""
        logger.warning("passed over %s, which is no corpus' name%s", folder, hint)


def _check(args: argparse.Namespace) -> None:
    from data_prep import audio, check, prepare
    from data_prep.standin import is_standin

    item = corpus.get(args.corpus)
    folder = _folder(args, item)
    todo = _show(check.unfinished(item))
    try:
        utterances, rejected = prepare.walk(item, folder)
    except UserError:
        if folder.is_dir():
            _show(check.expectation(item, folder, []))
        raise
    headers, unusable, missing = prepare.probe(item, folder, utterances, audio.check)
    bad = [*rejected, *unusable.values()]
    bad += [corpus.Rejected(path, "not on disk") for path in missing]
    _show(check.problems(bad, None if args.verbose else check.SHOWN))
    if rejected or missing:
        _show(check.expectation(item, folder, missing))
    counts = list(check.table(item, utterances, headers))
    _show(counts)
    heard = [found for found in utterances if found.id in headers]
    twins = _show(check.twins(item, folder, heard, args.verbose))
    differs = any(line.endswith(check.DIFFERS) for line in counts)
    standin = is_standin(folder)
    if differs and not standin:
        print("counts differ: the copy is incomplete, or of another edition")
    if bad:
        mends = {
            "rename or remove what is no file of the corpus (`prepare` passes over it)": (
                rejected
            ),
            "get anew what does not decode (or leave it out by `prepare --decode`)": (
                unusable
            ),
            "get what is not on disk": missing,
        }
        raise UserError(
            f"{folder}: {len(bad)} file(s) cannot be used (listed above): "
            + "; ".join(mend for mend, files in mends.items() if files)
        )
    print(f"{folder}: all {len(headers)} files decode")
    if todo:
        raise UserError(f"{todo} line(s) of {item.name} are to do (listed above)")
    if twins:
        raise UserError(
            f"{folder}: recordings are there twice (listed above): remove one of each"
        )
    if differs and not standin:
        raise UserError(
            f"{folder}: not what {item.name} is declared to be (see above): get the rest, "
            "or go on with what is there"
        )


def _show(lines: Iterable[str]) -> int:
    """Print lines, and return how many."""
    number = 0
    for number, line in enumerate(lines, 1):  # noqa: B007
        print(outside.printable(line))
    return number


def _download(args: argparse.Namespace) -> None:
    from data_prep import download

    download.command(corpus.get(args.corpus), args.data_root, args.audb)


def _export(args: argparse.Namespace) -> None:
    from data_prep import exchange

    path = exchange.export_manifest(
        args.format, args.manifest, args.data_root, args.save_folder
    )
    print(f"written: {path}")


def _import(args: argparse.Namespace) -> None:
    from data_prep import exchange, manifest

    pairs = [label.rpartition("=") for label in args.labels]
    name = args.name or exchange.plain_name(Path(args.source).stem)
    options = {
        "data_folder": args.data_folder,
        "language": args.language,
        "labels": {native: wide for native, _, wide in pairs},
        "splits": args.splits,
        "decode": args.decode,
    }
    if args.format in exchange.ROWS:
        columns = {key: getattr(args, f"{key}_column") for key in COLUMNS}
        columns["emotion"] = columns["emotion"] or args.label
        paths = exchange.import_rows(
            args.format,
            args.source,
            name,
            args.save_folder,
            data_root=args.data_root,
            columns={key: column for key, column in columns.items() if column},
            delimiter=args.delimiter,
            **options,
        )
    else:
        path = exchange.import_table(
            args.format,
            Path(args.source),
            name,
            args.save_folder,
            label=args.label or args.emotion_column,
            tables=args.tables,
            **options,
        )
        paths = [path]
    for path in paths:
        print(f"manifest: {path}\nsidecar:  {manifest.sidecar_path(path)}")
    source = Path(args.source)
    folder = args.data_folder or (source if source.is_dir() else source.parent)
    root = args.data_root or folder.absolute().parent
    print(
        f"train on it by name ({', '.join(path.stem for path in paths)}) with "
        f"--manifests={args.save_folder} --data_root={root}"
    )


def _new(args: argparse.Namespace) -> None:
    from data_prep import scaffold

    corpus_file, test = scaffold.new(args.corpus, args.language, layout=args.layout)
    print(
        f"corpus: {corpus_file}\ntest:   {test}\n"
        f"Fill in the lines marked TODO, in both. Then:\n"
        f"  python -m data_prep check {args.corpus} --data_folder=DIR\n"
        f"  python -m pytest {test}\n"
        f"  python -m data_prep prepare {args.corpus} --data_folder=DIR"
    )


def _standin(args: argparse.Namespace) -> None:
    from data_prep import standin

    for name in args.corpora:
        folder = corpus.get(name).locate(args.data_root)
        clips = standin.write(name, folder, seed=args.seed)
        print(f"{name}: {clips} synthetic clips in {folder}")


def parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data_prep``."""
    main = argparse.ArgumentParser(
        prog="python -m data_prep",
        description=__doc__,
        epilog=f"Corpora of your own lie in ${VARIABLE} (default: ~/.xser/corpora).",
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, function, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub

    def add_folder(sub: argparse.ArgumentParser) -> None:
        where = sub.add_mutually_exclusive_group(required=True)
        where.add_argument("--data_folder", type=Path, help="the corpus")
        where.add_argument(
            "--data_root", type=Path, help="what holds one folder per corpus"
        )

    def add_writing(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--save_folder",
            type=Path,
            default=Path("manifests"),
            help="for the manifest; default: ./%(default)s",
        )
        sub.add_argument(
            "--splits",
            choices=POLICIES,
            help="Table 1 of the paper, about 80/10/10 by whole speakers, the corpus' "
            "own parts, or all in train; default: the first that the corpus allows",
        )
        sub.add_argument(
            "--decode",
            action="store_true",
            help="decode every file, reject damaged ones",
        )

    sub = add("list", _list, "Show all corpora, with their declared counts.")
    sub.add_argument("--format", choices=("text", "csv", "markdown"), default="text")
    sub.add_argument(
        "--update",
        type=Path,
        metavar="README.md",
        help=f"write the Markdown table into this file, between {' and '.join(TABLE)}",
    )
    sub.add_argument(
        "--data_root", type=Path, help="also tell which of them lie below this folder"
    )

    sub = add("prepare", _prepare, "Write a corpus' manifest (CSV) and sidecar (JSON).")
    which = sub.add_mutually_exclusive_group(required=True)
    which.add_argument("corpus", nargs="?", help="registry name, see `list`")
    which.add_argument(
        "--all", action="store_true", help="every corpus that lies below --data_root"
    )
    add_folder(sub)
    add_writing(sub)
    sub.add_argument(
        "--no_merge",
        action="store_true",
        help="count no further label as one of the four emotions (IEMOCAP: excited as "
        "happy)",
    )
    sub.add_argument(
        "--allow_incomplete",
        action="store_true",
        help="also take a copy that lacks one of the four emotions, or more than a tenth "
        "of the declared utterances",
    )

    sub = add(
        "check",
        _check,
        "Decode every file, name what is wrong or missing, and compare the counts with "
        "the declared.",
    )
    sub.add_argument("corpus", help="registry name, see `list`")
    add_folder(sub)
    sub.add_argument(
        "--verbose", action="store_true", help="name every file, not five per reason"
    )

    sub = add("download", _download, "Get a corpus, or tell how it can be had.")
    sub.add_argument("corpus", help="registry name, see `list`")
    sub.add_argument("--data_root", type=Path, required=True, help="where to put it")
    sub.add_argument(
        "--audb", action="store_true", help="from audEERING's repository, by audb"
    )

    sub = add("export", _export, "Write a manifest in another tool's format.")
    sub.add_argument("format", choices=("audformat", "lhotse", "datasets"))
    sub.add_argument("manifest", type=Path, help="the CSV")
    sub.add_argument("--data_root", type=Path, required=True, help="where corpora lie")
    sub.add_argument("--save_folder", type=Path, required=True, help="where to write")

    sub = add(
        "import",
        _import,
        "Make a corpus, its manifest, of a labelled table or of another tool's tables.",
    )
    sub.add_argument("format", choices=("csv", "datasets", "audformat", "lhotse"))
    sub.add_argument(
        "source",
        help="the table (csv); a folder, Parquet or Arrow file, or a name on the hub of "
        "Hugging Face (datasets); the folder of the tables (audformat, lhotse)",
    )
    sub.add_argument(
        "--name",
        default="",
        help="what the corpus shall be called; default: as the source",
    )
    sub.add_argument(
        "--data_root",
        type=Path,
        help="what holds one folder per corpus; recordings of datasets are written there",
    )
    sub.add_argument(
        "--data_folder",
        type=Path,
        help="where the paths go from, if not from the table's folder or --data_root",
    )
    sub.add_argument("--language", default="", help="ISO 639-1 code, as de")
    sub.add_argument("--label", default="", help="column of the emotions")
    for key in COLUMNS:
        sub.add_argument(
            f"--{key}_column",
            default="",
            metavar="COLUMN",
            help="one corpus for each value of it, as NAME_VALUE"
            if key == "corpus"
            else f"the {key}, if its name does not tell (csv, datasets)",
        )
    sub.add_argument(
        "--delimiter", default="", help="of a csv, if not , ; | or a tab that shows"
    )
    sub.add_argument("--tables", nargs="+", default=(), help="tables of audformat")
    sub.add_argument(
        "--map",
        "--labels",
        dest="labels",
        action="append",
        default=[],
        metavar="NATIVE=EMOTION",
        help="what a label means; once for each that is not known",
    )
    add_writing(sub)

    sub = add(
        "new",
        _new,
        "Write the file of a new corpus, to fill in, and its test: in a checkout of the "
        f"project beside the others, else into the folder ${VARIABLE} (default: "
        "~/.xser/corpora), from which all commands know it.",
    )
    sub.add_argument("corpus", help="its registry name to be, as mycorpus")
    sub.add_argument("--language", default="", help="ISO 639-1 code, as de")
    sub.add_argument(
        "--layout",
        choices=("name", "path", "table"),
        default="name",
        help="where it says what its files are: in their names, in their folders, or in a "
        "table; default: %(default)s",
    )

    sub = add("standin", _standin, "Write synthetic stand-ins of corpora, for demos.")
    sub.add_argument("corpora", nargs="+", metavar="corpus")
    sub.add_argument("--data_root", type=Path, required=True, help="where to write")
    sub.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    return main


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0, 2 after a mistake that the user can mend, 130 after Ctrl-C."""
    commands = parser()
    args = commands.parse_args(argv)
    if getattr(args, "all", False) and not args.data_root:
        commands.error("--all needs --data_root: what holds one folder per corpus")
    handler = logging.StreamHandler()
    handler.setFormatter(outside.Printable("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        args.function(args)
    except UserError as error:
        print(outside.printable(f"error: {error}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped by SIGINT", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
