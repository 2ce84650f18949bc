"""``xser recipes``: see, and take out, the recipes that come with the package."""

import argparse
from pathlib import Path

from xser_brain import recipes

TEXT = "Show the recipes that come with the package, or hand them out to be changed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser recipes``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "Show what `xser train` and `xser grid` can be given."
    actions.add_parser("list", help=text, description=text)
    text = "Copy recipes into a folder, to be changed."
    sub = actions.add_parser("copy", help=text, description=text)
    sub.add_argument("folder", type=Path, metavar="DIR", help="where to; it is made")
    sub.add_argument(
        "recipes",
        nargs="*",
        metavar="RECIPE",
        help="files or folders, as en_de/hparams/iemocap_to_emodb.yaml or common; pieces "
        "of common that are not copied are found all the same; default: all there are",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser recipes``."""
    if args.action == "list":
        rows, grids = recipes.listed()
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = zip(line, widths, strict=True)
            print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
        print(f"grids: {', '.join(grids)}\nin {recipes.folder()}")
        return 0
    written = recipes.copy(args.folder, args.recipes)
    for path in written:
        print(path)
    runs = [path for path in written if path.parent.name == "hparams"]
    example = runs[0] if runs else args.folder / "PAIR/hparams/RECIPE.yaml"
    print(
        f"{len(written)} files written: change what you like, then run `xser train "
        f"{example} --data_root=DIR`"
    )
    return 0
