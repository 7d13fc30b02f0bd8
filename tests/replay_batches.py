"""The files and batches of the replaying server. How each batch ends is set by a plan, batch by batch."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

LINES = re.compile(rb'^\{"custom_id".*\}\r?$', re.MULTILINE)


class Batches:
    """Batches that end at once, or when `hold` is let go. Results come out of order, with duplicates and strangers."""

    def __init__(self, body_of: Callable[[dict[str, Any], str], dict[str, Any]]) -> None:
        self.body_of = body_of
        self.files: dict[str, bytes] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.requests: list[list[str]] = []
        """Custom ids of each batch."""
        self.plan: list[str] = []
        """How the next batches end: completed (the default), errors, expired, failed."""
        self.hold = False
        self.deleted: list[str] = []
        self.polls = 0

    def serve(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and body of an answer."""
        parts = path.strip("/").split("/")[1:]
        if parts == ["files"]:
            return 200, self._file(b"\n".join(LINES.findall(body)))
        if parts[0] == "files" and method == "DELETE":
            self.deleted.append(parts[1])
            del self.files[parts[1]]
            return 200, {"id": parts[1], "object": "file", "deleted": True}
        if parts[0] == "files":
            return 200, self.files[parts[1]]
        if parts == ["batches"] and method == "POST":
            return 200, self._make(json.loads(body))
        if parts == ["batches"]:
            return 200, {"object": "list", "data": list(self.made.values()), "has_more": False}
        if parts[2:] == ["cancel"]:
            batch = self.made[parts[1]]
            if batch["status"] != "in_progress":
                return 409, {"error": {"message": f"it is {batch['status']}"}}
            batch["status"] = "cancelled"
            return 200, batch
        self.polls += 1
        if parts[1] not in self.made:
            return 404, {"error": {"message": "no such batch"}}
        return 200, self._state(self.made[parts[1]])

    def _file(self, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return {"id": name, "object": "file", "bytes": len(content), "created_at": 1, "filename": name,
                "purpose": "batch", "status": "processed"}  # fmt: skip

    def _make(self, asked: dict[str, Any]) -> dict[str, Any]:
        rows = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        self.requests.append([row["custom_id"] for row in rows])
        name = f"batch_{len(self.made)}"
        self.made[name] = {**asked, "id": name, "object": "batch", "created_at": 1, "status": "in_progress",
                           "_ends": self.plan.pop(0) if self.plan else "completed"}  # fmt: skip
        return self.made[name]

    def _state(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self.hold or batch["status"] != "in_progress":
            return batch
        rows = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        random.Random(4).shuffle(rows)
        ends = batch["_ends"]
        batch["status"] = ends if ends in {"expired", "failed"} else "completed"
        if ends == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "x", "message": "line 1 is not to our taste"}]}
            return batch
        good = rows if ends == "completed" else rows[: len(rows) // 2]
        lines = [self._line(row, 200, self.body_of(row["body"], "ok"), None) for row in good]
        lines += [lines[0], self._line({"custom_id": "stranger"}, 200, {"choices": []}, None), '{"custom_id": "torn']
        batch["output_file_id"] = self._file("\n".join(lines).encode())["id"]
        if bad := rows[len(good) :]:
            error = {"code": "batch_expired", "message": "not in time"}
            code = 500 if ends == "errors" else None
            lines = [self._line(row, code, {"error": {"message": "broken"}}, error) for row in bad[1:]]
            batch["error_file_id"] = self._file("\n".join(lines).encode())["id"]
        return batch

    @staticmethod
    def _line(row: dict[str, Any], code: int | None, body: dict[str, Any], error: Any) -> str:
        response = {"status_code": code, "request_id": "r", "body": body} if code else None
        return json.dumps({"id": "x", "custom_id": row["custom_id"], "response": response, "error": error})
