"""``xser publish``: a model on the Hugging Face hub."""

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data_prep.errors import UserError
from xser_brain.cli.arguments import add_encoder, add_model

TEXT = "Put a trained model with its card on the Hugging Face hub."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser publish``."""
    add_model(parser)
    parser.add_argument(
        "--repo", required=True, metavar="OWNER/NAME", help="made if it is not there"
    )
    parser.add_argument("--private", action="store_true", help="seen by its owner only")
    parser.add_argument(
        "--revision", default="main", metavar="BRANCH", help="default: %(default)s"
    )
    parser.add_argument(
        "--licence",
        default="other",
        metavar="ID",
        help="of the weights, as the hub names it (cc-by-nc-sa-4.0); default: %(default)s",
    )
    parser.add_argument(
        "--whole", action="store_true", help="publish the pretrained encoder too"
    )
    parser.add_argument(
        "--encoder",
        metavar="NAME[@REVISION]",
        help="where on the hub anyone gets the pretrained encoder, if it was a folder",
    )
    add_encoder(parser)
    parser.add_argument(
        "--dry_run",
        "--dry-run",
        action="store_true",
        help="send nothing, write the folder that would be published",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="of a dry run; default: the repository's name, in this folder",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser publish``."""
    from xser_brain.inference.sources import find_model
    from xser_brain.models import publish as hub
    from xser_brain.models.export import require_replaceable

    if args.output and not args.dry_run:
        raise UserError("--output is for --dry_run: pass both or neither")
    hub.check_names(args.repo, args.revision, args.licence)
    encoder = hub.encoder_name(args.encoder) if args.encoder else None
    if not args.dry_run:
        hub.require_token()
    folder, origin = find_model(args.model)
    output = args.output or Path(args.repo.rpartition("/")[2])
    if args.dry_run:
        require_replaceable(output, folder)
    with _scratch(output.parent if args.dry_run else None) as scratch:
        staged = scratch / "model"
        hub.assemble(
            folder,
            staged,
            args.repo,
            revision=args.revision,
            licence=args.licence,
            whole=args.whole,
            encoder=encoder,
            encoder_source=args.encoder_source,
            offline=args.dry_run,
        )
        sizes = hub.contents(staged)
        for name, size in sizes.items():
            print(f"{size / 1e6:10.2f} MB  {name}")
        print(f"{sum(sizes.values()) / 1e6:10.2f} MB in {len(sizes)} files", flush=True)
        if args.dry_run:
            hub.replace(staged, output)
            print(f"dry run, nothing sent: written to {output.resolve()}")
            return 0
        address, changed = hub.push(
            staged,
            args.repo,
            revision=args.revision,
            private=args.private,
            encoder=encoder,
            origin=origin,
        )
    print(f"{'published' if changed else 'nothing new, published before'}: {address}")
    return 0


@contextlib.contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    """A temporary folder, inside another or where the system has its own."""
    try:
        if parent:
            parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".xser-", dir=parent)
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from error
    with scratch as name:
        yield Path(name)
