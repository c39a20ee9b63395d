"""The cluster has the workers it should, keeps them, and says so when it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, cast

import dask
import psutil
import pytest
from distributed import LocalCluster

from facelake import cluster as cluster_module
from facelake.cluster import Cluster, open_cluster
from facelake.errors import FacelakeError

_PATIENCE_S = 40.0  # far beyond what it takes; reached only by a hang


def wait_until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def square(x: int) -> int:
    return x * x


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # A nanny's cluster forgets a lost worker after 15 s; here after 1.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}),
        open_cluster(workers=2) as cluster,
    ):
        yield cluster


def worker_pids(cluster: Cluster) -> list[int]:
    # A worker that dies while it is asked is none.
    return sorted(cluster.client.run(os.getpid, on_error="ignore").values())


def test_it_has_one_process_a_worker_and_works(cluster: Cluster) -> None:
    assert cluster.n_workers == 2
    assert len(set(worker_pids(cluster))) == 2
    assert os.getpid() not in worker_pids(cluster)
    assert list(cluster.client.nthreads().values()) == [1, 1]
    assert cluster.client.submit(square, 12).result() == 144
    assert cluster.start_s > 0


def test_nothing_listens_on_a_network_card(cluster: Cluster) -> None:
    listening = [
        connection.laddr.ip
        for pid in [os.getpid(), *worker_pids(cluster)]
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4  # scheduler, its dashboard, two workers
    assert set(listening) <= {"127.0.0.1", "::1"}


def test_a_killed_worker_comes_back(cluster: Cluster) -> None:
    before = worker_pids(cluster)
    psutil.Process(before[0]).kill()
    assert wait_until(
        lambda: len(cluster.client.nthreads()) == 2 and worker_pids(cluster) != before
    )
    assert cluster.client.submit(square, 13, pure=False).result() == 169


def test_heal_brings_back_workers_that_their_nannies_gave_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_HEAL_AFTER_S", 0.2)
    pids = worker_pids(cluster)
    for nanny in list(cluster._local.workers.values()):
        cluster._local.sync(nanny.close)
    assert wait_until(lambda: not cluster._local.scheduler.workers)

    def healed() -> bool:
        cluster.heal()
        return len(cluster._local.scheduler.workers) == 2

    assert wait_until(healed)
    assert not set(worker_pids(cluster)) & set(pids)
    assert cluster.client.submit(square, 14, pure=False).result() == 196


def test_heal_of_a_whole_cluster_does_nothing(cluster: Cluster) -> None:
    before = worker_pids(cluster)
    cluster.heal()
    assert worker_pids(cluster) == before


def test_a_cluster_that_does_not_close_loses_its_workers_and_holds_nobody_up() -> None:
    # As one does with a nanny whose worker died while it started.
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]) as worker:

        class Stuck:
            shutdown_on_close = True
            workers: ClassVar = {0: SimpleNamespace(pid=worker.pid), 1: SimpleNamespace(pid=None)}

            def close(self, timeout: float) -> None:
                assert 0 < timeout < 60
                raise TimeoutError

        stuck = Stuck()
        cluster_module._close(cast("LocalCluster", stuck))
        assert worker.wait(timeout=_PATIENCE_S) == -signal.SIGKILL
        assert not stuck.shutdown_on_close


def test_one_worker_for_each_core_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not say which cores a process may use")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 5, 7})
    assert cluster_module.count_cores() == 3


@pytest.mark.parametrize("workers", [0, -1])
def test_no_worker_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match=f"workers must be at least 1, but is {workers}"):
        open_cluster(workers=workers).__enter__()


# Somebody else's scheduler ----------------------------------------------------------------------


def test_a_running_scheduler_is_used_and_left_running() -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
    ) as theirs:
        for _ in range(2):
            with open_cluster(scheduler=theirs.scheduler_address) as cluster:
                assert cluster.n_workers == 2  # its threads
                assert cluster.client.submit(square, 5, pure=False).result() == 25
                cluster.heal()
        assert len(theirs.scheduler.workers) == 1


def test_a_scheduler_without_workers_is_refused() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as theirs,
        pytest.raises(FacelakeError, match="the scheduler must have workers, but has none"),
        open_cluster(scheduler=theirs.scheduler_address),
    ):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense://x"])
def test_a_scheduler_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(cluster_module, "_CONNECT_TIMEOUT_S", 1)
    with (
        pytest.raises(
            FacelakeError, match=r"no Dask scheduler answers there; .*--scheduler"
        ) as told,
        open_cluster(scheduler=address),
    ):
        pass
    assert str(told.value).startswith(address)


# Scripts ----------------------------------------------------------------------------------------

_SCRIPT = """
import sys
from facelake.cluster import open_cluster
print("imported", file=sys.stderr)
{guard}
    with open_cluster(workers=2) as cluster:
        print(cluster.client.submit(sum, [1, 2]).result())
"""


def run_script(folder: Path, guard: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(_SCRIPT.format(guard=guard))
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )


def test_a_script_without_a_main_guard_is_told_so_and_does_not_multiply(tmp_path: Path) -> None:
    done = run_script(tmp_path, "if True:")
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert "FacelakeError" in last
    assert "if __name__ == '__main__':" in last
    assert 2 <= done.stderr.count("imported") <= 3  # once here, and once in each of two workers
    assert done.stdout == ""


def test_a_script_with_a_main_guard_works(tmp_path: Path) -> None:
    done = run_script(tmp_path, "if __name__ == '__main__':")
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
