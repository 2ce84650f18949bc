"""Audio that is read while something else is worked on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from data_prep.manifest import Row


def read_ahead(
    batches: Iterable[list[Row]],
    read: Callable[[Row], torch.Tensor],
    ahead: int = 32,
) -> Iterator[tuple[list[Row], list[torch.Tensor]]]:
    """Read audio in threads while the caller works; yields batches and their tensors.

    libsndfile works outside the interpreter's lock, so threads are enough. ``ahead`` is
    how many utterances are read before they are asked for.
    """
    waiting: deque[tuple[list[Row], list[Future]]] = deque()
    with ThreadPoolExecutor() as pool:
        try:
            for rows in batches:
                waiting.append((rows, [pool.submit(read, row) for row in rows]))
                if sum(len(rows) for rows, _ in waiting) > ahead:
                    rows, futures = waiting.popleft()
                    yield rows, [future.result() for future in futures]
            for rows, futures in waiting:
                yield rows, [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)
