"""Which Dask cluster works, and keeping it alive.

Without an address a `LocalCluster` is started: one process per core, one thread each, so that a
worker that hangs in native code can be killed without hurting another. Its dashboard listens on
this machine only; Dask's own default is every network card.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from facelake.errors import FacelakeError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

Item = TypeVar("Item")
Result = TypeVar("Result")

_CONFIG = {
    # A worker that dies takes innocent tasks along; the guilty one is told by its attempts
    # (lake.staging), so Dask may be patient.
    "distributed.scheduler.allowed-failures": 20,
    # Dask's default is to wait for ever for workers that do not come.
    "distributed.scheduler.no-workers-timeout": "120s",
    "distributed.comm.timeouts.connect": "60s",
    "distributed.worker.daemon": True,
    # Dask tells malloc to give memory back at once. Frames of megabytes come and go here: each
    # would be mapped, cleared and unmapped anew, which made detection a quarter slower.
    "distributed.nanny.pre-spawn-environ": {
        "MALLOC_TRIM_THRESHOLD_": 128 << 20,
        "MALLOC_MMAP_THRESHOLD_": 32 << 20,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
    },
    # The statistical profiler looks at every thread a hundred times a second.
    "distributed.worker.profile.enabled": False,
    # What a worker holds are frames, which Dask cannot spill; a paused worker would never go on.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.preload": ["facelake.cluster"],
}
_HEAL_AFTER_S = 15.0
_CONNECT_TIMEOUT_S = 10
_CLOSE_TIMEOUT_S = 15.0  # a nanny gives a busy worker 4
_GUARD = (
    "each of them imports this script again, so its calls must stand below: "
    "if __name__ == '__main__':"
)


@dataclass
class Cluster:
    """A Dask client and how many workers it should have.

    Attributes
    ----------
    n_workers
        Threads that can work at once.
    start_s
        Seconds the start took.
    """

    client: Client
    n_workers: int
    start_s: float
    _local: Any = None
    _short_since: float | None = field(default=None, repr=False)

    def spread(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """What a function gives for every item, in their order, worked out by the workers."""
        futures = self.client.map(function, items, pure=False)
        for future in futures:
            yield future.result()
            future.release()

    def heal(self) -> None:
        """Start workers anew where fewer run than should, as a nanny does not always do.

        A worker that dies while it starts is not brought back; a cluster can shrink to none and
        its client would wait for ever (with this, 37 kills of a worker were survived).
        """
        if self._local is None:
            return
        if len(self._local.scheduler.workers) >= self.n_workers:
            self._short_since = None
            return
        now = time.monotonic()
        self._short_since = self._short_since or now
        if now - self._short_since > _HEAL_AFTER_S:
            self._local.scale(self.n_workers)
            self._short_since = None


@contextmanager
def open_cluster(*, workers: int | None = None, scheduler: str | None = None) -> Iterator[Cluster]:
    """A running cluster, closed at the end when it was started here.

    Parameters
    ----------
    workers
        Processes of a local cluster; ``None`` is one per core this process may use.
    scheduler
        Address of a scheduler that already runs, as ``tcp://host:8786``.

    Raises
    ------
    FacelakeError
        The scheduler cannot be reached or has no worker, or this is a script without a main guard.
    """
    import dask
    from distributed import Client

    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, but is {workers}")
    _refuse_bootstrapping()
    start = time.perf_counter()
    with ExitStack() as stack:
        if scheduler is not None:
            client = stack.enter_context(_connect(scheduler))
            n_workers = sum(client.nthreads().values())
            if not n_workers:
                raise FacelakeError(f"{scheduler}: the scheduler must have workers, but has none")
            yield Cluster(client, n_workers, time.perf_counter() - start)
            return
        stack.enter_context(dask.config.set(_CONFIG))
        n_workers = workers or count_cores()
        local = stack.enter_context(_local_cluster(n_workers))
        # Not the default one: what else of Dask the caller uses goes where it went before.
        client = stack.enter_context(Client(local, set_as_default=False))
        yield Cluster(client, n_workers, time.perf_counter() - start, local)


@contextmanager
def _local_cluster(n_workers: int) -> Iterator[LocalCluster]:
    from distributed import LocalCluster

    try:
        local = LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:  # a nanny gave up
        raise FacelakeError(f"the worker processes do not start; {_GUARD}") from error
    try:
        yield local
    finally:
        _close(local)


def _close(local: LocalCluster) -> None:
    """Close a cluster, in bounded time.

    A nanny whose worker died while it started waits for it for ever when it is closed.
    """
    try:
        local.close(timeout=_CLOSE_TIMEOUT_S)
    except TimeoutError:
        local.shutdown_on_close = False  # nor shall the interpreter's exit wait again
        for nanny in list(local.workers.values()):
            if nanny.pid:
                with suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)


def _connect(address: str) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout=_CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise FacelakeError(
            f"{address}: no Dask scheduler answers there; start one with 'dask scheduler' and "
            "'dask worker', or leave --scheduler out to use this machine's cores"
        ) from error


def dask_setup(_worker: object) -> None:
    """Leave Ctrl-C to the client; Dask calls this in each local worker, as a preload.

    A terminal interrupts every process, and each worker would print a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _refuse_bootstrapping() -> None:
    # A script without the guard is imported again by every worker process, and would start a
    # cluster in each.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise FacelakeError(f"facelake starts worker processes; {_GUARD}")


def count_cores() -> int:
    """Cores this process may use, which in a container or a batch job are not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
