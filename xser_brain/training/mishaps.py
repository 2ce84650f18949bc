"""What may befall a run from outside, said in one line instead of a traceback."""

import re

from xser_brain.training import disk

GO_ON = "the run goes on where it was saved"
MEMORY = re.compile(
    r"can't allocate memory|[Cc]annot allocate memory|out of memory|bad_alloc"
)


def explain(error: BaseException) -> str | None:
    """What has happened and how to mend it, or None if it is no such mishap.

    Arguments
    ---------
    error : BaseException
        What ended the run.

    Returns
    -------
    str or None

    Example
    -------
    >>> explain(MemoryError()).split(":")[0]
    'not enough memory'
    >>> explain(ValueError("another matter")) is None
    True
    """
    text = str(error)
    refused = disk.reason(error)
    if refused is not None:
        return f"cannot write {refused}: {disk.MEND}"
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | OSError) and MEMORY.search(text)
    ):
        return (
            "not enough memory: lower --batch_size or --num_workers, or share a batch "
            f"by --processes; {GO_ON}"
        )
    if isinstance(error, FileNotFoundError):
        return (
            f"{error.filename} is not there: if it was moved in mid-run, move it back, "
            f"and {GO_ON}"
        )
    return None
