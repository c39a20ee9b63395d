"""The client's side of an ingest: what is there already, what is to do, and in which order."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from facelake.cluster import Cluster, open_cluster
from facelake.errors import EngineError, FacelakeError
from facelake.faces import Pack, find_pack
from facelake.ingest.engines import EnginePlugin, engine_state
from facelake.ingest.publish import failed_row, publish_video
from facelake.ingest.report import IngestReport, Tally
from facelake.ingest.task import Indexed, Published, SourceFile, StretchDone, Task, Video
from facelake.ingest.work import UNREAD, index_file, look_at_stretch, unread_id
from facelake.lake import Lake, is_url
from facelake.lake.forget.tombstones import forgotten_videos
from facelake.schema import DAMAGED, Device, IngestSettings, video_name
from facelake.video import find_videos, plan_stretches

if TYPE_CHECKING:
    from distributed import Future

_TICK_S = 0.5


def ingest_videos(
    root: str | Path,
    sources: Iterable[str | Path],
    settings: IngestSettings,
    *,
    pack: str | Path = "buffalo_sc",
    device: Device = "auto",
    workers: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    stall_s: float = 120.0,
    progress: Callable[[Tally], None] = lambda _: None,
) -> IngestReport:
    """Look at videos and put what is seen into a catalog.

    What the catalog has already is left alone; what was interrupted goes on where it stopped.

    Parameters
    ----------
    root
        The catalog's folder; made when it is not there.
    sources
        Files, folders and globs.
    pack
        Name or folder of a model pack.
    workers, scheduler
        Processes of a local cluster, or the address of a running one.
    retry_failed
        Look again at videos that failed before.
    stall_s
        A worker that makes no progress for this long is killed and its work tried again.
    progress
        Called with the tally about twice a second.

    Raises
    ------
    SourceError, PackError, CatalogError, EngineError
        Before any video is touched.
    FacelakeError
        The workers or the catalog's disk failed on the way. What is done stays done.
    """
    found = find_videos(sources)
    chosen = _absolute(find_pack(pack))
    lake = Lake.create(root)
    task = Task(
        root=str(root) if is_url(root) else str(Path(root).absolute()),
        session=secrets.token_hex(8),
        settings=settings,
        pack=chosen,
        device=device,
        stall_s=stall_s,
    )
    files = [_stat(path) for path in found.paths]
    ledger = _Ledger(lake, task, retry_failed=retry_failed)
    todo = [file for file in files if not ledger.knows(file)]
    tally = Tally(
        n_files=len(files),
        n_files_done=len(files) - len(todo),
        bytes_total=sum(file.size_bytes for file in todo),
    )
    start_s, work_s, start = 0.0, 0.0, time.perf_counter()
    first_row_s, lake_s = None, 0.0
    if todo:
        with lake.writing(), open_cluster(workers=workers, scheduler=scheduler) as cluster:
            _open_engines(cluster, lake, task)
            start_s, start = time.perf_counter() - start, time.perf_counter()
            loop = _Loop(cluster, lake, task, ledger, tally, progress)
            loop.run(todo)
            work_s = time.perf_counter() - start  # closing the cluster is no work
            first_row_s = loop.first_row_s and start_s + loop.first_row_s
            lake_s = loop.lake_s
    report = ledger.report(
        tally, found.passed_over, start_s=start_s, work_s=work_s, first_row_s=first_row_s
    )
    return replace(report, lake_s=lake_s)


def _open_engines(cluster: Cluster, lake: Lake, task: Task) -> None:
    """Open every worker's sessions; one that cannot stops the ingest before a video is touched."""
    cluster.client.register_plugin(EnginePlugin(task))
    states = cluster.client.run(engine_state, task.engine)
    errors = sorted({state["error"] for state in states.values() if state["error"]})
    if errors:
        cluster.client.unregister_worker_plugin(task.engine)  # the next ingest shall try again
        raise EngineError("; ".join(errors))
    dim = next(iter(states.values()))["dim"]
    lake.add_space(
        task.pack.space,
        dim=int(dim),
        pack=task.pack.name,
        licence=task.pack.licence,
        embedder_sha256=task.pack.embedder_sha256,
    )


