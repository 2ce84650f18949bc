"""How much visitors send, one by one and all together."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field

PERIOD = 600.0  # seconds that a quota looks back
MEGABYTE = 2**20  # as Gradio counts them


class QuotaError(Exception):
    """More than is allowed; its text is for the visitor."""


@dataclass
class Share:
    """What one recording has taken of a quota: when, of whose, how many bytes."""

    start: float
    visitor: str
    size: int = 0


@dataclass
class Quota:
    """Recordings and their bytes within the last ``PERIOD``.

    Arguments
    ---------
    per_visitor, in_all : int
        Recordings.
    megabytes_per_visitor, megabytes_in_all : float
        Their size.

    Example
    -------
    >>> quota = Quota(per_visitor=1, in_all=9)
    >>> share = quota.take("192.0.2.1")
    >>> quota.take("192.0.2.1")
    Traceback (most recent call last):
        ...
    xser_brain.serve.quota.QuotaError: at most 1 in 10 minutes: try again later
    """

    per_visitor: int
    in_all: int
    megabytes_per_visitor: float = float("inf")
    megabytes_in_all: float = float("inf")
    _shares: deque[Share] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, visitor: str, size: int = 0) -> Share:
        """Count one more recording.

        Arguments
        ---------
        visitor : str
            Whose.
        size : int
            Bytes, as far as they are known.

        Returns
        -------
        Share
            For ``add``.

        Raises
        ------
        QuotaError
            If that is too much; it does not count then.
        """
        with self._lock:
            now = time.monotonic()
            while self._shares and self._shares[0].start < now - PERIOD:
                self._shares.popleft()
            own = sum(share.visitor == visitor for share in self._shares)
            if own >= self.per_visitor:
                raise _too_much(f"at most {self.per_visitor}")
            if len(self._shares) >= self.in_all:
                raise QuotaError("too many visitors at the moment: try again later")
            share = Share(now, visitor)
            self._shares.append(share)
        try:
            self.add(share, size)
        except QuotaError:
            with self._lock:
                self._shares.remove(share)
            raise
        return share

    def add(self, share: Share, size: int) -> None:
        """Count bytes as they come in.

        Arguments
        ---------
        share : Share
            From ``take``.
        size : int
            Bytes.

        Raises
        ------
        QuotaError
            If that is too much.
        """
        with self._lock:
            share.size += size
            shares = [other for other in self._shares if other.visitor == share.visitor]
            if sum(s.size for s in shares) > self.megabytes_per_visitor * MEGABYTE:
                raise _too_much(f"at most {self.megabytes_per_visitor:g} MB")
            if sum(s.size for s in self._shares) > self.megabytes_in_all * MEGABYTE:
                raise QuotaError("too many visitors at the moment: try again later")


def _too_much(most: str) -> QuotaError:
    return QuotaError(f"{most} in {PERIOD / 60:g} minutes: try again later")
