"""``xser serve``: a page to try a model on."""

import argparse

from xser_brain.cli.arguments import add_model_and_device, add_threshold, load
from xser_brain.starter import NAME as STARTER

TEXT = "Open a page to try a trained model on one's own speech."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser serve``."""
    from xser_brain.serve.limits import Limits

    add_model_and_device(parser, STARTER)
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
    parser.add_argument(
        "--host-name",
        "--host_name",
        dest="host_names",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which visitors reach this server, as emotions.example.org; "
        "requests for other names are refused, but for addresses and this machine's own",
    )
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help="ask visitors for this, or a file with such a line for each user (what is "
        "on a command line, other users of this machine can see)",
    )
    texts = {
        "megabytes": "most that a recording may have",
        "seconds": "most that a recording may last",
        "answer_seconds": "most that the classifier works on one",
        "at_once": "recordings classified at a time",
        "waiting": "most recordings that wait for their turn",
        "per_visitor": "most recordings that one address sends in ten minutes",
        "in_all": "most that all of them send in ten minutes",
        "megabytes_per_visitor": "most that one address sends in ten minutes",
        "megabytes_in_all": "most that all of them send in ten minutes",
        "idle": "seconds until a connection is closed on which nothing comes",
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
    from xser_brain.serve.access import own_names, read_passwords
    from xser_brain.serve.limits import Limits
    from xser_brain.serve.server import serve

    names, passwords = own_names(args.host, args.host_names), read_passwords(args.auth)
    limits = Limits(**{name: getattr(args, name) for name in vars(Limits())})
    classifier = load(args, threshold=args.threshold)
    serve(classifier, limits, args.host, args.port, args.open, names, passwords)
    return 0
