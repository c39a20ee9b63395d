"""What this machine is, and how much memory the processes started here take."""

from __future__ import annotations

import platform
import re
import threading
from pathlib import Path
from types import TracebackType

import psutil

_SAMPLE_S = 0.1


def name_cpu() -> str:
    """The processor's name as it tells it itself."""
    try:
        told = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        told = None
    return told[1].strip() if told else platform.processor() or platform.machine()


class MemoryWatch:
    """Watches the processes that are started below this one while the block runs.

    Every tenth of a second; processes that were there before do not count.
    """

    def __init__(self) -> None:
        self._together = 0
        self._peaks: dict[int, int] = {}
        self._older = {child.pid for child in psutil.Process().children(recursive=True)}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def largest_bytes(self) -> int:
        """Peak resident memory of the process that took most."""
        return max(self._peaks.values(), default=0)

    @property
    def together_bytes(self) -> int:
        """Most resident memory of all of them at one instant; pages they share count in each."""
        return max(self._together, self.largest_bytes)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(_SAMPLE_S):
            together = 0
            for child in me.children(recursive=True):
                if child.pid not in self._older:
                    together += self._look_at(child)
            self._together = max(self._together, together)

    def _look_at(self, child: psutil.Process) -> int:
        """Note a process's peak; gives what it takes now, 0 when it has just ended."""
        try:
            now = int(child.memory_info().rss)
        except psutil.Error:
            return 0
        # The kernel's own peak replaces what it said before: between fork and exec it is still
        # the parent's. Where there is none, the highest sample has to do.
        peak = _kernel_peak(child.pid)
        self._peaks[child.pid] = max(self._peaks.get(child.pid, 0), now) if peak is None else peak
        return now


def _kernel_peak(pid: int) -> int | None:
    """Peak resident bytes of a process as Linux counts them; ``None`` elsewhere or at its end."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return None
    told = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
    return 1024 * int(told[1]) if told else None
