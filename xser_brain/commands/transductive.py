"""``xser transductive``: a finished run under another protocol."""

import argparse
from pathlib import Path

from xser_brain.commands.arguments import add_device

TEXT = "Score a finished run when statistics of the target may be used."


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser transductive``.

    Arguments
    ---------
    args : argparse.Namespace
        From a parser with ``add_arguments``.

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

    for folder in args.runs:
        figures = score_run(
            folder,
            data_root=args.data_root,
            progress=True,
            device=args.device,
            precision=args.precision,
            encoder_source=args.encoder_source,
        )
        print(folder)
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
        print(f"written to {(folder / NAME).resolve()}")
    return 0