class _Ledger:
    """What the catalog knows of the videos, before and during an ingest."""

    def __init__(self, lake: Lake, task: Task, *, retry_failed: bool) -> None:
        self._lake, self._task = lake, task
        self.rows: dict[str, dict[str, Any]] = {}  # what answers for each content, if it stands
        self.names: dict[str, str] = {}  # content id → video id
        self.new: dict[str, Published] = {}
        self.forgotten = frozenset(forgotten_videos(lake.store).values())  # content ids
        self.met_forgotten: set[str] = set()  # files with these contents
        self.present: set[str] = set()
        self._known: set[tuple[str, str]] = set()  # video and run of every row that stands
        self._holders: dict[str, set[tuple[str, str]]] = defaultdict(set)  # path → content, run
        held = {entry.name for entry in lake.store.find()}  # at once: each `has` is a request
        for row in lake.runs().to_pylist():
            content_id, run = row["content_id"], row["run"]
            self._known.add((row["video_id"], run))
            self.names[content_id] = row["video_id"]
            for path in row["paths"]:
                self._holders[path].add((content_id, run))
            again = row["status"] == "failed" and (retry_failed or content_id.startswith(UNREAD))
            again = again or row["status"] == DAMAGED
            if run in task.answers(content_id) and not again and lake.is_whole(row, held):
                self.rows[content_id] = row
        self._files = {
            (path, row["size_bytes"], mtime_ns): content_id
            for content_id, row in self.rows.items()
            for path, mtime_ns in zip(row["paths"], row["mtimes_ns"], strict=True)
        }

    def knows(self, file: SourceFile) -> bool:
        """Whether this file was looked at in this way, by path, size and time of change."""
        content_id = self._files.get((file.path, file.size_bytes, file.mtime_ns))
        if content_id is not None:
            self.present.add(content_id)
        return content_id is not None

    def name(self, content_id: str, path: str) -> str:
        """The video id of some bytes: what it was called before, else slug and 8 hex digits."""
        if content_id not in self.names:
            self.names[content_id] = video_name(Path(path).stem, content_id, self.names.values())
        return self.names[content_id]

    def found_again(self, content_id: str, files: Iterable[SourceFile]) -> None:
        """Note files that hold the bytes of a video the catalog has: moved, renamed or copied."""
        row = self.rows[content_id]
        for file in files:
            self._lake.add_path(row, file.path, file.mtime_ns)
            row = self._reread(content_id)
        self.present.add(content_id)

    def rewritten(self, content_id: str, files: Iterable[SourceFile]) -> None:
        """Take these files' names from videos that had them before: they hold other bytes now."""
        for file in files:
            for other, run in self._holders.get(file.path, ()):
                if other != content_id and self._lake.has_run(self.names[other], run):
                    row = self._lake.run_row(self.names[other], run)
                    self._lake.drop_path(row, file.path)

    def make_room(self, video_id: str, run: str) -> None:
        """See that what failed before and is tried again does not pass for what comes now."""
        if (video_id, run) in self._known:
            self._lake.retry(video_id, run)

    def published(self, content_id: str, what: Published) -> None:
        """Note a video that this ingest put into the catalog."""
        self.new[content_id] = what

    def report(
        self,
        tally: Tally,
        passed_over: dict[str, int],
        *,
        start_s: float,
        work_s: float,
        first_row_s: float | None,
    ) -> IngestReport:
        """What it all came to."""
        told = [self._reread(content_id) for content_id in {*self.new, *self.present}]
        troubles = sorted(
            (row["paths"][0], row["status"], row["error"]) for row in told if row["status"] != "ok"
        )
        return IngestReport(
            n_files=tally.n_files,
            n_new=len(self.new),
            n_present=len(self.present - self.new.keys()),
            n_failed=sum(row["status"] == "failed" for row in told),
            n_partial=sum(row["status"] == "partial" for row in told),
            n_samples=sum(what.n_samples for what in self.new.values()),
            n_faces=sum(what.n_faces for what in self.new.values()),
            video_s=tally.video_s,
            troubles=tuple(troubles),
            passed_over=passed_over,
            forgotten=tuple(sorted(self.met_forgotten)),
            start_s=start_s,
            work_s=work_s,
            first_row_s=first_row_s,
            notes=tuple(sorted({row["engine_note"] for row in told if row["engine_note"]})),
        )

    def _reread(self, content_id: str) -> dict[str, Any]:
        known = self.rows.get(content_id)
        run = self._task.run_of(content_id) if known is None else known["run"]
        row = self._lake.run_row(self.names[content_id], run)
        self.rows[content_id] = row
        return row


