"""Which Dask cluster works, and keeping it alive.

Without an address a `LocalCluster` is started: one process per core, one thread each, so that a
worker that hangs in native code can be killed without hurting another. Its dashboard listens on
this machine only; Dask's own default is every network card.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facelake.errors import FacelakeError

if TYPE_CHECKING:
    from distributed import Client

_CONFIG = {
    # A worker that dies takes innocent tasks along; the guilty one is told by its attempts
    # (lake.staging), so Dask may be patient.
    "distributed.scheduler.allowed-failures": 20,
    # Dask's default is to wait for ever for workers that do not come.
    "distributed.scheduler.no-workers-timeout": "120s",
    "distributed.comm.timeouts.connect": "60s",
    "distributed.worker.daemon": True,
}
_HEAL_AFTER_S = 15.0


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

    def heal(self) -> None:
        """Start workers anew where fewer run than should, as a nanny does not always do.

        A worker that dies while it starts is not brought back; a cluster can shrink to none and
        its client would wait for ever (37 kills survived with this, FACTS).
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
    from distributed import Client, LocalCluster

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
        n_workers = workers or _cores()
        local = stack.enter_context(
            LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        )
        client = stack.enter_context(Client(local))
        yield Cluster(client, n_workers, time.perf_counter() - start, local)


def _connect(address: str) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:
        raise FacelakeError(
            f"{address}: no Dask scheduler answers there; start one with 'dask scheduler' and "
            "'dask worker', or leave --scheduler out to use this machine's cores"
        ) from error


def _refuse_bootstrapping() -> None:
    # A script without the guard is imported again by every worker process, and would start a
    # cluster in each.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise FacelakeError(
            "facelake starts worker processes, and each imports this script again; put the calls "
            "below: if __name__ == '__main__':"
        )


def _cores() -> int:
    """Cores this process may use, which in a container or a batch job are not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
