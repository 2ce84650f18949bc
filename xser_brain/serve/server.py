"""Serve the page until it is stopped, and leave nothing behind."""

import contextlib
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from data_prep.errors import UserError
from xser_brain.inference import Classifier
from xser_brain.serve.access import is_loopback
from xser_brain.serve.examples import write_examples
from xser_brain.serve.limits import Limits
from xser_brain.serve.quota import MEGABYTE, Quota
from xser_brain.serve.uploads import Uploads

PORTS = range(7860, 7960)


def serve(
    classifier: Classifier,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = False,
    names: Sequence[str] = (),
    passwords: Mapping[str, str] | None = None,
) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Arguments
    ---------
    classifier : Classifier
        The model.
    limits : Limits
        What a visitor may ask for.
    host : str
        Address to listen on.
    port : int, optional
        By default the first free one from 7860 on.
    browser : bool
        Whether to open the page.
    names : sequence of str
        From ``xser_brain.serve.access.own_names``.
    passwords : mapping of str to str, optional
        By user; without, anyone may use it.

    Raises
    ------
    UserError
        If Gradio is not installed, or the address cannot be had.
    """
    port = _free_port(host, port)
    with _stop_signals() as ended, Uploads() as uploads:
        _prepare(uploads.folder)
        try:
            from xser_brain.serve.page import Page
        except ImportError as error:
            raise UserError(
                f"{error.name} is not installed: pip install 'xser-brain[serve]'"
            ) from error
        examples = write_examples(uploads.root / "examples", classifier.config)
        page = Page(classifier, limits, uploads, examples, _quota(limits))
        with _web_server(page, limits, uploads, host, port, names, passwords):
            anywhere = host == "0.0.0.0"  # nosec B104 # compared, not chosen
            url = f"http://{'localhost' if anywhere else host}:{port}/"
            print(f"the page is at {url} (stop it with Ctrl-C)", flush=True)
            if not is_loopback(host):
                print(_who_may_come(passwords), flush=True)
            if browser:
                webbrowser.open(url)
            ended.wait()


def _web_server(page, limits, uploads, host, port, names, passwords):
    """Gradio's application behind the gate, ready to be started."""
    import fastapi
    import gradio

    from xser_brain.serve.connections import WebServer
    from xser_brain.serve.gate import Gate
    from xser_brain.serve.page import CSS, FONTS

    blocks = page.build()
    uploads.keep()
    given = uploads.root / "examples"
    app = gradio.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None),
        blocks,
        "/",
        show_error=False,
        max_file_size=round(limits.megabytes * MEGABYTE),
        allowed_paths=[str(given)],
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=gradio.themes.Default(**FONTS),
        css=CSS,
    )
    folders = (uploads.folder, given)
    script = resources.files(__package__).joinpath("player.js").read_text("utf-8")
    gate = Gate(app, limits, _quota(limits), folders, names, passwords, script)
    return WebServer(gate, host, port, limits.idle)


def _quota(limits: Limits) -> Quota:
    return Quota(
        limits.per_visitor,
        limits.in_all,
        limits.megabytes_per_visitor,
        limits.megabytes_in_all,
    )


def _who_may_come(passwords: Mapping[str, str] | None) -> str:
    if passwords:
        return (
            "anyone who can reach this machine and has a password can use it; what is "
            "sent, the password too, is not encrypted: put a server with https before it"
        )
    return "anyone who can reach this machine can use it: there is no password (see --auth)"


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Set as soon as a signal comes, so that everything is removed first."""
    ended = threading.Event()
    former = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield ended
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _free_port(host: str, port: int | None) -> int:
    """A port that can be listened on; Gradio would ask for long, and in vain."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in PORTS if port is None else [port]:
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host.strip("[]"), candidate))
                return candidate
            except (OSError, OverflowError) as error:
                reason = error
    raise UserError(
        f"cannot listen on {host}, port {candidate} ({reason}): pass another --host or "
        "--port"
    ) from reason


def _prepare(folder: Path) -> None:
    """What Gradio reads when it is imported: it keeps here, and calls nobody."""
    os.environ.update(
        GRADIO_TEMP_DIR=str(folder),
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_RUN_HISTORY="False",
        HF_HUB_OFFLINE="1",
    )