@dataclass
class _Progress:
    """A video under way."""

    video: Video
    n_stretches: int
    bytes_each: float
    n_done: int = 0
    errors: list[str] = field(default_factory=list)


class _Loop:
    """Feeds the cluster: index files, look at stretches, publish videos.

    A window keeps only a few videos under way at once, so that an archive of any size needs no
    more memory than a small one, and the first videos are finished first.
    """

    def __init__(
        self,
        cluster: Cluster,
        lake: Lake,
        task: Task,
        ledger: _Ledger,
        tally: Tally,
        progress: Callable[[Tally], None],
    ) -> None:
        self._cluster, self._lake, self._task, self._ledger = cluster, lake, task, ledger
        self._tally, self._progress = tally, progress
        self._window = 2 * cluster.n_workers + 4
        self._under_way: dict[str, _Progress] = {}
        self._pending: dict[Future[Any], tuple[str, Any]] = {}
        # Dask's own wait() looks at every future each time; a long film has thousands.
        self._done_queue: SimpleQueue[Future[Any]] = SimpleQueue()
        self._start = time.perf_counter()
        self.lake_s = 0.0  # of all workers, staging and publishing
        self.first_row_s: float | None = None  # from here until the first stretch was staged

    def run(self, files: list[SourceFile]) -> None:
        """Look at all the files."""
        groups = deque(_of_equal_size(files))
        waiting: dict[int, list[Indexed]] = {}
        sizes = {group[0].size_bytes: len(group) for group in groups}
        while groups or self._pending:
            while groups and len(self._pending) < self._window:
                for file in groups.popleft():
                    self._submit("index", file, index_file, self._task, file, priority=10)
            for kind, about, result in self._finished():
                if kind == "index":
                    indexed = self._indexed(about, result)
                    same_size = waiting.setdefault(about.size_bytes, [])
                    same_size.append(indexed)
                    if len(same_size) == sizes[about.size_bytes]:
                        self._begin(waiting.pop(about.size_bytes))
                elif kind == "stretch":
                    self._stretch_done(about, result)
                else:
                    self._published(about, result)
        self._progress(self._tally)

    # Events -------------------------------------------------------------------------------------

    def _finished(self) -> Iterator[tuple[str, Any, Any]]:
        """What has finished since the last call: kind, what it was about, result or exception."""
        futures = self._next_done()
        self._cluster.heal()
        self._tally.elapsed_s = time.perf_counter() - self._start
        self._progress(self._tally)
        for future in futures:
            kind, about = self._pending.pop(future)
            yield kind, about, _outcome(future)
            future.release()

    def _next_done(self) -> list[Future[Any]]:
        futures = []
        with suppress(Empty):
            futures.append(self._done_queue.get(timeout=_TICK_S))
            while True:
                futures.append(self._done_queue.get_nowait())
        return futures

    def _indexed(self, file: SourceFile, result: Indexed | BaseException) -> Indexed:
        if isinstance(result, Indexed):
            return result
        return Indexed(file, unread_id(file), None, f"it cannot be read: {_said(result)}")

    def _begin(self, indexed: list[Indexed]) -> None:
        """Start on the videos among files of equal size, whose every copy is known by now."""
        by_content = sorted(indexed, key=lambda one: (one.content_id, one.file.path))
        for content_id, copies_ in groupby(by_content, key=lambda one: one.content_id):
            copies = list(copies_)
            files = tuple(one.file for one in copies)
            if not content_id.startswith(UNREAD):
                self._ledger.rewritten(content_id, files)
            if content_id in self._ledger.forgotten:
                self._ledger.met_forgotten.update(file.path for file in files)
                self._done(files)
                continue
            if content_id in self._ledger.rows:
                self._ledger.found_again(content_id, files)
                self._done(files)
                continue
            video_id = self._ledger.name(content_id, files[0].path)
            self._ledger.make_room(video_id, self._task.run_of(content_id))
            index = copies[0].index
            if index is None:
                self._fail(video_id, content_id, files, copies[0].error)
                continue
            video = Video(video_id, content_id, files, index.facts)
            settings = self._task.settings
            stretches = plan_stretches(index, settings.sample_fps, refine=settings.refines)
            total = sum(file.size_bytes for file in files)
            self._under_way[video_id] = _Progress(video, len(stretches), total / len(stretches))
            # The longest first, so that at the end no worker is left alone with a long one.
            for stretch in sorted(stretches, key=lambda one: -len(one.want_pts)):
                self._submit(
                    "stretch", video_id, look_at_stretch, self._task, video, stretch, priority=0
                )

    def _stretch_done(self, video_id: str, result: StretchDone | BaseException) -> None:
        at = self._under_way[video_id]
        at.n_done += 1
        self._tally.bytes_done += at.bytes_each
        self._tally.video_s += at.video.facts.duration_s / at.n_stretches
        if self.first_row_s is None:
            self.first_row_s = time.perf_counter() - self._start
        if isinstance(result, StretchDone):
            self.lake_s += result.lake_s
            self._tally.n_samples += result.n_samples
            self._tally.n_faces += result.n_faces
            if result.error:
                at.errors.append(result.error)
        else:
            at.errors.append(_said(result))
        if at.n_done == at.n_stretches:
            reason = _one_sentence(at.errors, at.n_stretches)
            self._submit(
                "publish", video_id, publish_video, self._task, at.video, at.n_stretches, reason,
                priority=20,
            )  # fmt: skip

    def _published(self, video_id: str, result: Published | BaseException) -> None:
        video = self._under_way.pop(video_id).video
        if isinstance(result, BaseException):
            raise FacelakeError(
                f"{video.files[0].path}: what was seen cannot be put into the catalog "
                f"({_said(result)}); mend that and run the same command again, it goes on where "
                "this one stopped"
            ) from result
        self.lake_s += result.lake_s
        self._tally.n_failed += result.status == "failed"
        self._ledger.published(video.content_id, result)
        self._tally.n_files_done += len(video.files)

    def _fail(
        self, video_id: str, content_id: str, files: tuple[SourceFile, ...], error: str
    ) -> None:
        self._lake.publish(failed_row(self._task, video_id, content_id, files, error))
        self._ledger.published(content_id, Published(video_id, "failed", error, 0, 0))
        self._tally.n_failed += 1
        self._done(files)

    def _done(self, files: Iterable[SourceFile]) -> None:
        for file in files:
            self._tally.n_files_done += 1
            self._tally.bytes_done += file.size_bytes

    def _submit(
        self, kind: str, about: Any, function: Callable[..., Any], *args: Any, priority: int
    ) -> None:
        future = self._cluster.client.submit(function, *args, pure=False, priority=priority)
        self._pending[future] = (kind, about)
        future.add_done_callback(self._done_queue.put)


