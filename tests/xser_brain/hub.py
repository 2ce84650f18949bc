"""A hub of Hugging Face on this machine: as much of its API as publishing needs."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

LICENCES = ("other", "cc-by-nc-sa-4.0", "apache-2.0")


@dataclass
class Repo:
    """Branches are lists of commits; a commit is its files."""

    private: bool = False
    messages: list[str] = field(default_factory=list)
    branches: dict[str, list[dict[str, bytes]]] = field(
        default_factory=lambda: {"main": [{".gitattributes": b"*.safetensors lfs\n"}]}
    )

    def commit(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Hash and files of a branch's head, or of a commit by its hash."""
        if revision in self.branches:
            files = self.branches[revision][-1]
            return sha_of(files), files
        known = (files for commits in self.branches.values() for files in commits)
        found = [files for files in known if sha_of(files) == revision]
        return (revision, found[0]) if found else None


def sha_of(files: dict[str, bytes]) -> str:
    text = "".join(f"{n} {oid(files[n])}\n" for n in sorted(files))
    return hashlib.sha1(text.encode()).hexdigest()


def oid(data: bytes) -> str:
    """As git names a file."""
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def is_lfs(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


class Hub:
    """The hub's state, what it was asked, and what goes wrong in it."""

    def __init__(self):
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.tokens = {"mine": "me", "weak": "me", "yours": "you"}
        self.read_only = {"weak"}
        self.breaks = ""  # in the path of what breaks off

    @contextmanager
    def serve(self):
        """Answer, at ``endpoint``."""
        handler = type("Handler", (Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        self.store = f"http://localhost:{server.server_port}"  # of large files
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        """What a branch holds, without what the hub itself put there."""
        head = self.repos[repo].branches[branch][-1]
        return {name: data for name, data in head.items() if name != ".gitattributes"}

    def commits(self, repo: str, branch: str = "main") -> int:
        """How many there were after the first, which is the hub's."""
        return len(self.repos[repo].branches[branch]) - 1


class Refusal(Exception):
    """An answer that is none of success."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        size = int(self.headers.get("Content-Length", 0))
        broken = self.hub.breaks and self.hub.breaks in f"{self.command} {path}"
        if broken and self.command == "PUT":
            self.rfile.read(size // 2)
            self.close_connection = True
            return
        self.body = self.rfile.read(size) if size else b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        try:
            for pattern, method in ROUTES:
                command, _, rest = pattern.partition(" ")
                if self.command in command and (match := re.fullmatch(rest, path)):
                    answer = method(self, *match.groups())
                    if not broken:
                        self._send(*answer)
                    self.close_connection = bool(broken)
                    return
            raise Refusal(404, "no such page")
        except Refusal as refusal:
            status, message, *code = refusal.args
            headers = {"X-Error-Message": message}
            if code:
                headers["X-Error-Code"] = code[0]
            self._send(status, {"error": message}, headers)

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, body=b"", headers=None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # --- Who asks

    def _user(self) -> str | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in self.hub.tokens:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.tokens.get(given)

    def _writer(self, owner: str) -> None:
        user = self._user()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        token = self.headers["Authorization"].removeprefix("Bearer ")
        if user != owner or token in self.hub.read_only:
            raise Refusal(403, f"You don't have the rights to write to {owner}")

    def _repo(self, name: str) -> Repo:
        repo = self.hub.repos.get(name)
        if not repo or (repo.private and self._user() != name.partition("/")[0]):
            status = 404 if self._user() else 401
            raise Refusal(status, "Repository not found", "RepoNotFound")
        return repo

    def _commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        found = self._repo(name).commit(revision)
        if not found:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    # --- Writing

    def create(self):
        given = json.loads(self.body)
        self._writer(given["organization"])
        name = f"{given['organization']}/{given['name']}"
        url = {"url": f"{self.hub.endpoint}/{name}"}
        if name in self.hub.repos:
            return 409, url | {"error": "You already created this model repo"}
        private = given.get("private") or given.get("visibility") == "private"
        self.hub.repos[name] = Repo(bool(private))
        return 200, url

    def branch(self, name, branch):
        self._writer(name.partition("/")[0])
        branches = self._repo(name).branches
        if branch in branches:
            return 409, {"error": "Reference already exists"}
        branches[branch] = list(branches["main"])
        return 201, {}

    def validate(self):
        text = json.loads(self.body)["content"]
        licence = yaml.safe_load(text.split("---")[1])["license"]
        if licence not in LICENCES:
            message = f'"license" must be one of {LICENCES}'
            return 400, {"errors": [{"message": message}], "warnings": []}
        return 200, {"errors": [], "warnings": []}

    def preupload(self, name, revision):
        self._writer(name.partition("/")[0])
        _, files = self._commit(name, revision)

        def known(path):
            if path not in files:
                return None
            data = files[path]
            return hashlib.sha256(data).hexdigest() if is_lfs(path) else oid(data)

        return 200, {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if is_lfs(file["path"]) else "regular",
                    "shouldIgnore": False,
                    "oid": known(file["path"]),
                }
                for file in json.loads(self.body)["files"]
            ]
        }

    def batch(self, name):
        self._writer(name.partition("/")[0])
        given = json.loads(self.body)
        assert "basic" in given["transfers"]
        objects = []
        for item in given["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.blobs:
                href = f"{self.hub.store}/lfs/{item['oid']}"
                verify = {"href": f"{self.hub.endpoint}/verify"}
                answer["actions"] = {"upload": {"href": href}, "verify": verify}
            objects.append(answer)
        return 200, {"transfer": "basic", "objects": objects}

    def put(self, name):
        if hashlib.sha256(self.body).hexdigest() != name:
            raise Refusal(400, "not what was announced")
        self.hub.blobs[name] = self.body
        return 200, b""

    def verify(self):
        given = json.loads(self.body)
        if len(self.hub.blobs.get(given["oid"], b"")) != given["size"]:
            raise Refusal(422, "not there")
        return 200, {}

    def commit(self, name, revision):
        self._writer(name.partition("/")[0])
        _, files = self._commit(name, revision)
        files = dict(files)
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    raise Refusal(422, "LFS pointer to what is not there")
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
            else:
                assert item["key"] == "header"
                self._repo(name).messages.append(value["summary"])
        self._repo(name).branches[revision].append(files)
        url = f"{self.hub.endpoint}/{name}/commit/{sha_of(files)}"
        return 200, {"commitUrl": url, "commitOid": sha_of(files), "success": True}

    # --- Reading

    def whoami(self):
        return 200, {"name": self._user(), "type": "user", "orgs": []}

    def info(self, name, revision="main"):
        sha, files = self._commit(name, revision)
        return 200, {
            "_id": "0",
            "id": name,
            "modelId": name,
            "sha": sha,
            "private": self._repo(name).private,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": file} for file in files],
        }

    def tree(self, name, revision):
        _, files = self._commit(name, revision)
        entries = []
        for path, data in files.items():
            entry = {"type": "file", "path": path, "size": len(data), "oid": oid(data)}
            if is_lfs(path):
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 134}
            entries.append(entry)
        return 200, entries

    def resolve(self, name, revision, path):
        sha, files = self._commit(name, revision)
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        data = files[path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{oid(data)}"'}
        if not is_lfs(path):
            headers["Content-Length"] = str(len(data))
            return 200, data, headers
        sha256 = hashlib.sha256(data).hexdigest()
        self.hub.blobs[sha256] = data
        headers |= {
            "Location": f"{self.hub.store}/lfs/{sha256}",
            "X-Linked-ETag": f'"{sha256}"',
            "X-Linked-Size": str(len(data)),
        }
        return 302, b"", headers

    def blob(self, name):
        data = self.hub.blobs[name]
        return 200, data, {"ETag": f'"{name}"', "Content-Length": str(len(data))}


REPO = r"([^/]+/[^/]+)"
ROUTES = (
    ("POST /api/repos/create", Handler.create),
    (f"POST /api/models/{REPO}/branch/(.+)", Handler.branch),
    ("POST /api/validate-yaml", Handler.validate),
    (f"POST /api/models/{REPO}/preupload/(.+)", Handler.preupload),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT /lfs/([0-9a-f]+)", Handler.put),
    ("POST /verify", Handler.verify),
    (f"POST /api/models/{REPO}/commit/(.+)", Handler.commit),
    ("GET /api/whoami-v2", Handler.whoami),
    (f"GET /api/models/{REPO}", Handler.info),
    (f"GET /api/models/{REPO}/revision/(.+)", Handler.info),
    (f"GET /api/models/{REPO}/tree/(.+)", Handler.tree),
    (f"GET,HEAD /{REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
    ("GET,HEAD /lfs/([0-9a-f]+)", Handler.blob),
)
