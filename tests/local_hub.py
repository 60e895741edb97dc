"""A server on loopback that speaks the hub's API: listings, redirects to a second host for the bytes, ranges.

What it serves and how it fails is set from the test; what it was asked is in `requests`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tvcli.models.hub import retries

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@dataclass
class Asked:
    """One request, and how many bytes of a file went back."""

    part: str  # api, resolve or bytes
    path: str
    range: str
    token: str
    sent: int = 0


@dataclass
class LocalHub:
    """`files` by repository ("owner/repo", "datasets/owner/repo") and name."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)
    refuse: Callable[[Asked], tuple[int, dict[str, str]] | None] = lambda asked: None
    cut: Callable[[Asked], int | None] = lambda asked: None  # close the line after so many bytes
    damage: bool = False  # send other bytes than the listing says
    ranges: bool = True
    url: str = ""
    bytes_url: str = ""

    def asked(self, part: str) -> list[Asked]:
        return [request for request in self.requests if request.part == part]

    def sent(self) -> int:
        return sum(request.sent for request in self.requests)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sibling(name: str, data: bytes) -> dict[str, object]:
    """A file as the hub lists it: large ones and models are in LFS."""
    record: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git_hash(data)}
    if not name.endswith((".md", ".json")):
        record["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
    return record


class Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        part = "api" if path.startswith("api/") else "bytes" if path.startswith("bytes/") else "resolve"
        asked = Asked(part, path, self.headers.get("Range", ""), self.headers.get("Authorization", ""))
        self.hub.requests.append(asked)
        refusal = self.hub.refuse(asked)
        if refusal is not None:
            self.answer(refusal[0], b'{"error": "no"}', refusal[1])
        elif part == "api":
            self.listing(path)
        elif part == "resolve":
            self.redirect(path)
        else:
            self.content(asked, body=body)

    def listing(self, path: str) -> None:
        kind, owner, name, *_ = path.removeprefix("api/").split("/")
        repository = f"{'' if kind == 'models' else kind + '/'}{owner}/{name}"
        if repository not in self.hub.files:
            self.answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [sibling(file, data) for file, data in self.hub.files[repository].items()]
        info = {"id": repository, "_id": "1", "sha": COMMIT, "private": False, "gated": False, "tags": []}
        self.answer(200, json.dumps({**info, "downloads": 0, "likes": 0, "siblings": siblings}).encode(), {})

    def redirect(self, path: str) -> None:
        repository, _, rest = path.partition("/resolve/")
        file = rest.partition("/")[2]
        data = self.hub.files[repository].get(file)
        if data is None:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data))}
        self.answer(302, b"", {**headers, "Location": f"{self.hub.bytes_url}/bytes/{repository}/{file}"})

    def content(self, asked: Asked, *, body: bool) -> None:
        _, owner, name, *rest = asked.path.split("/")
        if owner == "datasets":
            owner, name, *rest = f"{owner}/{name}", *rest
        data = self.hub.files[f"{owner}/{name}"]["/".join(rest)]
        start = int(asked.range.removeprefix("bytes=").partition("-")[0] or 0) if self.hub.ranges else 0
        status = 206 if asked.range and self.hub.ranges else 200
        if start >= len(data):
            self.answer(416, b"", {})
            return
        rest_of_it = data[start:]
        if self.hub.damage:
            rest_of_it = bytes(byte ^ 1 for byte in rest_of_it)
        self.send_response(status)
        self.send_header("ETag", f'"{sha256(data)}"')
        self.send_header("Content-Length", str(len(rest_of_it)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            limit = self.hub.cut(asked)
            asked.sent = len(rest_of_it) if limit is None else limit
            self.wfile.write(rest_of_it[: asked.sent])
            if limit is not None:
                self.close_connection = True

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serve(hub: LocalHub) -> Iterator[LocalHub]:
    """The hub and the host that its redirects lead to, both on loopback, until the end of the block."""
    handler = type("HubHandler", (Handler,), {"hub": hub})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    hub.url, hub.bytes_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def stand_in(served: LocalHub, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Requests go to `served`; nothing is cached, no token is set, nobody waits."""
    from huggingface_hub import constants

    files = served.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", served.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(retries, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
