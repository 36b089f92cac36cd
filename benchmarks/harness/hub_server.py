"""A stand-in for Hugging Face's hub on this machine: repositories in memory, and as much of the HTTP as its client speaks.

`with HubServer() as server:` listens on a free port of loopback until the block ends. What a repository holds can be set
by `server.commit`, so that a hostile one needs no client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = (".safetensors", ".onnx", ".hnsw", ".faiss")  # what the hub keeps outside of git


@dataclass
class Repository:
    """Commits in order, each with all of its files."""

    private: bool
    gated: bool = False
    commits: list[str] = field(default_factory=list)
    trees: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


class HubServer:
    """The hub, with one user whose token is `TOKEN`.

    Attributes:
        requests: method and path of each, in order.
        before: called with method and path before each is answered; what it returns is sent as the status, if anything.
        stall: set it to an event, and the first half of a large file is sent, and the rest once the event is set.
    """

    TOKEN = "hf_standin"  # noqa: S105

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], int | None] | None = None
        self.stall: threading.Event | None = None
        self.halfway = threading.Event()
        self.lock = threading.RLock()
        server = self

        class Handler(_Handler):
            hub = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.stall is not None:
            self.stall.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def commit(
        self, name: str, files: Mapping[str, bytes], message: str = "", *, private: bool = False
    ) -> str:
        """Make these files all that a repository holds, and return the commit."""
        with self.lock:
            repository = self.repositories.setdefault(name, Repository(private))
            content = f"{name} {len(repository.commits)} {sorted(files)}".encode()
            commit = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            repository.commits.append(commit)
            repository.trees[commit] = dict(files)
            repository.messages.append(message)
            for content in files.values():
                self.objects[hashlib.sha256(content).hexdigest()] = content
            return commit

    def files(self, name: str) -> dict[str, bytes]:
        """Return what a repository holds now."""
        repository = self.repositories[name]
        return dict(repository.trees[repository.commits[-1]])


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def _answer(self, status: int, content: bytes | dict[str, Any] | list[Any] = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if not isinstance(content, bytes):
            headers["Content-Type"] = "application/json"
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self._write(body)

    def _write(self, body: bytes) -> None:
        stall = self.hub.stall
        if stall is None or not self.path.startswith("/cdn/"):
            self.wfile.write(body)
            return
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.hub.halfway.set()
        stall.wait()
        try:
            self.wfile.write(body[len(body) // 2 :])
        except OSError:
            self.close_connection = True

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    def _repository(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        known = self.headers.get("authorization") == f"Bearer {self.hub.TOKEN}"
        if repository is None or (repository.private and not known):
            self._refuse(404 if known else 401, "RepoNotFound", "Repository not found")
            return None
        if repository.gated:
            self._refuse(403, "GatedRepo", "Access to this model is restricted")
            return None
        return repository

    def _tree(self, repository: Repository, revision: str) -> str | None:
        if revision == "main" and repository.commits:
            return repository.commits[-1]
        if revision in repository.trees:
            return revision
        self._refuse(404, "RevisionNotFound", "Invalid rev id")
        return None

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        self.hub.requests.append((self.command, path))
        status = self.hub.before(self.command, path) if self.hub.before else None
        if status is not None:
            self._answer(status, {"error": "as the test wants"})
            return
        for method, pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in method:
                found = [urllib.parse.unquote(group or "") for group in match.groups()]
                with self.hub.lock:
                    ready = answer(self, body, query, *found)
                if ready is not None:
                    ready()
                return
        self._answer(404, {"error": "no such page"})

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _info(self, _: bytes, query: str, name: str, revision: str) -> None:
        repository = self._repository(name)
        commit = None if repository is None else self._tree(repository, revision or "main")
        if repository is None or commit is None:
            return
        siblings = []
        for file, content in repository.trees[commit].items():
            entry: dict[str, Any] = {"rfilename": file}
            if "blobs" in query:
                digest = hashlib.sha256(content).hexdigest()
                entry |= {"size": len(content), "blobId": _blob(content)}
                if file.endswith(LARGE):
                    entry["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 134}
            siblings.append(entry)
        self._answer(200, {"id": name, "sha": commit, "private": repository.private, "siblings": siblings})

    def _create(self, body: bytes, _: str) -> None:
        asked = json.loads(body)
        if self.headers.get("authorization") != f"Bearer {self.hub.TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
            return
        name = f"{asked['organization']}/{asked['name']}"
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.hub.commit(name, {".gitattributes": b""}, "initial commit", private=private)
        self._answer(200, {"url": f"{self.hub.endpoint}/{name}", "name": name})

    def _yaml(self, body: bytes, _: str) -> None:
        ok = json.loads(body)["content"].startswith("---\n")
        self._answer(
            200 if ok else 400, {"errors": [] if ok else [{"message": "no front matter"}], "warnings": []}
        )

    def _preupload(self, body: bytes, _: str, name: str, revision: str) -> None:
        if self._repository(name) is None:
            return
        held = self.hub.files(name)
        answers = []
        for each in json.loads(body)["files"]:
            path, old = each["path"], held.get(each["path"])
            large = path.endswith(LARGE)
            oid = None if old is None else hashlib.sha256(old).hexdigest() if large else _blob(old)
            answers.append(
                {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}
            )
        self._answer(200, {"files": answers, "commitOid": self.hub.repositories[name].commits[-1]})

    def _batch(self, body: bytes, _: str, name: str) -> None:
        objects = []
        for each in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.endpoint}/lfs/{each['oid']}", "header": {}}}
            held = each["oid"] in self.hub.objects
            objects.append({**each, "authenticated": True, **({} if held else {"actions": upload})})
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _put(self, body: bytes, _: str, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self._answer(400, {"error": "another hash"})
            return
        self.hub.objects[oid] = body
        self._answer(200)

    def _commit(self, body: bytes, _: str, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        if self.headers.get("authorization") != f"Bearer {self.hub.TOKEN}":
            self._answer(403, {"error": "you may not write here"})
            return
        files, message = self.hub.files(name), ""
        for line in body.splitlines():
            step = json.loads(line)
            value = step["value"]
            if step["key"] == "header":
                message = value["summary"]
                if value.get("parentCommit") not in (None, repository.commits[-1]):
                    self._answer(412, {"error": "A commit has happened since."})
                    return
            elif step["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif step["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif step["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.hub.commit(name, files, message)
        url = f"{self.hub.endpoint}/{name}/commit/{commit}"
        self._answer(200, {"commitUrl": url, "commitOid": commit, "success": True})

    def _resolve(self, _: bytes, query: str, name: str, revision: str, file: str) -> None:
        repository = self._repository(name)
        commit = None if repository is None else self._tree(repository, revision)
        if repository is None or commit is None:
            return
        content = repository.trees[commit].get(file)
        if content is None:
            self._refuse(404, "EntryNotFound", "Entry not found")
        elif file.endswith(LARGE):
            digest = hashlib.sha256(content).hexdigest()
            self._answer(
                302,
                Location=f"{self.hub.endpoint.replace('127.0.0.1', 'localhost')}/cdn/{digest}",  # another host, as there
                X_Repo_Commit=commit,
                X_Linked_Size=str(len(content)),
                X_Linked_ETag=f'"{digest}"',
            )
        else:
            self._answer(200, content, ETag=f'"{_blob(content)}"', X_Repo_Commit=commit)

    def _object(self, _: bytes, query: str, oid: str) -> Callable[[], None]:
        content = self.hub.objects[oid]
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")

        def send() -> None:  # without the lock: a stalled one must not hold up the others
            if start:
                where = f"bytes {start[1]}-{len(content) - 1}/{len(content)}"
                self._answer(206, content[int(start[1]) :], Content_Range=where)
            else:
                self._answer(200, content)

        return send


def _blob(content: bytes) -> str:
    """Return git's hash of a file."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


_NAME = r"([^/]+/[^/]+)"
_ROUTES: list[tuple[tuple[str, ...], str, Callable[..., Any]]] = [
    (("GET",), rf"/api/models/{_NAME}(?:/revision/(.+))?", _Handler._info),
    (("POST",), r"/api/repos/create", _Handler._create),
    (("POST",), r"/api/validate-yaml", _Handler._yaml),
    (("POST",), rf"/api/models/{_NAME}/preupload/(.+)", _Handler._preupload),
    (("POST",), rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler._batch),
    (("PUT",), r"/lfs/([0-9a-f]{64})", _Handler._put),
    (("POST",), rf"/api/models/{_NAME}/commit/(.+)", _Handler._commit),
    (("GET", "HEAD"), rf"/{_NAME}/resolve/([^/]+)/(.+)", _Handler._resolve),
    (("GET", "HEAD"), r"/cdn/([0-9a-f]{64})", _Handler._object),
]
