"""A catalog in an object store, at a URL such as ``s3://bucket/catalogs/tv``.

Each file is one object. An object appears with the request that ends its upload, whole; nothing is
renamed and there are no locks. pyarrow's own S3 client does the work.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from pyarrow import fs

from facelake.errors import CatalogError
from facelake.lake.stores.store import Entry, Store

_ONE_PUT_BYTES = 10 << 20  # what pyarrow sends as one request; larger files go up in parts
_ONE_GET_BYTES = 8 << 20  # what is read whole at once: a file's many columns would be as many reads
_CONNECT_S, _ANSWER_S = 5.0, 20.0

_OPTIONS = ("endpoint_override", "region", "scheme")
_DENIED = (
    "access is denied; check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    "AWS_PROFILE) and their rights to list, read, write and delete there and in .staging beside it"
)
_ADVICE = {
    "NO_SUCH_BUCKET": "there is no such bucket; make it first, or check its name",
    "ACCESS_DENIED": _DENIED,
    "INVALID_ACCESS_KEY_ID": _DENIED,
    "SIGNATURE_DOES_NOT_MATCH": _DENIED,
    "HTTP status 403": _DENIED,
    "HTTP status 301": "the bucket is in another region; set AWS_REGION, or ?region= in the URL",
    "NETWORK_CONNECTION": "nobody answers at {endpoint}; check the network, the proxy and "
    "AWS_ENDPOINT_URL",
}


@dataclass(frozen=True)
class Place:
    """Where in which object store.

    Attributes
    ----------
    prefix
        Bucket and prefix, as ``bucket/catalogs/tv``.
    endpoint
        Host and port of another store than Amazon's; empty for Amazon's own.
    scheme
        ``https`` or ``http``.
    region
        Empty where nobody says it.
    """

    prefix: str
    endpoint: str = ""
    scheme: str = "https"
    region: str = ""

    @property
    def bucket(self) -> str:
        """The bucket."""
        return self.prefix.partition("/")[0]


def parse_url(url: str) -> Place:
    """The place that a URL names; what it leaves open is said by the environment.

    Parameters
    ----------
    url
        ``s3://bucket/prefix``, with ``?endpoint_override=…&region=…&scheme=…`` where wanted.
        ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, ``AWS_REGION`` and ``AWS_DEFAULT_REGION``
        say the rest.

    Raises
    ------
    CatalogError
        It is no such URL.

    Examples
    --------
    >>> parse_url("s3://films/tv?endpoint_override=http://127.0.0.1:9000&region=eu-west-1")
    Place(prefix='films/tv', endpoint='127.0.0.1:9000', scheme='http', region='eu-west-1')
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:  # and is not said again
        raise CatalogError(
            "a catalog's URL must not hold credentials, which logs and messages would show; set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    if parts.scheme != "s3" or not parts.netloc:
        raise CatalogError(
            f"{url}: a catalog must be a folder or a URL like s3://bucket/prefix; other stores "
            "that speak S3 are reached with AWS_ENDPOINT_URL, and the rest can be mounted"
        )
    told = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(told.keys() - set(_OPTIONS))
    if unknown or parts.fragment:
        raise CatalogError(
            f"{url}: the options of a catalog's URL must be of {', '.join(_OPTIONS)}, but "
            f"{', '.join(unknown) or '#' + parts.fragment} is there"
        )
    endpoint = told.get("endpoint_override") or _environment(
        "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
    )
    scheme, separator, host = endpoint.rpartition("://")
    return Place(
        prefix="/".join([parts.netloc, *filter(None, parts.path.split("/"))]),
        endpoint=host.rstrip("/"),
        scheme=told.get("scheme") or (scheme if separator else "https"),
        region=told.get("region") or _environment("AWS_REGION", "AWS_DEFAULT_REGION"),
    )


def _environment(*names: str) -> str:
    return next((value for name in names if (value := os.environ.get(name))), "")


def open_object_stores(url: str) -> tuple[ObjectStore, ObjectStore]:
    """The store of a catalog, and that of its unfinished work, beside it.

    Raises
    ------
    CatalogError
        It is no URL of an object store, or the bucket's region cannot be found out.
    """
    place = parse_url(url)
    beside, _, name = place.prefix.rpartition("/")
    # A catalog that is a whole bucket has nothing beside it.
    scratch = f"{beside}/.staging/{name}" if beside else f"{name}/.staging"
    return ObjectStore(place, place.prefix), ObjectStore(place, scratch)


class ObjectStore(Store):
    """A prefix of a bucket.

    Parameters
    ----------
    place
        The store and the bucket.
    prefix
        Bucket and prefix.
    """

    n_readers = 16
    gap_bytes = 1 << 20

    def __init__(self, place: Place, prefix: str) -> None:
        self._place, self._prefix = place, prefix
        region = place.region or _region(place)
        self._files = _connect(place.endpoint, place.scheme, region, in_parts=False)
        self._large_files = _connect(place.endpoint, place.scheme, region, in_parts=True)

    def where(self, name: str = "") -> str:
        """The URL."""
        return f"s3://{self._path(name)}"

    def open(self, name: str) -> pa.NativeFile:
        """The object: a small one is read whole, a large one by ranges."""
        with _asking(self._place, self.where(name), "read"):
            file = self._files.open_input_file(self._path(name))
            if file.size() > _ONE_GET_BYTES:
                return file
            with file:
                return pa.BufferReader(file.read_buffer())

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        """To a temporary file here, then up: one request, and the object is there.

        A file above 10 MiB goes up in parts, of which nothing is seen before the last request.
        """
        with tempfile.TemporaryDirectory(prefix="facelake-") as folder:
            part = Path(folder) / f"part{Path(name).suffix}"
            with _drafting(part):
                fill(part)
            with _asking(self._place, self.where(name), "written"):
                self._upload(part, self._path(name))

    def _upload(self, part: Path, path: str) -> None:
        in_parts = part.stat().st_size >= _ONE_PUT_BYTES
        files = self._large_files if in_parts else self._files
        with pa.memory_map(str(part)) as source, files.open_output_stream(path) as out:
            # In one call: whatever leaves this block ends the upload, and the object appears with
            # what was given until then. An interrupt must not come between.
            out.write(source.read_buffer())

    def remove(self, name: str) -> None:
        """Delete the object."""
        with _asking(self._place, self.where(name), "removed"), suppress(FileNotFoundError):
            self._files.delete_file(self._path(name))

    def remove_tree(self, folder: str) -> None:
        """Delete the objects below a prefix, a thousand with each request."""
        path = self._path(folder)
        delete = self._files.delete_dir if "/" in path else self._files.delete_dir_contents
        with _asking(self._place, self.where(folder), "removed"), suppress(FileNotFoundError):
            delete(path)  # a bucket is emptied, and stays

    def find(self, folder: str = "") -> list[Entry]:
        """List the objects below a prefix, a thousand with each request."""
        with _asking(self._place, self.where(folder), "listed"):
            told = self._files.get_file_info(
                fs.FileSelector(self._path(folder), recursive=True, allow_not_found=True)
            )
        begin = len(self._prefix) + 1
        found = [
            Entry(info.path[begin:], info.size, info.mtime_ns)
            for info in told
            if info.type == fs.FileType.File
        ]
        return sorted(found, key=lambda entry: entry.name)

    def has(self, name: str) -> bool:
        """Whether there is such an object."""
        with _asking(self._place, self.where(name), "read"), suppress(FileNotFoundError):
            # One request. `get_file_info` would also ask whether a missing object is a folder.
            self._files.open_input_file(self._path(name)).close()
            return True
        return False

    def is_empty(self) -> bool:
        """Whether no object has this prefix, but for hidden ones.

        Raises
        ------
        CatalogError
            There is no such bucket.
        """
        with _asking(self._place, self.where(), "listed"), suppress(FileNotFoundError):
            told = self._files.get_file_info(fs.FileSelector(self._prefix))
            return all(info.base_name.startswith(".") for info in told)
        return True

    @contextmanager
    def alone(self, name: str, *, wait: bool = True) -> Iterator[bool]:  # noqa: ARG002
        """Never: an object store has no locks."""
        yield False

    @contextmanager
    def shared(self, name: str) -> Iterator[bool]:  # noqa: ARG002
        """Never: an object store has no locks."""
        yield False

    @property
    def has_locks(self) -> bool:
        """An object store has none."""
        return False

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{name}" if name else self._prefix


@cache
def _connect(endpoint: str, scheme: str, region: str, *, in_parts: bool) -> fs.S3FileSystem:
    """A client; each process has its own, with its connections.

    Parameters
    ----------
    in_parts
        For files that go up in parts. One that failed must not appear as far as it came: pyarrow
        ends an upload also after an error, unless it was begun at once and goes on in the
        background. A small file is one request only when it is not begun at once.
    """
    return fs.S3FileSystem(
        endpoint_override=endpoint or None,
        scheme=scheme,
        region=region or None,
        connect_timeout=_CONNECT_S,
        request_timeout=_ANSWER_S,
        allow_delayed_open=not in_parts,
        background_writes=True,
    )


@cache
def _region(place: Place) -> str:
    """The region of Amazon's bucket; other stores mostly have none, and want a word for it."""
    if place.endpoint:
        return "us-east-1"
    with _asking(place, f"s3://{place.prefix}", "read"):
        try:
            return str(fs.resolve_s3_region(place.bucket))
        except FileNotFoundError as error:
            raise CatalogError(f"s3://{place.prefix}: {_ADVICE['NO_SUCH_BUCKET']}") from error


@contextmanager
def _asking(place: Place, where: str, what: str) -> Iterator[None]:
    """A store's refusal as a sentence; that something is missing is for the caller to say."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        endpoint = place.endpoint or f"Amazon S3 {place.region}".rstrip()
        advice = next((advice for code, advice in _ADVICE.items() if code in str(error)), None)
        why = str(error) if advice is None else advice.format(endpoint=endpoint)
        raise CatalogError(
            f"{where}: cannot be {what} ({why}); then run the same command again"
        ) from error


@contextmanager
def _drafting(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CatalogError(
            f"{part}: a file on its way to the object store cannot be written here "
            f"({error.strerror or error}); make room, or name another folder with TMPDIR, and run "
            "the same command again"
        ) from error
