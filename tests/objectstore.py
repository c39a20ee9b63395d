"""A real S3 server on loopback, started by the test: what was asked of it, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

import boto3
from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "films"
_ACCOUNT = "123456789012"  # as moto calls everybody
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Request:
    """What a client asked: ``PUT films/tv/catalog.json``, and what followed the ``?``."""

    method: str
    path: str
    query: str

    @property
    def key(self) -> str:
        """The object, without its bucket."""
        return self.path.partition("/")[2]


class ObjectServer:
    """moto's S3 behind a door that keeps a list, and turns away whom it is told to."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._refused: Callable[[Request], bool] = lambda _: False
        self.requests: list[Request] = []
        self.endpoint = f"127.0.0.1:{self._server.port}"
        self._client = boto3.client(
            "s3",
            endpoint_url=f"http://{self.endpoint}",
            region_name=CREDENTIALS["AWS_REGION"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        place = {"LocationConstraint": CREDENTIALS["AWS_REGION"]}
        self._client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be let in."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://{self.endpoint}"}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def list_keys(self) -> list[str]:
        """Every object of the bucket, also those that stand for folders."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def unfinished(self) -> list[str]:
        """Keys of uploads that were begun in parts and neither ended nor given up."""
        told = self._client.list_multipart_uploads(Bucket=BUCKET)
        return [upload["Key"] for upload in told.get("Uploads", ())]

    def body(self, key: str) -> bytes:
        """What an object holds."""
        return bytes(self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def fill(self, prefix: str, names: Iterable[str]) -> None:
        """Put many small objects there at once, not through the door."""
        backend = get_backend("s3")[_ACCOUNT]["aws"]
        for name in names:
            backend.put_object(BUCKET, prefix + name, b"1")

    def empty(self) -> None:
        """Forget all objects, unfinished uploads and requests."""
        bucket = get_backend("s3")[_ACCOUNT]["aws"].buckets[BUCKET]
        bucket.keys.clear()
        bucket.multiparts.clear()
        self.requests.clear()

    @contextmanager
    def refusing(self, rule: Callable[[Request], bool]) -> Iterator[None]:
        """Deny what the rule names, as a policy of the bucket would."""
        self._refused = rule
        try:
            yield
        finally:
            self._refused = lambda _: False

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = unquote(environ["PATH_INFO"].encode("latin1").decode()).lstrip("/")
        request = Request(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""))
        self.requests.append(request)
        if not self._refused(request):
            return self._app(environ, start)  # type: ignore[no-any-return]
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = (
            '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message>'
            f"<Resource>{escape(path)}</Resource></Error>"
        ).encode()
        start(
            "403 Forbidden",
            [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))],
        )
        return [] if request.method == "HEAD" else [body]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as by any store

    def log(self, *_: object) -> None:
        """Nothing."""
