"""Each side works in fresh processes, so that its memory, threads and start-up are its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from facelake.errors import EngineError

READY = "ready"
"""What a process says when it only waits for the others."""


def run_python(code: str, job: Path, *, who: str) -> None:
    """Run code in a fresh interpreter to its end.

    Parameters
    ----------
    code
        Reads the path of its job from the command line.
    who
        Who works there, for the error message.

    Raises
    ------
    EngineError
        The process fails; its last words are told.
    """
    ended = subprocess.run(_command(code, job), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise _failure(who, ended.stderr, ended.returncode)


def run_together(code: str, jobs: Sequence[Path], *, who: str) -> None:
    """Run code in several fresh interpreters at once; all begin when the last one is ready.

    Each calls `wait_for_start` when its models are loaded. What they print to stderr is kept
    beside their jobs.

    Raises
    ------
    EngineError
        One of them fails; its last words are told.
    """
    with ExitStack() as stack:
        started = [_start(code, job, stack) for job in jobs]
        for process, job in zip(started, jobs, strict=True):
            if not _says_ready(process):
                raise _failure(who, _errors_of(job).read_text("utf-8"), process.wait())
        for process in started:
            _let_go(process)
        for process, job in zip(started, jobs, strict=True):
            process.communicate()
            if process.returncode:
                raise _failure(who, _errors_of(job).read_text("utf-8"), process.returncode)


def wait_for_start() -> None:
    """Say that this process is ready, and wait until all are."""
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def _start(code: str, job: Path, stack: ExitStack) -> subprocess.Popen[str]:
    errors = stack.enter_context(_errors_of(job).open("w"))
    process = subprocess.Popen(
        _command(code, job), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    stack.enter_context(process)
    stack.callback(process.kill)  # does nothing to one that has ended
    return process


def _says_ready(process: subprocess.Popen[str]) -> bool:
    """Whether the process says so before its end; what libraries print meanwhile is passed over."""
    assert process.stdout is not None
    return any(line.strip() == READY for line in process.stdout)


def _let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has failed; its last words say why
        process.stdin.write("go\n")
        process.stdin.flush()


def _errors_of(job: Path) -> Path:
    return job.with_suffix(".stderr")


def _command(code: str, job: Path) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", code, str(job)]


def _failure(who: str, stderr: str, code: int) -> EngineError:
    words = stderr.strip().splitlines() or [f"exit code {code}"]
    return EngineError(
        f"{who} must run for a comparison, but its process failed ({words[-1]}); "
        "facelake doctor says what is missing"
    )
