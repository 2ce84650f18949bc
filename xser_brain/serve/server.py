"""Serve the page until it is stopped, and leave nothing behind."""

import contextlib
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from data_prep.errors import UserError
from xser_brain.inference import Classifier
from xser_brain.serve.examples import write_examples
from xser_brain.serve.limits import Limits
from xser_brain.serve.uploads import Uploads

PORTS = range(7860, 7960)
MEGABYTE = 2**20  # as Gradio counts them


def serve(
    classifier: Classifier,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = False,
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

    Raises
    ------
    UserError
        If Gradio is not installed, or the address cannot be had.
    """
    port = _free_port(host, port)
    with _stop_signals() as ended, Uploads() as uploads:
        _prepare(uploads.folder, host)
        try:
            import gradio

            from xser_brain.serve.page import CSS, FONTS, Page
        except ImportError as error:
            raise UserError(
                f"{error.name} is not installed: pip install 'xser-brain[serve]'"
            ) from error
        examples = write_examples(uploads.root / "examples", classifier.config)
        blocks = Page(classifier, limits, uploads, examples).build()
        uploads.keep()
        try:
            _, url, _ = blocks.launch(
                server_name=host,
                server_port=port,
                inbrowser=browser,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                footer_links=[],
                max_file_size=round(limits.megabytes * MEGABYTE),
                allowed_paths=[str(uploads.root / "examples")],
                theme=gradio.themes.Default(**FONTS),
                css=CSS,
            )
            print(f"the page is at {url} (stop it with Ctrl-C)", flush=True)
            if not _is_loopback(host):
                print(
                    "anyone who can reach this machine can use it: there is no password",
                    flush=True,
                )
            ended.wait()
        finally:
            blocks.close(verbose=False)


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


def _prepare(folder: Path, host: str) -> None:
    """What Gradio reads when it is imported: it keeps here, and calls nobody."""
    os.environ.update(
        GRADIO_TEMP_DIR=str(folder),
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_RUN_HISTORY="False",
        HF_HUB_OFFLINE="1",
    )
    # So that Gradio finds its own server where there is a proxy.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), host]))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
