"""A double of Qdrant's server: its HTTP, answered by the client's local mode, with faults on demand.

The server itself can't be installed from a package registry. What the double shows is that requests are what Qdrant's own
models take, and what happens when a server refuses, is slow, or hangs up.
"""

import json
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from qdrant_client import QdrantClient, models


class Double:
    """Answers at `url`.

    Attributes:
        faults: what the next requests meet: a status, "hang up", a number of seconds as text, or a function of the path.
        asked: (method, path, headers) of all requests.
    """

    def __init__(self):
        self.local = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.faults = []
        self.asked = []
        self.indexes = {}
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.partition("?")[0]
                double.asked.append((self.command, path, dict(self.headers)))
                fault = double.faults.pop(0) if double.faults else None
                if callable(fault):
                    kept, fault = fault, fault(self.command, path)
                    if fault is None:
                        double.faults.insert(0, kept)
                if fault == "hang up":
                    self.close_connection = True
                    self.connection.close()
                    return
                if isinstance(fault, str) and fault != "too many":
                    time.sleep(float(fault))
                if fault == "too many":
                    self.answer(429, {"status": {"error": "as asked for"}, "time": 0.0}, {"Retry-After": "1"})
                    return
                if isinstance(fault, int):
                    self.answer(fault, {"status": {"error": "as asked for"}, "time": 0.0})
                    return
                try:
                    with double.lock, warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        found = double.act(self.command, path, json.loads(body) if body else {})
                except Exception as error:
                    self.answer(400, {"status": {"error": repr(error)}, "time": 0.0})
                    return
                self.answer(200, {"result": found, "status": "ok", "time": 0.0})

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

            def answer(self, status, content, headers=None):
                encoded = json.dumps(content).encode()
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def act(self, method, path, body):
        _, _, name, *rest = path.split("/")
        local = self.local
        where = lambda field: models.Filter(**body[field]) if body.get(field) else None  # noqa: E731
        match method, rest:
            case "GET", ["exists"]:
                return {"exists": local.collection_exists(name)}
            case "PUT", []:
                request = models.CreateCollection(**body)
                local.create_collection(
                    name,
                    vectors_config=request.vectors,
                    hnsw_config=request.hnsw_config,
                    metadata=request.metadata,
                )
                return True
            case "GET", []:
                found = local.get_collection(name)
                found.payload_schema = self.indexes
                return found.model_dump(mode="json")
            case "PATCH", []:
                return local.update_collection(name, metadata=models.UpdateCollection(**body).metadata)
            case "PUT", ["index"]:
                request = models.CreateFieldIndex(**body)
                self.indexes[request.field_name] = {"data_type": request.field_schema, "points": 0}
                result = models.UpdateResult(operation_id=0, status="completed")
            case "POST", ["points", "count"]:
                result = local.count(name, count_filter=where("filter"), exact=True)
            case "POST", ["points"]:
                request = models.PointRequest(**body)
                result = local.retrieve(name, request.ids, request.with_payload, request.with_vector)
                return [record.model_dump(mode="json") for record in result]
            case "PUT", ["points"]:
                result = local.upsert(name, models.PointsList(**body).points)
            case "POST", ["points", "delete"]:
                result = local.delete(name, models.PointIdsList(**body))
            case "POST", ["points", "payload"]:
                request = models.SetPayload(**body)
                result = local.set_payload(name, request.payload, request.points, key=request.key)
            case "POST", ["points", "scroll"]:
                request = models.ScrollRequest(**body)
                records, following = local.scroll(
                    name,
                    limit=request.limit,
                    offset=request.offset,
                    with_payload=request.with_payload,
                    with_vectors=request.with_vector,
                )
                return {
                    "points": [record.model_dump(mode="json") for record in records],
                    "next_page_offset": following,
                }
            case "POST", ["points", "query", "batch"]:
                found = local.query_batch_points(name, models.QueryRequestBatch(**body).searches)
                return [answer.model_dump(mode="json") for answer in found]
            case "POST", ["facet"]:
                request = models.FacetRequest(**body)
                assert request.key in self.indexes, "a field is counted by its index"
                result = local.facet(name, request.key, request.filter, request.limit, exact=True)
            case _:
                raise ValueError(f"{method} {path}")
        return result.model_dump(mode="json")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def double():
    found = Double()
    yield found
    found.close()
