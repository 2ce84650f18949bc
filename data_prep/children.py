"""Modules of this package that run in processes of their own."""

import os
import subprocess  # nosec B404 # runs only this package's own modules
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def start(module: str, **options) -> subprocess.Popen:
    """Run a module as ``python -m`` does, with what this process can import.

    Its working folder is that of the package: in a folder of somebody else's, files would
    be taken for modules.

    Arguments
    ---------
    module : str
        Its name.
    **options
        Of ``subprocess.Popen``; ``env`` is added to that of this process.

    Returns
    -------
    subprocess.Popen
        Its standard input and output are pipes.
    """
    importable = os.pathsep.join(
        [str(ROOT), *map(os.path.abspath, filter(None, sys.path))]
    )
    options["env"] = {
        **os.environ,
        "PYTHONPATH": importable,
        **options.get("env", {}),
    }
    return subprocess.Popen(  # nosec B603 # this Python, and no shell
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        **options,
    )
