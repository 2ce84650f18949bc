"""Signals that stop a run: what it is at is finished and kept, then it ends.

While training, a run that is asked to stop does so once a step, or a validation, is whole
and saved; at any other time there is nothing to save, and it ends at once.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stopped(BaseException):
    """A run that was asked to stop, and has; not an error.

    Arguments
    ---------
    signum : int
        Of the signal that asked.
    """

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = int(signum)

    @property
    def code(self) -> int:
        """The exit code that shells give to it: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + self.signum


# Of two Ctrl-C so many seconds apart the second breaks off. Both a terminal and who
# launched several processes pass on the first.
APART = 0.5
_asked: list[tuple[int, float]] = []
_saves = False


def asked() -> int | None:
    """The signal that asks to stop, or None."""
    return _asked[0][0] if _asked else None


def _ask(signum: int, frame: object) -> None:
    now = time.monotonic()
    impatient = signum == signal.SIGINT and any(now - t > APART for _, t in _asked)
    _asked.append((signum, now))
    if not _saves or impatient:
        raise Stopped(signum)


@contextlib.contextmanager
def heeded(*more: int) -> Iterator[None]:
    """Within this, signals end a run in order, by ``Stopped``.

    Arguments
    ---------
    *more : int
        Signals beside ``SIGNALS``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hands signals to the main thread alone
        return
    before = {number: signal.signal(number, _ask) for number in (*SIGNALS, *more)}
    try:
        yield
    finally:
        _asked.clear()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def saving() -> Iterator[None]:
    """Within this, whoever runs looks at ``asked`` and saves before it stops."""
    global _saves
    _saves = True
    try:
        yield
    finally:
        _saves = False
