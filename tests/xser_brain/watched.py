"""Watch which sockets a process and its children open, but for those of this machine."""

import os
from pathlib import Path

HOOK = """
import os, sys

def watch(event, args):
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if isinstance(address, tuple) and not str(address[0]).startswith(
            ("127.", "::1", "localhost", "0.0.0.0")
        ):
            note(event, address)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if args[0] not in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0"):
            note(event, args[0])

def note(event, what):
    out = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, f"{event} {what}\\n".encode())
    os.close(out)

sys.addaudithook(watch)
"""


def environment(folder: Path) -> dict[str, str]:
    """Variables with which Python notes what it asks of other machines.

    Arguments
    ---------
    folder : Path
        Where the hook and the notes go.

    Returns
    -------
    dict of str to str
    """
    (folder / "hook").mkdir()
    (folder / "hook/sitecustomize.py").write_text(HOOK)
    path = [str(folder / "hook"), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "WATCHED": str(folder / "asked"),
    }


def asked(folder: Path) -> list[str]:
    """What was noted: names that were looked up and addresses that were called."""
    notes = folder / "asked"
    return notes.read_text().splitlines() if notes.exists() else []
