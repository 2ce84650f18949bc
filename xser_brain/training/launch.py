"""Several processes of this machine for one run, each with a GPU if there are any."""

import os
import signal
import socket
from collections.abc import Callable, Sequence

from data_prep.errors import UserError
from data_prep.progress import lock_alone
from xser_brain.training.stopping import Stopped

OPTION = "--processes"
GRACE = 60  # seconds in which processes may save and end, once one has ended


def split(argv: Sequence[str]) -> tuple[int, list[str]]:
    """Take the number of processes out of a command line.

    Arguments
    ---------
    argv : sequence of str
        A run's.

    Returns
    -------
    int
        1 unless there is ``--processes=N``.
    list of str
        All other arguments.

    Raises
    ------
    UserError
        If it is no whole number from 1 on.

    Example
    -------
    >>> split(["a.yaml", "--processes=4", "--seed=2"])
    (4, ['a.yaml', '--seed=2'])
    """
    rest, found = [], "1"
    left = list(argv)
    while left:
        key, equals, value = left.pop(0).partition("=")
        if key != OPTION:
            rest.append(key + equals + value)
        elif equals or left:
            found = value if equals else left.pop(0)
        else:
            found = ""
    if not found.isascii() or not found.isdigit() or int(found) < 1:
        raise UserError(f"{OPTION} is {found!r}: set a whole number from 1 on")
    return int(found), rest


def launch(function: Callable, argv: Sequence[str], processes: int) -> None:
    """Let processes carry out one run together, as ``torchrun`` would.

    A signal is passed on to them, so that they save and end; if this process is killed,
    they end too.

    Arguments
    ---------
    function : callable
        What each does with ``argv``; known by its name in a module.
    argv : sequence of str
        Of the run.
    processes : int
        How many.

    Raises
    ------
    UserError
        What one of them has raised, or that it was killed.
    Stopped
        Once they have saved, if this process or they were asked to stop.
    """
    from torch import multiprocessing

    if "RANK" in os.environ:
        raise UserError(f"torchrun starts the processes already: leave {OPTION} out")
    os.environ.setdefault("OMP_NUM_THREADS", str(_threads(processes)))
    arguments = function, list(argv), processes, _free_port()
    context = multiprocessing.start_processes(
        _work, arguments, nprocs=processes, join=False
    )
    try:
        while not context.join(grace_period=GRACE):
            pass
    except multiprocessing.ProcessRaisedException as error:
        last = str(error).strip().splitlines()[-1]
        if "UserError: " not in last:
            raise
        raise UserError(last.split("UserError: ", 1)[1]) from error
    except multiprocessing.ProcessExitedException as error:
        if error.exit_code > 128:
            raise Stopped(error.exit_code - 128) from error
        raise UserError(
            f"{error} ({processes} work together): the run goes on where it was saved"
        ) from error
    except Stopped:
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGTERM)
        for process in context.processes:
            process.join()
        raise


def _work(
    rank: int, function: Callable, argv: list[str], processes: int, port: int
) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    lock_alone()
    try:
        function(argv)
    except Stopped as stopped:
        raise SystemExit(stopped.code) from None


def _threads(processes: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // processes)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
