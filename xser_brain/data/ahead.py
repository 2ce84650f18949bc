"""Audio that is read while something else is worked on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item, Read = TypeVar("Item"), TypeVar("Read")


def read_ahead(
    batches: Iterable[Sequence[Item]],
    read: Callable[[Item], Read],
    ahead: int = 32,
    threads: int | None = None,
) -> Iterator[tuple[Sequence[Item], list[Read]]]:
    """Read audio in threads while the caller works; yields batches and what was read.

    libsndfile works outside the interpreter's lock, so threads are enough. ``ahead`` is
    how many items are read before they are asked for.
    """
    waiting: deque[tuple[Sequence[Item], list[Future]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for items in batches:
                waiting.append((items, [pool.submit(read, item) for item in items]))
                if sum(len(items) for items, _ in waiting) > ahead:
                    items, futures = waiting.popleft()
                    yield items, [future.result() for future in futures]
            for items, futures in waiting:
                yield items, [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)
