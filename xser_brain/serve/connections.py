"""The web server: uvicorn in a thread, which closes connections that lead nowhere."""

import threading
from collections import Counter

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from data_prep.errors import UserError
from xser_brain.serve.access import visitor

MOST, MOST_OF_ONE = 1000, 100  # connections: in all, and of one visitor
SLOWEST = 600.0  # seconds that a request may take to come in
STARTING, ENDING = 60, 2  # seconds
LOOK = 4  # times within the time allowed


def connections(idle: float) -> type[H11Protocol]:
    """Connections that are closed where nothing comes, or too little.

    uvicorn itself closes those on which a request has been answered, and waits for ever
    for the first one, or for the rest of one.

    Arguments
    ---------
    idle : float
        Seconds.

    Returns
    -------
    type
        For uvicorn's ``http``.
    """
    held: Counter[str] = Counter()

    class Connection(H11Protocol):
        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            self._visitor = visitor((self.client or ("unknown",))[0])
            held[self._visitor] += 1
            self._heard = self._turn = self.loop.time()
            if held[self._visitor] > MOST_OF_ONE:
                transport.close()
            else:
                self._watch()

        def connection_lost(self, exc) -> None:
            held[self._visitor] -= 1
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._heard = self.loop.time()
            super().data_received(data)

        def _watch(self) -> None:
            if self.transport.is_closing():
                return
            now, cycle = self.loop.time(), self.cycle
            if cycle and not cycle.response_complete and not cycle.more_body:
                self._heard = self._turn = now  # it is this server's turn
            if now - self._heard > idle or now - self._turn > SLOWEST:
                self.transport.close()
            else:
                self.loop.call_later(idle / LOOK, self._watch)

    return Connection


class WebServer:
    """An application on an address, from ``with`` to its end.

    Arguments
    ---------
    app : ASGI application
        What answers.
    host : str
        Address.
    port : int
        Port.
    idle : float
        Seconds after which a connection is closed on which nothing comes.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, idle: float):
        config = uvicorn.Config(
            app,
            host.strip("[]"),
            port,
            http=connections(idle),
            ws="none",
            log_level="warning",
            server_header=False,
            limit_concurrency=MOST,
            timeout_graceful_shutdown=ENDING,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> "WebServer":
        self._thread.start()
        for _ in range(10 * STARTING):
            if self._server.started:
                return self
            self._thread.join(0.1)
            if not self._thread.is_alive():
                break
        raise UserError("the page cannot be served: see the lines above for the reason")

    def __exit__(self, *exception) -> None:
        self._server.should_exit = True
        self._thread.join(10 * ENDING)
