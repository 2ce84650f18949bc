"""``xser embed``: what a model hears, as vectors in a file."""

import argparse
import importlib.util
import io
import sys
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.outside import printable
from xser_brain.cli.arguments import (
    add_model_and_device,
    add_recordings,
    load,
    recordings,
    windows,
)

TEXT = "Write the embeddings of recordings into a file."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``xser embed``."""
    add_model_and_device(parser)
    add_recordings(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="a .npz of NumPy or a .parquet: one row a recording, or one a window of "
        "what is longer than 30 s",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``xser embed``; 1 if some recordings could not be embedded."""
    encode = _encoder(args.output)
    sources = recordings(args)
    classifier = load(args, **windows(args))
    found, done, failed = [], 0, 0
    for item in classifier.embed(sources, progress=not args.noprogressbar):
        done += 1
        if item.error:
            failed += 1
            text = f"{printable(item.path)}: error: {printable(item.error)}"
            print(text, file=sys.stderr)
        else:
            found += item.timeline or [item]
    if not done:
        raise UserError(f"no recordings in {', '.join(sources)}")
    if not found:
        raise UserError(f"no recording of {done} could be embedded: nothing is written")
    columns = {
        "path": [item.path for item in found],
        "start": np.array([item.start for item in found]),
        "end": np.array([item.end for item in found]),
    }
    vectors = np.stack([item.vector for item in found])
    write_atomic(args.output, encode(columns, vectors, classifier.name or args.model))
    print(
        f"{done - failed} of {done} recordings embedded, {len(found)} rows of "
        f"{vectors.shape[1]} written to {args.output.resolve()}",
        file=sys.stderr,
    )
    return int(failed > 0)


def _encoder(path: Path):
    """What makes a file of that ending, if it can be made."""
    ending = path.suffix.lower()
    if ending not in ENCODERS:
        raise UserError(f"{path} ends in neither .npz nor .parquet: name it so")
    if ending == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            'pyarrow is not installed: pip install "xser-brain[parquet]", or write a .npz'
        )
    return ENCODERS[ending]


def _npz(columns: dict, vectors: np.ndarray, model: str) -> bytes:
    buffer = io.BytesIO()
    names = np.array(columns.pop("path"), dtype=str)
    np.savez_compressed(buffer, path=names, **columns, embedding=vectors, model=model)
    return buffer.getvalue()


def _parquet(columns: dict, vectors: np.ndarray, model: str) -> bytes:
    import pyarrow
    from pyarrow import parquet

    # Its texts are UTF-8; names of files are not always.
    names = [
        name.encode("utf-8", "backslashreplace").decode() for name in columns["path"]
    ]
    rows = pyarrow.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
    table = pyarrow.table({**columns, "path": names, "embedding": rows})
    table = table.replace_schema_metadata({"model": printable(model)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


ENCODERS = {".npz": _npz, ".parquet": _parquet}