def _outcome(future: Future[Any]) -> Any:
    """A task's result, or the exception that is its own fault.

    Raises
    ------
    FacelakeError
        What is no task's fault: the cluster is gone, or a worker cannot look at any video.
    """
    from distributed.scheduler import NoWorkerError

    error = CancelledError() if future.cancelled() else future.exception()
    if isinstance(error, CancelledError | NoWorkerError):
        raise FacelakeError(
            "the Dask scheduler or its workers went away; run the same command again, it goes on "
            "where this one stopped"
        ) from error
    if isinstance(error, FacelakeError):
        raise error
    return future.result() if error is None else error


def _absolute(pack: Pack) -> Pack:
    """The pack with paths that hold in any folder a worker may run in."""
    return replace(pack, detector=pack.detector.absolute(), embedder=pack.embedder.absolute())


def _stat(path: Path) -> SourceFile:
    stat = path.stat()
    return SourceFile(str(path), stat.st_size, stat.st_mtime_ns)


def _of_equal_size(files: list[SourceFile]) -> list[list[SourceFile]]:
    """Groups of files of one size, in the order of their first: copies have equal sizes."""
    groups: dict[int, list[SourceFile]] = {}
    for file in files:
        groups.setdefault(file.size_bytes, []).append(file)
    return list(groups.values())


def _one_sentence(errors: list[str], n_stretches: int) -> str:
    if not errors:
        return ""
    if len(errors) == n_stretches:
        return errors[0]
    return f"{len(errors)} of {n_stretches} stretches gave nothing ({errors[0]})"


def _said(error: BaseException) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return "every worker that tried died"
    return f"{type(error).__name__}: {error}"
