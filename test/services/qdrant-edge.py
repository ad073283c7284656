"""Qdrant for tests: its own engine (the Python package qdrant-edge-py) behind the paths of its REST API that are used.

Storage, search, filters and indexes are Qdrant's; the HTTP around them, and the list of collections with their metadata,
are written from its published OpenAPI document. Usage: qdrant-edge.py PORT FOLDER [API_KEY]
"""

import json
import signal
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import qdrant_edge as edge

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
API_KEY = sys.argv[3] if len(sys.argv) > 3 else None
INDEXES = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
}
lock = threading.Lock()
collections = {}


class Problem(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Collection:
    def __init__(self, name, about):
        self.folder = FOLDER / name
        self.about = about
        size = about["params"]["vectors"]["size"]
        vectors = {"": edge.EdgeVectorParams(size=size, distance=edge.Distance.Cosine)}
        self.config = edge.EdgeConfig(vectors=vectors, wal_enabled=False, max_search_threads=1)
        exists = (self.folder / "shard").exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = str(self.folder / "shard")
        self.shard = edge.EdgeShard.load(path, self.config) if exists else edge.EdgeShard.create(path, self.config)
        self.save()

    def save(self):
        (self.folder / "about.json").write_text(json.dumps(self.about))


def with_shadow(payload):
    """The package passes a match with true or false to the engine as a number, so what is one is also kept as a text."""
    fields = payload.get("fields", {})
    return {**payload, "is": {key: str(value) for key, value in fields.items() if isinstance(value, bool)}}


def wanted_of(payload, wanted):
    names = wanted if isinstance(wanted, list) else payload.keys()
    return {key: value for key, value in payload.items() if key in names and key != "is"}


def condition(given):
    if "has_id" in given:
        return edge.HasIdCondition(set(given["has_id"]))
    if "is_empty" in given:
        return edge.IsEmptyCondition(given["is_empty"]["key"])
    if "match" in given:
        match = given["match"]
        if isinstance(match.get("value"), bool):
            shadow = given["key"].replace("fields.", "is.", 1)
            return edge.FieldCondition(shadow, match=edge.MatchValue(str(match["value"])))
        return edge.FieldCondition(
            given["key"], match=edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
        )
    if "range" in given:
        return edge.FieldCondition(given["key"], range=edge.RangeFloat(**given["range"]))
    return filter_of(given)


def filter_of(given):
    if given is None:
        return None
    return edge.Filter(**{part: [condition(each) for each in given[part]] for part in given})


def create(name, body, _query):
    if name in collections:
        raise Problem(409, f"Wrong input: Collection `{name}` already exists!")
    about = {"params": {"vectors": body["vectors"]}, "metadata": body.get("metadata"), "indexes": {}}
    collections[name] = Collection(name, about)
    return True


def update(collection, body, _query):
    collection.about["metadata"] = {**(collection.about["metadata"] or {}), **(body.get("metadata") or {})}
    collection.save()
    return True


def describe(collection, _body, _query):
    about = collection.about
    indexes = {path: {"data_type": kind, "points": 0} for path, kind in about["indexes"].items()}
    config = {"params": about["params"], "metadata": about["metadata"]}
    return {"status": "green", "optimizer_status": "ok", "config": config, "payload_schema": indexes}


def index(collection, body, _query):
    schema = body["field_schema"]
    kind = schema if isinstance(schema, str) else schema["type"]
    collection.shard.update(edge.UpdateOperation.create_field_index(body["field_name"], INDEXES[kind]))
    collection.about["indexes"][body["field_name"]] = kind
    collection.save()
    return {"operation_id": 0, "status": "completed"}


def upsert(collection, body, _query):
    size = collection.about["params"]["vectors"]["size"]
    for point in body["points"]:
        if len(point["vector"]) != size:
            raise Problem(400, f"Wrong input: Vector dimension error: expected dim: {size}, got {len(point['vector'])}")
    points = [edge.Point(point["id"], point["vector"], with_shadow(point["payload"])) for point in body["points"]]
    collection.shard.update(edge.UpdateOperation.upsert_points(points))
    return {"operation_id": 0, "status": "completed"}


def delete(collection, body, _query):
    collection.shard.update(edge.UpdateOperation.delete_points(body["points"]))
    return {"operation_id": 0, "status": "completed"}


def query(collection, body, _query):
    request = edge.QueryRequest(
        limit=body["limit"],
        query=edge.Query.Nearest(body["query"]),
        filter=filter_of(body.get("filter")),
        with_payload=bool(body.get("with_payload", False)),
        params=edge.SearchParams(exact=body.get("params", {}).get("exact", False)),
    )
    found = collection.shard.query(request)
    wanted = body.get("with_payload", False)
    payloads = [wanted_of(p.payload, wanted) for p in found]
    points = zip(found, payloads)
    return {"points": [{"id": str(p.id), "version": p.version, "score": p.score, "payload": x} for p, x in points]}


def scroll(collection, body, _query):
    request = edge.ScrollRequest(offset=body.get("offset"), limit=body["limit"], with_payload=True, with_vector=False)
    points, following = collection.shard.scroll(request)
    wanted = body.get("with_payload", True)
    found = [{"id": str(p.id), "payload": wanted_of(p.payload, wanted)} for p in points]
    return {"points": found, "next_page_offset": None if following is None else str(following)}


def count(collection, body, _query):
    return {"count": collection.shard.count(edge.CountRequest(exact=body.get("exact", True)))}


ROUTES = {
    ("GET", ""): describe,
    ("PATCH", ""): update,
    ("PUT", "index"): index,
    ("PUT", "points"): upsert,
    ("POST", "points/delete"): delete,
    ("POST", "points/query"): query,
    ("POST", "points/scroll"): scroll,
    ("POST", "points/count"): count,
}


def answer(method, path, body, parameters):
    _, root, *rest = path.split("/")
    if root == "" and method == "GET":
        return {"title": "qdrant - vector search engine", "version": "1.18.0"}
    if root != "collections":
        raise Problem(404, f"Not found: {path}")
    if not rest:
        return {"collections": [{"name": name} for name in collections]}
    name, *more = [urllib.parse.unquote(part) for part in rest]
    if method == "PUT" and not more:
        return create(name, body, parameters)
    if name not in collections:
        raise Problem(404, f"Not found: Collection `{name}` doesn't exist!")
    handle = ROUTES.get((method, "/".join(more)))
    if handle is None:
        raise Problem(404, f"Not found: {method} {path}")
    return handle(collections[name], body, parameters)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        length = int(self.headers.get("content-length") or 0)
        text = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        try:
            if API_KEY is not None and self.headers.get("api-key") != API_KEY:
                raise Problem(401, "Must provide an API key or an Authorization bearer token")
            with lock:
                result = answer(self.command, url.path, json.loads(text) if text else {}, url.query)
            self.send(200, {"result": result, "status": "ok", "time": 0})
        except Problem as problem:
            self.send(problem.status, {"status": {"error": str(problem)}, "time": 0})
        except Exception as problem:
            self.send(400, {"status": {"error": f"Wrong input: {problem}"}, "time": 0})

    do_GET = do_PUT = do_POST = do_PATCH = handle_any

    def send(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def stop(*_):
    for collection in collections.values():
        collection.shard.close()
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
for file in FOLDER.glob("*/about.json"):
    collections[file.parent.name] = Collection(file.parent.name, json.loads(file.read_text()))
Server(("127.0.0.1", PORT), Handler).serve_forever()
