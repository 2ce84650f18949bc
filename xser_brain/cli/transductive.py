"""``xser transductive``: finished runs when unlabelled speech of the target is heard."""

import argparse
from pathlib import Path

from xser_brain.cli.arguments import add_device, add_import, add_out, add_runs

TEXT = "Score finished runs when unlabelled recordings of the target may be heard."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser transductive``."""
    add_runs(parser)
    parser.add_argument(
        "--data_root", type=Path, help="where the corpora lie; default: where they were"
    )
    add_out(parser)
    add_device(parser)
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser transductive``."""
    from xser_brain.evaluation.summary import in_words
    from xser_brain.evaluation.transductive import NAME, score_run
    from xser_brain.reports import protocols

    done = []
    for group, system, folder in protocols.zero_shot(args.runs):
        figures, found = score_run(
            folder,
            data_root=args.data_root,
            progress=True,
            device=args.device,
            precision=args.precision,
            encoder_source=args.encoder_source,
        )
        done.append((group, system, found))
        print(folder)
        for protocol, parts in figures["protocols"].items():
            for part, result in parts.items():
                if result:
                    print(
                        f"  {protocol}, {part}, n = {result['n']}: "
                        f"UAR {in_words(result)}, {_gain(result)}"
                    )
        print(f"written to {(folder / NAME).resolve()}")
    for path in protocols.write_adapted(done, args.out or protocols.above(args.runs)):
        print(path)
    return 0


def _gain(result: dict) -> str:
    """As ``in_words``, of the gain: over the same unit as the figure itself."""
    from xser_brain.evaluation.summary import shown_interval

    gain = result["gain"]
    text = f"{gain['uar']:+.1f} points on zero-shot"
    bounds = gain["ci95_speaker"] or gain["ci95"]
    if bounds is None:
        return text
    _, unit = shown_interval(result)
    return f"{text} (95 % interval over {unit} {bounds[0]:+.1f} to {bounds[1]:+.1f})"
