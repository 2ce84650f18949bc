"""What people see of a run; all else, SpeechBrain's lines among it, is in its log.txt."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from speechbrain.core import DEFAULT_LOG_CONFIG
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import TqdmCompatibleStreamHandler
from tqdm import tqdm

from data_prep.outside import Printable
from data_prep.progress import bar, silenced

LOG_CONFIG = str(Path(__file__).with_name("log.yaml"))
OURS = ("xser_brain", "data_prep")
LINE = "step {n_fmt} of {total_fmt} |{bar:20}| {desc}{remaining} left"


class _Line(Printable):
    """A message as it is, or as a warning or error."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        calm = record.levelno < logging.WARNING
        return text if calm else f"{record.levelname.lower()}: {text}"


class Console(TqdmCompatibleStreamHandler):
    """Shows what this project says, and of others only what they warn of."""

    def __init__(self):
        super().__init__(sys.stdout)
        self.setLevel(logging.INFO)
        self.setFormatter(_Line())

    def filter(self, record: logging.LogRecord):
        """See ``logging.Handler``."""
        ours = record.name.split(".")[0] in OURS or record.levelno >= logging.WARNING
        return ours and super().filter(record)


@contextlib.contextmanager
def opened(noprogressbar: bool) -> Iterator[None]:
    """Within this the main process speaks, before the run has a log too."""
    main, root = if_main_process(), logging.getLogger()
    console, levels = Console(), {}
    with silenced(noprogressbar or not main):
        if main:
            for handler in root.handlers[:]:  # of an earlier run in this process
                if isinstance(handler, TqdmCompatibleStreamHandler):
                    root.removeHandler(handler)
            root.addHandler(console)
            for name in OURS:
                levels[name] = logging.getLogger(name).level
                logging.getLogger(name).setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.removeHandler(console)
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def steps(total: int) -> tqdm:
    """The line of progress of a training that takes ``total`` steps."""
    # Its time left goes by all that was done, validations among it.
    return bar(total=total, bar_format=LINE, smoothing=0, dynamic_ncols=True)


def log_config(given: str | None, verbose: bool) -> str:
    """What SpeechBrain sets logging up by: what is given, else its own if ``verbose``."""
    return given or (DEFAULT_LOG_CONFIG if verbose else LOG_CONFIG)
