"""``xser fewshot``: finished runs after a few labelled utterances of the target."""

import argparse

from xser_brain.cli.arguments import add_encoder, add_import, add_out, add_runs

TEXT = "Score finished runs after a few labelled utterances of each emotion."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser fewshot``."""
    add_runs(parser)
    parser.add_argument(
        "--shots",
        type=int,
        nargs="+",
        default=[1, 2, 5, 10, 20],
        metavar="K",
        help="labelled utterances of each emotion; default: 1 2 5 10 20",
    )
    for name, default, text in (
        ("draws", 20, "of the labelled utterances and of the speakers who are tested"),
        ("draw_seed", 0, "of the draws"),
    ):
        text += "; default: %(default)s"
        parser.add_argument(f"--{name}", type=int, default=default, help=text)
    add_out(parser)
    add_encoder(parser)
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser fewshot``."""
    from xser_brain.evaluation.fewshot import NAME, score_run
    from xser_brain.numbers import number
    from xser_brain.reports import protocols

    shots = sorted({number("shots", k, 1, True, 10_000) for k in args.shots})
    draws = number("draws", args.draws, 1, True, 10_000)
    seed = number("draw_seed", args.draw_seed, 0, True)
    done = []
    for group, system, folder in protocols.zero_shot(args.runs):
        curve = score_run(folder, shots, draws, seed, args.encoder_source)
        done.append((group, system, {protocols.SHOTS: curve}))
        print(f"written to {(folder / NAME).resolve()}")
    for path in protocols.write_fewshot(done, args.out or protocols.above(args.runs)):
        print(path)
    return 0
