"""A schema registry of the tests' own: as much of Confluent's API as its clients need, over HTTP."""

import base64
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from confluent_kafka.schema_registry import Schema

USER = "shop:secret word"
_SCHEMA_BY_ID = re.compile(r"/schemas/ids/(\d+)")
_VERSION = re.compile(r"/subjects/([^/?]+)/versions/(\d+)")


@dataclass
class Registry:
    """Schemas by id from 1 and by subject, and the paths that were asked for. `fails` answers each with a 503."""

    url: str = ""
    user: str = ""
    fails: bool = False
    schemas: list[Schema] = field(default_factory=list)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def register(self, schema: str, form: str = "AVRO", subject: str = "s", references: Any = ()) -> int:
        """Adds a subject's next version. Returns the schema's id."""
        self.schemas.append(Schema(schema, form, list(references)))
        self.subjects.setdefault(subject, []).append(len(self.schemas))
        return len(self.schemas)

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and content."""
        self.asked.append(path)
        if self.fails:
            return 503, {"error_code": 50003, "message": "not the leader"}
        if found := _SCHEMA_BY_ID.match(path):
            number = int(found[1])
            if 1 <= number <= len(self.schemas):
                return 200, self.schemas[number - 1].to_dict()
            return 404, {"error_code": 40403, "message": "Schema not found"}
        if found := _VERSION.match(path):
            number = self.subjects[found[1]][int(found[2]) - 1]
            known = {"subject": found[1], "version": int(found[2]), "id": number}
            return 200, known | self.schemas[number - 1].to_dict()
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}


@contextmanager
def registry_server(user: str = "", port: int = 0, schemas: Sequence[Schema] = ()) -> Iterator[Registry]:
    """A running registry; with `user`, one that lets only that user and password in. It begins with `schemas`."""
    registry = Registry(user=user, schemas=list(schemas))
    expected = f"Basic {base64.b64encode(user.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            refused = user and self.headers.get("Authorization") != expected
            self.send(*((401, {"error_code": 401, "message": "no"}) if refused else registry.answer(self.path)))

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            subject = self.path.split("/")[2]
            self.send(200, {"id": registry.register(sent["schema"], sent.get("schemaType", "AVRO"), subject)})

        def send(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        registry.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


def framed(schema_id: int, data: bytes) -> bytes:
    """Data in Confluent's wire format."""
    return b"\0" + schema_id.to_bytes(4) + data
