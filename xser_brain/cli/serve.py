"""``xser serve``: a page to try a model on."""

import argparse

from xser_brain.cli.arguments import add_model_and_device, add_threshold, load

TEXT = "Open a page to try a trained model on one's own speech."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser serve``."""
    from xser_brain.serve.limits import Limits

    add_model_and_device(parser)
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
    add_threshold(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser serve``."""
    from xser_brain.serve.limits import Limits
    from xser_brain.serve.server import serve

    limits = Limits(**{name: getattr(args, name) for name in vars(Limits())})
    classifier = load(args, threshold=args.threshold)
    serve(classifier, limits, args.host, args.port, args.open)
    return 0
