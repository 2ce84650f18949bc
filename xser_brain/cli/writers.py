"""How ``xser predict`` writes its results."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from typing import TextIO

from data_prep.outside import cell, printable

C1 = re.compile("[\x7f-\x9f]")  # which change a terminal, and JSON lets stand


def _csv_writer(
    stream: TextIO, labels: Sequence[str], timeline: bool, model: str
) -> Callable:
    """One row a recording, or a window where a time line is wanted.

    Of a model of the hub, the last column names its commit.
    """
    writer = csv.writer(stream, lineterminator="\n")
    columns = ["path", "part", "start", "end", "emotion", "predicted"]
    columns += [*(f"p_{label}" for label in labels), "protocol", "error"]
    writer.writerow(columns + ["model"] * bool(model))

    def write(result) -> None:
        parts = [("recording", result)]
        parts += [("window", part) for part in (result.timeline if timeline else ())]
        for name, part in parts:
            probabilities = [f"{p:.6f}" for p in part.probabilities.values()]
            row = [part.path, name, f"{part.start:.3f}", f"{part.end:.3f}"]
            row += [part.emotion, part.predicted]
            row += [*(probabilities or [""] * len(labels)), part.protocol, part.error]
            writer.writerow(map(cell, row + [model] * bool(model)))

    return write


def _json_writer(
    stream: TextIO, labels: Sequence[str], timeline: bool, model: str
) -> Callable:
    """One object a line."""
    del labels, model  # each object names them

    def write(result) -> None:
        values = result.to_dict()
        if not timeline:
            values.pop("timeline", None)
        text = json.dumps(values, ensure_ascii=False)
        stream.write(C1.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")

    return write


def _text_writer(
    stream: TextIO, labels: Sequence[str], timeline: bool, model: str
) -> Callable:
    """For people, who have been told of the model."""
    del model
    width = max(8, *map(len, labels))

    def described(part) -> str:
        ranked = sorted(part.probabilities.items(), key=lambda item: -item[1])
        return f"{part.emotion:{width}} " + "  ".join(
            f"{name} {100 * p:.0f} %" for name, p in ranked
        )

    def write(result) -> None:
        what = (
            f"error: {printable(result.error)}" if result.error else described(result)
        )
        note = "" if result.protocol == "zero-shot" else f"  [{result.protocol}]"
        stream.write(f"{printable(result.path)}: {what}{note}\n")
        for part in result.timeline if timeline else ():
            stream.write(f"  {part.start:8.1f} -{part.end:8.1f} s  {described(part)}\n")

    return write


WRITERS = {"text": _text_writer, "csv": _csv_writer, "json": _json_writer}
