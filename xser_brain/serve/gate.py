"""What stands before Gradio: which requests reach it, and what browsers are told.

Gradio answers far more than this page needs (it fetches URLs, relays to other servers,
edits its own source), and each version adds to that. Only what the page itself asks for
is let through.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data_prep.errors import UserError
from data_prep.outside import inside, parse_json
from xser_brain.serve.access import is_address, visitor
from xser_brain.serve.limits import Limits
from xser_brain.serve.quota import MEGABYTE, Quota, QuotaError

API = "/gradio_api"
UPLOAD = f"{API}/upload"
CALLS = (f"{API}/run/predict", f"{API}/queue/join")  # their bodies name files
ROUTES = {
    "GET": re.compile(
        r"/|/config|/theme\.css|/favicon\.ico|/(assets|static|svelte)/.+"
        rf"|{API}/(info|app_id|startup-events|theme\.css|upload_progress|queue/data)"
        rf"|{API}/(heartbeat/\w+|file=.+)"
    ),
    "POST": re.compile(f"{UPLOAD}|{'|'.join(CALLS)}|{API}/(cancel|reset)"),
}
FILE = f"{API}/file="
LARGEST_CALL = 2**16  # bytes
ENVELOPE = 2**14  # bytes of an upload around its file
TRIES = 20  # of passwords, in a period
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
# Scripts are those of the page, by a nonce, and what they import from here. Svelte and
# the player of recordings set styles of elements, and the player plays blobs.
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob:; "
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Refused(Exception):
    """A request that gets no further: status, words, and headers."""


class Gate:
    """An ASGI application around Gradio's.

    Arguments
    ---------
    app : ASGI application
        Gradio's.
    limits : Limits
        What a visitor may ask for.
    quota : Quota
        Of what is sent.
    folders : sequence of Path
        Files below these may be named by visitors: uploads and examples.
    names : sequence of str
        Names of this server, beside addresses and ``localhost``.
    passwords : mapping of str to str, optional
        By user; without, anyone may come in.
    script : str
        JavaScript of ours, put into the page.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        quota: Quota,
        folders: Sequence[Path],
        names: Sequence[str] = (),
        passwords: Mapping[str, str] | None = None,
        script: str = "",
    ):
        self.script = script
        self.app, self.limits, self.quota = app, limits, quota
        self.folders, self.passwords = folders, dict(passwords or {})
        self.names = {name.lower().rstrip(".") for name in names} | {"localhost"}
        self._tries = Quota(TRIES, 100 * TRIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have Gradio answer it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        nonce = secrets.token_urlsafe(16)
        send = _with_headers(send, POLICY.format(nonce=nonce))
        told = _Told(send, nonce, self.script)
        try:
            self._require(scope)
            receive = await self._watched(scope, receive, told)
            await self.app(_plain(scope), receive, told)
        except Refused as refused:
            told.refused = told.refused or refused
        except Exception:
            if not told.refused:
                raise
        if told.refused and not told.started:
            status, text, *headers = told.refused.args
            headers = {"Connection": "close", **dict(*headers)}
            await PlainTextResponse(text, status, headers)(scope, receive, send)

    def _require(self, scope: Scope) -> None:
        """Refuse what is none of the page's requests, or comes from another page."""
        headers = Headers(scope=scope)
        if not self._is_own(headers.get("host", "")):
            raise Refused(421, "not a name of this server: see --host-name")
        origin = headers.get("origin")
        if origin and not self._is_own(origin.partition("://")[2]):
            raise Refused(403, "asked from another page")
        if self.passwords:
            self._require_password(headers, _visitor(scope))
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        path, allowed = scope["path"], ROUTES.get(method)
        if not (allowed and allowed.fullmatch(path)):
            raise Refused(404, "not a page of this server")
        if path.startswith(FILE):
            self._require_inside(path.removeprefix(FILE))

    def _is_own(self, host: str) -> bool:
        """Whether this server is called so; an address cannot be another's name."""
        match = re.fullmatch(r"\[([0-9a-f:.]+)\](:\d+)?|([^:]+)(:\d+)?", host.lower())
        if not match:
            return False
        name = match[1] or match[3].rstrip(".")
        return name in self.names or is_address(name)

    def _require_password(self, headers: Headers, who: str) -> None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        asked = {"WWW-Authenticate": 'Basic realm="xser", charset="UTF-8"'}
        if kind.lower() != "basic":
            raise Refused(401, "a user and a password are asked for", asked)
        try:
            text = base64.b64decode(given.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            text = ""
        user, _, password = text.partition(":")
        known = self.passwords.get(user)
        # The same time for users that there are and those that there are not.
        same = hmac.compare_digest((known or "").encode(), password.encode())
        if known is not None and same:
            return
        try:
            self._tries.take(who)
        except QuotaError as error:
            raise Refused(429, f"wrong passwords: {error}") from error
        raise Refused(401, "wrong user or password", asked)

    def _require_inside(self, name: str) -> None:
        # All that was sent has an absolute path; a URL would count as a relative one.
        for folder in self.folders if name.startswith("/") else ():
            try:
                inside(folder, name)
            except UserError:
                continue
            return
        raise Refused(403, "no file that was sent here; nothing is fetched either")

    async def _watched(self, scope: Scope, receive: Receive, told: "_Told") -> Receive:
        """The body of a request: small and read already, or counted as it comes."""
        if scope["method"] != "POST":
            return receive
        if scope["path"] == UPLOAD:
            return self._counted(scope, receive, told)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > LARGEST_CALL:
                raise Refused(413, "too long")
        if scope["path"] in CALLS:
            try:
                call = parse_json(body, "this")
            except UserError as error:
                raise Refused(400, str(error)) from error
            for name in _named_files(call):
                self._require_inside(name)
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def read() -> Message:
            return next(messages, None) or await receive()

        return read

    def _counted(self, scope: Scope, receive: Receive, told: "_Told") -> Receive:
        """An upload, of one file, until it is more than its share."""
        headers = Headers(scope=scope)
        most = self.limits.megabytes * MEGABYTE + ENVELOPE
        _, _, boundary = headers.get("content-type", "").partition("boundary=")
        mark = b"--" + boundary.strip('"').encode("latin-1")
        try:
            share = self.quota.take(_visitor(scope))
        except QuotaError as error:
            raise Refused(429, str(error)) from error
        # Of a file, the mark stands before it and behind it.
        sent, marks, last = 0, 0, b""

        async def count() -> Message:
            nonlocal sent, marks, last
            message = await receive()
            body = message.get("body", b"")
            sent += len(body)
            marks += (last + body).count(mark)
            last = (last + body)[-(len(mark) - 1) :]
            try:
                self.quota.add(share, len(body))
            except QuotaError as error:
                told.refused = Refused(429, str(error))
            if sent > most:
                told.refused = Refused(413, f"more than {self.limits.megabytes:g} MB")
            if marks > 2:
                told.refused = Refused(413, "send one recording at a time")
            if told.refused:
                raise told.refused
            return message

        return count


class _Told:
    """What Gradio answers, unless the request has been refused by then."""

    def __init__(self, send: Send, nonce: str, script: str = ""):
        self.send, self.nonce, self.script = send, nonce, script
        self.refused: Refused | None = None
        self.started = False
        self._head: Message | None = None
        self._page = b""

    async def __call__(self, message: Message) -> None:
        if self.refused and not self.started:
            return
        if message["type"] == "http.response.start":
            kind = Headers(raw=message["headers"]).get("content-type", "")
            if kind.startswith("text/html"):
                self._head = message  # sent once it is known how long the page is
                return
        if self._head is None:
            self.started = True
            await self.send(message)
            return
        self._page += message.get("body", b"")
        if not message.get("more_body", False):
            # Before all others: it must be there when these make a player.
            own = f"<head><script>{self.script}</script>" if self.script else "<head>"
            page = self._page.replace(b"<head>", own.encode(), 1)
            page = page.replace(b"<script", f'<script nonce="{self.nonce}"'.encode())
            MutableHeaders(raw=self._head["headers"])["content-length"] = str(len(page))
            self.started = True
            await self.send(self._head)
            await self.send({"type": "http.response.body", "body": page})


def _with_headers(send: Send, policy: str) -> Send:
    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            headers = MutableHeaders(raw=message["headers"])
            headers["Content-Security-Policy"] = policy
            headers.update(HEADERS)
        await send(message)

    return tell


def _plain(scope: Scope) -> Scope:
    """The request without what would have Gradio compress, or name another server."""
    left_out = (b"accept-encoding", b"x-forwarded-host", b"x-gradio-server")
    headers = [item for item in scope["headers"] if item[0].lower() not in left_out]
    return {**scope, "headers": headers}


def _named_files(value: object) -> Iterator[str]:
    """What a call gives for paths, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "path" and inner is not None:
                yield inner if isinstance(inner, str) else ""
            yield from _named_files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named_files(inner)


def _visitor(scope: Scope) -> str:
    return visitor((scope.get("client") or ("unknown",))[0])
