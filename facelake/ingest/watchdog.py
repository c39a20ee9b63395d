"""A process that hangs kills itself, so that its nanny can start it again."""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from functools import cache
from pathlib import Path
from typing import ClassVar, TextIO


class Watchdog:
    """Kills this process when nothing calls `alive` for ``stall_s`` seconds.

    decord can wait in native code for ever (dmlc/decord #373, #375, #269). No Python thread is
    needed to fire: faulthandler's timer is C, so it works while the GIL is held too. The nanny
    starts the worker again, and the stretch is tried with PyAV.
    """

    # The process has one timer, and a worker of somebody else's cluster may have many threads.
    _lock = threading.Lock()
    _deadlines: ClassVar[dict[Watchdog, float]] = {}

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._armed_at = float("-inf")

    def alive(self) -> None:
        """Say that work goes on."""
        now = time.monotonic()
        if now - self._armed_at >= min(1.0, self._stall_s / 4):
            self._armed_at = now
            with self._lock:
                self._deadlines[self] = now + self._stall_s
                self._arm(now)

    def stop(self) -> None:
        """No longer watch."""
        with self._lock:
            self._deadlines.pop(self, None)
            self._arm(time.monotonic())

    @classmethod
    def _arm(cls, now: float) -> None:
        if not cls._deadlines:
            faulthandler.cancel_dump_traceback_later()
            return
        left_s = max(min(cls._deadlines.values()) - now, 1e-3)
        faulthandler.dump_traceback_later(left_s, exit=True, file=_nowhere())


@cache
def _nowhere() -> TextIO:
    # The traceback of a hang is of no use to a person at a progress bar.
    return Path(os.devnull).open("w")
