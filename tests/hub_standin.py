"""A Hub on loopback for tests: the calls that pushing and loading a data set make, and faults on demand."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

TOKEN = "hf_standin"


class File(NamedTuple):
    content: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def described(self, path: str) -> dict[str, Any]:
        lfs = {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}
        return {
            "type": "file",
            "path": path,
            "size": len(self.content),
            "oid": self.oid,
            **({"lfs": lfs} if self.lfs else {}),
        }


class Repo:
    def __init__(self, private: bool) -> None:
        self.private = private
        self.commits: dict[str, dict[str, File]] = {
            "0" * 40: {".gitattributes": File(b"*.parquet filter=lfs\n", False)}
        }
        self.head = "0" * 40
        self.tags: dict[str, str] = {}

    def commit_of(self, revision: str) -> str | None:
        commit = {"main": self.head, **self.tags}.get(revision, revision)
        return commit if commit in self.commits else None


class Fault(NamedTuple):
    """Answer `status` to the next call that matches; 0 breaks the connection off."""

    method: str
    path: str
    status: int


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def uploads(self) -> int:
        """How many large files have been sent so far."""
        return sum(call.startswith("PUT /store/") for call in self.calls)


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        with self.server.lock:
            self.server.calls.append(f"{self.command} {path}")
            for fault in self.server.faults:
                if fault.method == self.command and re.search(fault.path, path):
                    self.server.faults.remove(fault)
                    if fault.status == 0:
                        self.close_connection = True
                        return None
                    return self._json({"error": "told to fail"}, fault.status)
            signed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if path.startswith("/store/") and self.command == "PUT":
                self.server.objects[path.split("/")[-1]] = body
                return self._reply(200, b"")
            if not signed:
                return self._json({"error": "Invalid credentials"}, 401)
            return self._route(path, body)

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 - names that http.server looks for

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _route(self, path: str, body: bytes) -> None:
        asked = json.loads(body) if body.startswith(b"{") and "/commit/" not in path else {}
        if path == "/api/repos/create":
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.server.repos:
                return self._json({"error": "You already created this dataset repo"}, 409)
            self.server.repos[name] = Repo(asked.get("private", asked.get("visibility") == "private"))
            return self._json({"url": f"{self.server.url}/datasets/{name}", "name": name})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if path == "/api/whoami-v2":
            return self._json({"name": "standin", "type": "user"})
        if path == "/lfs/verify":
            return self._json({})
        if found := re.match(r"/datasets/(.+)\.git/info/lfs/objects/batch$", path):
            return self._json({"transfer": "basic", "objects": [self._batch(one) for one in asked["objects"]]})
        if found := re.match(r"/(?:api/)?datasets/([^/]+/[^/]+)(?:/(\w[\w-]*)(?:/([^/]+))?(?:/(.*))?)?$", path):
            name, what, revision, rest = found.groups()
            repo = self.server.repos.get(name)
            if repo is None:
                return self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return self._repo(repo, name, what or "revision", revision or "main", rest or "", body)
        return self._json({"error": f"no such call: {path}"}, 404)

    def _batch(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["oid"] in self.server.objects:
            return one
        verify = {"href": f"{self.server.url}/lfs/verify"}
        return {**one, "actions": {"upload": {"href": f"{self.server.url}/store/{one['oid']}"}, "verify": verify}}

    def _repo(self, repo: Repo, name: str, what: str, revision: str, rest: str, body: bytes) -> None:
        if what == "refs":
            main = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}]
            tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": at} for tag, at in repo.tags.items()]
            return self._json({"branches": main, "tags": tags, "converts": []})
        commit = repo.commit_of(revision)
        if commit is None:
            return self._json({"error": "Revision not found"}, 404, {"X-Error-Code": "RevisionNotFound"})
        files = repo.commits[commit]
        match what:
            case "revision":
                siblings = [{"rfilename": path} for path in files]
                return self._json(
                    {
                        "id": name,
                        "sha": commit,
                        "private": repo.private,
                        "siblings": siblings,
                        "tags": [],
                        "downloads": 0,
                        "likes": 0,
                    }
                )
            case "tree":
                entries = [
                    one.described(path) for path, one in files.items() if not rest or path.startswith(rest + "/")
                ]
                folders = {path.rsplit("/", 1)[0] for path in files if "/" in path}
                entries += [
                    {"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders if not rest
                ]
                return self._json(entries)
            case "paths-info":
                wanted = (
                    json.loads(body)["paths"]
                    if body.startswith(b"{")
                    else re.findall(r"paths=([^&]+)", unquote(body.decode()))
                )
                return self._json([files[path].described(path) for path in wanted if path in files])
            case "preupload":
                modes = [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["path"].endswith(".parquet") else "regular",
                        "shouldIgnore": False,
                        "oid": files[one["path"]].oid if one["path"] in files and not files[one["path"]].lfs else None,
                    }
                    for one in json.loads(body)["files"]
                ]
                return self._json({"files": modes})
            case "commit":
                return self._commit(repo, name, dict(files), body)
            case "tag":
                tag = json.loads(body)["tag"]
                if tag in repo.tags:
                    return self._json({"error": "Tag already exists"}, 409)
                repo.tags[tag] = commit
                return self._json({})
            case "resolve":
                return self._resolve(files.get(rest), commit)
        return self._json({"error": f"no such call: {what}"}, 404)

    def _commit(self, repo: Repo, name: str, files: dict[str, File], body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "header" if value.get("parentCommit", repo.head) != repo.head:
                    return self._json({"error": "A commit has happened since"}, 412)
                case "file":
                    files[value["path"]] = File(base64.b64decode(value["content"]), False)
                case "lfsFile":
                    if value["oid"] not in self.server.objects:
                        return self._json({"error": "LFS pointer pointed to a file that does not exist"}, 400)
                    files[value["path"]] = File(self.server.objects[value["oid"]], True)
                case "deletedFile":
                    del files[value["path"]]
        repo.head = hashlib.sha1(f"{len(repo.commits)}".encode()).hexdigest()
        repo.commits[repo.head] = files
        url = f"{self.server.url}/datasets/{name}/commit/{repo.head}"
        return self._json({"success": True, "commitOid": repo.head, "commitUrl": url, "hookOutput": ""})

    def _resolve(self, file: File | None, commit: str) -> None:
        if file is None:
            return self._json(
                {"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
            )
        etag = f'"{file.sha256 if file.lfs else file.oid}"'
        headers = {"X-Repo-Commit": commit, "ETag": etag, "Accept-Ranges": "bytes"}
        if found := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(found[1]), min(int(found[2] or len(file.content)), len(file.content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(file.content)}"
            return self._reply(206, file.content[start : end + 1], headers)
        return self._reply(200, file.content, headers)

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _reply(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
