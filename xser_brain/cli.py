"""``xser``: train a recipe, make tables of finished runs, look after the cache."""

import argparse
import sys
from pathlib import Path

from data_prep.errors import UserError


def _train(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.experiment import main as train

    return train([args.recipe, *rest])


def _tables(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.reports.tables import results_table

    _refuse(rest, "tables")
    text = results_table(args.results)
    if args.update:
        from xser_brain.reports.tables import update_document

        update_document(args.update, text)
        print(f"table written into {args.update}")
    else:
        print(text)
    return 0


def _cache_list(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.store import table

    _refuse(rest, "cache list")
    print(table(_groups(args.folder)))
    print(f"in {args.folder.resolve()}")
    return 0


def _cache_clear(args: argparse.Namespace, rest: list[str]) -> int:
    from xser_brain.store import remove, table

    _refuse(rest, "cache clear")
    chosen = [g for g in _groups(args.folder) if g.key.startswith(args.encoder)]
    if not chosen:
        raise UserError(
            f"{args.folder} holds nothing of {args.encoder or 'any encoder'}: see "
            f"`xser cache list {args.folder}`"
        )
    print(table(chosen))
    if not args.yes:
        try:
            answer = input("Remove this? [y/N] ")
        except EOFError as error:
            raise UserError("nobody to ask: pass --yes to remove this") from error
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing removed")
            return 0
    used = remove(args.folder, [group.key for group in chosen])
    for key in used:
        print(f"left {key}: a run uses it")
    print(f"removed {len(chosen) - len(used)} of {len(chosen)} from {args.folder}")
    return 0


def _groups(folder: Path) -> list:
    from xser_brain.store import groups

    if not folder.is_dir():
        raise UserError(
            f"no folder {folder}: pass the one that holds the features, <results>/"
            "features unless a run was given another"
        )
    return groups(folder)


def _refuse(rest: list[str], command: str) -> None:
    if rest:
        raise UserError(f"unknown option {rest[0]}: see `xser {command} --help`")


def parser() -> argparse.ArgumentParser:
    """The command line of ``xser``; heavy imports wait until a command runs."""
    main = argparse.ArgumentParser(prog="xser", description=__doc__)
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "Train and score a recipe, as its train.py does."
    sub = commands.add_parser("train", help=text, description=text)
    sub.add_argument("recipe", help="a YAML file; --key=value overrides its keys")
    sub.set_defaults(function=_train)
    text = "Show the results of finished runs, over their seeds, as Markdown."
    sub = commands.add_parser("tables", help=text, description=text)
    sub.add_argument("results", type=Path, help="folder of runs, searched all through")
    sub.add_argument(
        "--update",
        type=Path,
        metavar="FILE",
        help="put the table between the lines <!-- xser tables --> and "
        "<!-- end of xser tables --> of this file",
    )
    sub.set_defaults(function=_tables)
    text = "Show or remove the features that runs have kept on disk."
    sub = commands.add_parser("cache", help=text, description=text)
    actions = sub.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text, function in (
        ("list", "Show what is kept of which encoder.", _cache_list),
        ("clear", "Remove what no run uses at the moment.", _cache_clear),
    ):
        sub = actions.add_parser(name, help=text, description=text)
        sub.add_argument("folder", type=Path, help="the features folder of the runs")
        sub.set_defaults(function=function)
    sub.add_argument(
        "--encoder", default="", metavar="KEY", help="only this one, as list shows it"
    )
    sub.add_argument("--yes", action="store_true", help="do not ask")
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
    args, rest = parser().parse_known_args(argv)
    try:
        return args.function(args, rest)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
