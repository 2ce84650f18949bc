"""``xser serve`` in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Server:
    """``xser serve`` in a process and folders of its own."""

    def __init__(
        self, model: Path | str, folder: Path, *options: str, **environment: str
    ):
        self.folder, self.scratch = folder / "here", folder / "tmp"
        for path in (self.folder, self.scratch):
            path.mkdir(exist_ok=True)
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "xser_brain", "serve", str(model), *options],
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.scratch), **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        said = self.process.stdout.readline()
        found = re.search(r"the page is at (http://127\.0\.0\.1:\d+/)", said)
        assert found, said + self.log.read_text()
        self.url = found[1]

    def files(self) -> list[str]:
        """What lies about, but for the lock and the examples."""
        found = [p for f in (self.folder, self.scratch) for p in f.rglob("*.*")]
        return [str(p) for p in found if p.is_file() and ", " not in p.name]

    def stop(self, number: int) -> int:
        """Send a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def serving(
    model: Path | str, folder: Path, *options: str, **environment: str
) -> Iterator[Server]:
    """Serve until the end of the block."""
    server = Server(model, folder, *options, **environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
