"""The sessions of a worker: opened once, shared by its tasks, never pickled."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from distributed import WorkerPlugin, get_worker

from facelake.errors import EngineError, FacelakeError, PackError
from facelake.faces import FaceEngine, Found, Pack, find_pack
from facelake.faces.pack import file_sha256
from facelake.ingest.task import Task
from facelake.tracks import link_tracks


class EnginePlugin(WorkerPlugin):
    """Opens the sessions of a pack once per worker; they are never pickled."""

    idempotent = True  # another ingest on the same workers may be using them

    def __init__(self, task: Task) -> None:
        self.name = task.engine
        self._pack, self._settings, self._device = task.pack, task.settings, task.device
        self.engine: FaceEngine | None = None
        self.error = ""

    def setup(self, worker: Any) -> None:
        """Open the sessions; a failure is kept, to be told when the sessions are needed."""
        self.lock = threading.Lock()
        self.threads = max(1, int(worker.state.nthreads))
        try:
            self.engine = self._open(batch=True)
            _warm_up(self.engine)
        except FacelakeError as error:
            self.error = str(error)

    def opened(self) -> FaceEngine:
        """The sessions.

        Raises
        ------
        EngineError
            They could not be opened here.
        """
        if self.engine is None:
            raise EngineError(f"{socket.gethostname()}: {self.error}")
        return self.engine

    def reopen(self, because: str) -> None:
        """Make the sessions anew, for one frame and one face at a time from now on.

        Parameters
        ----------
        because
            What went wrong; the engine's note says so as long as it runs like this.

        Raises
        ------
        EngineError
            They cannot be made.
        """
        with self.lock:
            engine = self._open(batch=False)
            engine.note = f"one frame and one face at a time, because {because}"
            self.engine = engine

    def _open(self, *, batch: bool) -> FaceEngine:
        return FaceEngine(
            _pack_here(self._pack),
            self._settings,
            device=self._device,
            threads=self.threads,
            batch=batch,
        )


class Eyes:
    """A worker's sessions as one stretch uses them, and what of their time it took."""

    def __init__(self, plugin: EnginePlugin) -> None:
        self._plugin = plugin
        self._engine = plugin.opened()
        self.seconds = dict.fromkeys(self._engine.seconds, 0.0)
        self.n_second_looks = 0

    @property
    def batch(self) -> int:
        """Frames that are worth looking at together."""
        return self._engine.detector.batch

    def look(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[list[Found]]:
        """The faces of upright RGB frames of one size."""
        with self._counted():
            return self._engine.look(images)

    def embed(self, chips: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Unit vectors of aligned chips."""
        with self._counted():
            return self._engine.embed(chips)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        # The sessions have a thread for each of the worker's, so one call at a time is as fast.
        with self._plugin.lock:
            before, n_before = dict(self._engine.seconds), self._engine.detector.n_second
            yield
            for stage, seconds in self._engine.seconds.items():
                self.seconds[stage] += seconds - before[stage]
            self.n_second_looks += self._engine.detector.n_second - n_before


def _warm_up(engine: FaceEngine) -> None:
    """Have the first stretch and the first publishing import and allocate nothing."""
    engine.bare_run(360, 640, 1, 1)
    boxes, vectors = np.eye(2, 4, 2), np.eye(2)
    link_tracks([0.0, 0.2], boxes, vectors)
    pa.table({"nothing": [None]})


def _pack_here(pack: Pack) -> Pack:
    """The same pack where this worker keeps it: another machine's folders may differ."""
    files = {pack.detector: pack.detector_sha256, pack.embedder: pack.embedder_sha256}
    if all(file.is_file() and file_sha256(file) == sha for file, sha in files.items()):
        return pack
    here = find_pack(pack.name)
    if (here.space, here.detector_id) != (pack.space, pack.detector_id):
        raise PackError(
            f"pack {pack.name!r}: every worker must have {pack.detector_id} and {pack.space}, but "
            f"{socket.gethostname()} has {here.detector_id} and {here.space}"
        )
    return here


def engine_state(name: str, dask_worker: Any = None) -> dict[str, Any]:
    """What a worker's sessions are: provider and dim, or the error that kept them away."""
    plugin: EnginePlugin = dask_worker.plugins[name]
    if plugin.engine is None:
        return {"error": plugin.error}
    return {"error": "", "provider": plugin.engine.provider, "dim": plugin.engine.dim}


def engine_plugin(task: Task) -> EnginePlugin:
    """The sessions of the worker that this runs on, for a task.

    Raises
    ------
    EngineError
        It was never given any.
    """
    plugin = get_worker().plugins.get(task.engine)
    if not isinstance(plugin, EnginePlugin):
        raise EngineError(f"{socket.gethostname()}: this worker was given no face engine")
    return plugin
