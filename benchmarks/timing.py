"""Timing that a busy machine disturbs little: cases take turns, medians are compared.

Ratios of medians from one run are what to report; absolute times are the machine's.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence


def seconds(case: Callable[[], object]) -> float:
    """Wall-clock time of one call.

    Arguments
    ---------
    case : callable
        Takes no argument.

    Returns
    -------
    float
        Seconds.
    """
    start = time.perf_counter()
    case()
    return time.perf_counter() - start


def cuda_seconds(case: Callable[[], object]) -> float:
    """Time that one call keeps the GPU busy, by CUDA events.

    Arguments
    ---------
    case : callable
        Takes no argument.

    Returns
    -------
    float
        Seconds.
    """
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    case()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def interleaved(
    cases: Mapping[str, Callable[[], object]],
    repeats: int,
    warmup: int = 1,
    clock: Callable[[Callable[[], object]], float] = seconds,
) -> dict[str, list[float]]:
    """Time cases in turns: all of them once, then all again.

    Arguments
    ---------
    cases : mapping of str to callable
        What to time, by name.
    repeats : int
        Timed calls of each.
    warmup : int
        Calls of each before, which are not timed.
    clock : callable
        ``seconds`` or ``cuda_seconds``.

    Returns
    -------
    dict
        The seconds of each call, by name.
    """
    for _ in range(warmup):
        for case in cases.values():
            case()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            times[name].append(clock(case))
            print(f"{name}: {times[name][-1]:.4f} s", file=sys.stderr)
    return times


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """A table whose columns are the keys of the first row; floats with 3 digits.

    Arguments
    ---------
    rows : sequence of mapping
        The rows, all with the same keys.

    Returns
    -------
    str
        Markdown.
    """

    def cell(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[cell(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
