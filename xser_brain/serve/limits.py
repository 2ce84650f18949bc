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
    at_once : int
        Recordings classified at a time.
    waiting : int
        Recordings that may wait for their turn.

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
    at_once: int = 1
    waiting: int = 100

    def __post_init__(self):
        for name, value in vars(self).items():
            if not value > 0:
                raise UserError(f"--{name} is {value}: give more than 0")
