"""Damaged files of all kinds for every reader of outside data: a value or a UserError.

``python -m tests.fuzz [--inputs=N] [--only=WORD] [--seed=N] [--processes=N]`` tries N
inputs, shared out evenly, and prints a Markdown table, that of docs/security.md; it ends
with 1 if an input ended otherwise. Readers are listed in the ``READERS`` of
``tests/data_prep/readers.py`` and ``tests/xser_brain/result_readers.py``.
"""

import argparse
import contextlib
import gzip
import importlib
import itertools
import json
import multiprocessing
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import UserError

SUITES = ("tests.data_prep.readers", "tests.xser_brain.result_readers")
SECONDS = 30  # of one input, while its process is at work
PATIENCE = 300  # seconds of one input, whatever its process does
MEMORY = 3 << 30  # bytes of address space beyond what the unharmed files need
PIECE = 250  # inputs of one process
# Where numbers, names, CSV, JSON, YAML, paths and terminals have their edges.
NASTY = (
    b"\0", b"\n", b"\r", b'"', b"'", b",", b"\\", b"/", b"..", b"../../x", b"/etc/passwd",
    b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", "ſ".encode(), "é".encode(), b"\x1b[2J",
    b"nan", b"NaN", b"inf", b"1e999", b"-1", b"0", b"9" * 20, b"9" * 5000, b"null",
    b"true", b"[]", b"{}", b"[" * 2000, b'{"a":' * 2000, b"=1+1", b"A" * 300, b"&a *a",
    b"!!python/object/apply:os.abort []", b"#EXTM3U\n", b"ffconcat version 1.0\n",
)  # fmt: skip
VALUES = (
    None, True, 0, -1, 1e999, 10**30, "", "a\0b", "\ud800", "../x", "/etc/passwd", [], {},
    [[]], {"a": {}}, "x" * 300,
)  # fmt: skip
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
         0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
KINDS = ("byte", "cut", "drop", "repeat", "put", "number", "json", "json", "swap")


class Reader(NamedTuple):
    """A reader of outside data.

    Arguments
    ---------
    name : str
        Shown in the table.
    seeds : callable
        ``Path -> dict`` of file name to bytes: small unharmed files; the path is an empty
        folder to make them in.
    read : callable
        ``Path -> value``: reads the one file that was damaged, the others lie beside it
        unharmed. It may raise UserError and nothing else.
    folder : bool
        Whether ``read`` takes the folder of the files instead.
    """

    name: str
    seeds: Callable[[Path], dict[str, bytes]]
    read: Callable[[Path], object]
    folder: bool = False


class Outcome(NamedTuple):
    """What became of the inputs of a reader; each other ending is a text."""

    inputs: int = 0
    values: int = 0
    refusals: int = 0
    others: tuple[str, ...] = ()
    memory: int = 0
    seconds: float = 0.0

    def __add__(self, more: "Outcome") -> "Outcome":
        return Outcome(
            self.inputs + more.inputs,
            self.values + more.values,
            self.refusals + more.refusals,
            self.others + more.others,
            max(self.memory, more.memory),
            max(self.seconds, more.seconds),
        )


def readers(only: str = "") -> list[Reader]:
    """All readers whose name holds a word."""
    suites = [importlib.import_module(name).READERS for name in SUITES]
    return [reader for suite in suites for reader in suite if only in reader.name]


def damage(rng: random.Random, data: bytes) -> bytes:
    """Change a file in one to four places; within its compression every other time."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if data[:2] == b"\x1f\x8b" and rng.random() < 0.7:
            with contextlib.suppress(OSError, EOFError, zlib.error):
                data = gzip.compress(_change(rng, gzip.decompress(data)), mtime=0)
                continue
        data = _change(rng, data)
    return _with_checksums(data) if rng.random() < 0.7 else data


def _change(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    if rng.random() < 0.5:  # headers decide more than what follows
        at = min(at, rng.randrange(200))
    end = min(len(data), at + rng.choice((1, 1, 2, 8, 100, 5000)))
    kind = rng.choice(KINDS)
    if kind == "byte":
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "drop":
        return data[:at] + data[end:]
    if kind == "repeat":
        return data[:at] + data[at:end] * rng.choice((2, 3, 50)) + data[end:]
    if kind == "put":
        return data[:at] + rng.choice(NASTY) + data[rng.choice((at, end)) :]
    if kind == "number":
        size = rng.choice((1, 2, 4, 8))
        number = rng.choice(EDGES) % (1 << 8 * size)
        return (
            data[:at]
            + number.to_bytes(size, rng.choice(("little", "big")))
            + data[at + size :]
        )
    if kind == "swap":
        return data[end:] + data[:end]
    lines = data.splitlines() if rng.random() < 0.5 else [data]
    which = rng.randrange(len(lines) or 1)
    try:
        value = json.loads(lines[which])
    except (ValueError, LookupError, RecursionError):
        return data
    lines[which] = json.dumps(damage_json(rng, value)).encode()
    return b"\n".join(lines)


def damage_json(rng: random.Random, value: object) -> object:
    """Replace or remove something anywhere in a JSON value."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    changed = dict(value) if isinstance(value, dict) else list(value)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if rng.random() < 0.15:
        del changed[key]
    else:
        changed[key] = damage_json(rng, value[key])
    return changed


def _with_checksums(data: bytes) -> bytes:
    """Ogg pages with the checksums that they should have: else damage is passed over."""
    pages = bytearray(data)
    start = 0
    while data[start : start + 4] == b"OggS" and len(data) > start + 27:
        count = data[start + 26]
        end = start + 27 + count + sum(data[start + 27 : start + 27 + count])
        pages[start + 22 : start + 26] = bytes(4)
        pages[start + 22 : start + 26] = ogg_checksum(pages[start:end])
        start = end
    return bytes(pages)


def ogg_checksum(page: bytes) -> bytes:
    """The checksum of an Ogg page whose own is zero."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) % (1 << 32)
    return value.to_bytes(4, "little")


def plant(folder: Path, files: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def attempt(reader: Reader, files: dict, folder: Path, rng: random.Random) -> str:
    """Damage a file, read it, and tell what came of it; "" stands for a value."""
    name = rng.choice(sorted(files))
    shutil.rmtree(folder, ignore_errors=True)
    plant(folder, {**files, name: damage(rng, files[name])})
    try:
        reader.read(folder if reader.folder else folder / name)
    except UserError as error:
        return f"UserError: {error}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        places = traceback.extract_tb(error.__traceback__)
        where = [f"{Path(place.filename).name}:{place.lineno}" for place in places]
        return f"{name}: {error!r:.300} ({', '.join(where[-4:])})"
    return ""


class Overtime(BaseException):
    """An input that takes too long; no reader catches it."""


def _overtime(*_) -> None:
    raise Overtime(f"over {SECONDS} s")


def _piece(reader: Reader, seed: int, start: int, stop: int, pipe) -> None:
    """Try some inputs in a process of limited memory, and tell of each."""
    signal.signal(signal.SIGPROF, _overtime)
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "seeds").mkdir()
        files = reader.seeds(Path(home) / "seeds")
        for name in sorted(files):  # what is imported late counts as unharmed
            plant(Path(home) / "x", files)
            with contextlib.suppress(UserError):
                reader.read(
                    Path(home) / "x" if reader.folder else Path(home) / "x" / name
                )
        used = int(Path("/proc/self/statm").read_text().split()[0])
        limit = used * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(start, stop):
            rng = random.Random(f"{reader.name} {seed} {number}")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            begun = time.process_time()
            told = attempt(reader, files, Path(home) / "x", rng)
            signal.setitimer(signal.ITIMER_PROF, 0)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            pipe.send((told, peak - before, time.process_time() - begun))


def fuzz(reader: Reader, inputs: int, seed: int = 0) -> Outcome:
    """Try a reader on damaged files.

    Arguments
    ---------
    reader : Reader
        The reader.
    inputs : int
        How many.
    seed : int
        Of the damage.

    Returns
    -------
    Outcome
        A process that dies is one of its others.
    """
    outcome = Outcome()
    context = multiprocessing.get_context("fork")
    while outcome.inputs < inputs:
        start = outcome.inputs
        stop = min(inputs, start + PIECE)
        ours, theirs = context.Pipe(False)
        child = context.Process(target=_piece, args=(reader, seed, start, stop, theirs))
        child.start()
        theirs.close()
        for number in range(start, stop):
            try:
                # It waits for something, or is in code that does not hear the alarm.
                if not ours.poll(PATIENCE):
                    child.kill()
                told, memory, seconds = ours.recv()
            except EOFError:
                child.join()
                told, memory, seconds = f"the process ended with {child.exitcode}", 0, 0
            good, refused = not told, told.startswith("UserError: ")
            others = () if good or refused else (f"{reader.name} {number}: {told}",)
            outcome += Outcome(1, good, refused, others, memory, seconds)
            if told.startswith("the process ended"):
                break
        ours.close()
        child.join()
    return outcome


def main(argv: list[str] | None = None) -> int:
    """Try all readers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--inputs", type=int, default=50_000, help="in all")
    parser.add_argument("--only", default="", help="readers whose name holds this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="readers at once")
    args = parser.parse_args(argv)
    os.environ["TQDM_DISABLE"] = "1"
    chosen = readers(args.only)
    if not chosen:
        parser.error(f"no reader's name holds {args.only!r}")
    print(
        f"`python -m tests.fuzz --inputs={args.inputs} --seed={args.seed}`, "
        f"Python {platform.python_version()}:\n\n"
        "| reader | inputs | values | UserErrors | others | more memory | most CPU time |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    total = Outcome()
    shares = [(args.inputs + number) // len(chosen) for number in range(len(chosen))]
    asked = [chosen, shares, itertools.repeat(args.seed)]
    # Readers cannot be pickled; processes that are forked know them.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(args.processes, context, _know, asked) as pool:
        for reader, outcome in zip(
            chosen, pool.map(_fuzz_known, range(len(chosen))), strict=True
        ):
            _row(reader.name, outcome)
            total += outcome
    _row("**all**", total)
    for line in total.others:
        print(line, file=sys.stderr)
    return bool(total.others)


_known: list[tuple] = []


def _know(*asked) -> None:
    _known[:] = zip(*asked, strict=False)


def _fuzz_known(number: int) -> Outcome:
    return fuzz(*_known[number])


def _row(name: str, outcome: Outcome) -> None:
    print(
        f"| {name} | {outcome.inputs:,} | {outcome.values:,} | {outcome.refusals:,} "
        f"| {len(outcome.others):,} | {outcome.memory / 1024:.0f} MB "
        f"| {outcome.seconds:.2f} s |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
