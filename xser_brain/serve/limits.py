"""What a visitor may ask of a server."""

from dataclasses import dataclass

from data_prep.errors import UserError


@dataclass(frozen=True)
class Limits:
    """What a visitor may ask for.

    Arguments
    ---------
    megabytes : float
        Size of a recording as it is sent.
    seconds : float
        Its length.
    answer_seconds : float
        Most time that the classifier takes over it.
    at_once : int
        Recordings classified at a time.
    waiting : int
        Recordings that may wait for their turn.
    per_visitor, in_all : int
        Recordings that one visitor, and all of them together, may send within
        ``xser_brain.serve.quota.PERIOD``.
    megabytes_per_visitor, megabytes_in_all : float
        Their size.
    idle : float
        Seconds after which a connection on which nothing comes is closed.

    Raises
    ------
    UserError
        If one of them allows nothing.

    Example
    -------
    >>> Limits(seconds=60).seconds
    60
    """

    megabytes: float = 25.0
    seconds: float = 600.0
    answer_seconds: float = 60.0
    at_once: int = 1
    waiting: int = 100
    per_visitor: int = 60
    in_all: int = 600
    megabytes_per_visitor: float = 250.0
    megabytes_in_all: float = 2500.0
    idle: float = 30.0

    def __post_init__(self):
        for name, value in vars(self).items():
            if not value > 0:
                raise UserError(f"--{name} is {value}: give more than 0")
