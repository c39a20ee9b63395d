"""The command line: arguments in, one call, result out."""

from __future__ import annotations

import sys

import click
import pyarrow as pa

from facelake import __version__
from facelake.cli.ask import clips, plot, spans
from facelake.cli.bench import bench
from facelake.cli.build import enrol, ingest, reembed
from facelake.cli.calibrate import calibrate
from facelake.cli.common import (
    DONE_WITH_FAILURES,
    FAILED,
    INTERRUPTED,
    WRONG_USAGE,
    add_debug,
    debugging,
)
from facelake.cli.decide import decide
from facelake.cli.evaluate import evaluate
from facelake.cli.exchange import export, import_
from facelake.cli.forget import describe, forget, purge
from facelake.cli.gallery import gallery
from facelake.cli.lake import coverage, verify
from facelake.cli.machine import demo, doctor, info, lab
from facelake.cli.people import people
from facelake.cli.search import copies, search
from facelake.cli.sweep import sweep, sweep_grid
from facelake.cli.together import screentime, together
from facelake.cli.why import audit, explain, why_not
from facelake.errors import FacelakeError

__all__ = ["DONE_WITH_FAILURES", "FAILED", "WRONG_USAGE", "main"]


class _Group(click.Group):
    """Prints what facelake refuses as one sentence; a traceback only with ``--debug``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)  # in the order in which they are needed

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `| head` has seen enough: click ends quietly
            raise
        except (FacelakeError, ValueError, OSError, KeyboardInterrupt) as error:
            # pyarrow's errors are ValueErrors too, and none of ours.
            if debugging(ctx) or isinstance(error, pa.ArrowException):
                raise
            code, sentence = _told(error)
        click.echo(f"facelake: {sentence}", err=True)
        sys.exit(code)


def _told(error: BaseException) -> tuple[int, str]:
    """Exit code and sentence of what stopped a command."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted; the same command goes on where this one stopped"
    if isinstance(error, OSError):
        where = error.filename or "a file"
        why = error.strerror or error
        return FAILED, f"{where}: cannot be read or written ({why}); check the path and its rights"
    sentence = " ".join(str(error).split())  # one line, whatever a library's message holds
    return (FAILED if isinstance(error, FacelakeError) else WRONG_USAGE), sentence


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Index an archive of video once; ask who is on screen, when, and how sure, for ever after.

    \b
    facelake ingest archive/ -c catalogs/tv              look at the videos, once
    facelake enrol photos/ -c catalogs/tv                say who is who
    facelake spans -c catalogs/tv --threshold 0.30       who is on screen when
    facelake clips -c catalogs/tv --threshold 0.30       cut these moments out

    Start with `facelake demo`: all of it once, offline, on footage it makes itself.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with some videos failed.
    """  # noqa: D301  (click's \b is a backspace: these lines stay as they are)


for command in (
    demo, ingest, reembed, enrol, gallery, calibrate, spans, sweep, sweep_grid, decide, people,
    search, copies, screentime, together, explain, why_not, evaluate, audit, clips, plot, export,
    import_, info, coverage, verify, describe, forget, purge, doctor, bench, lab,
):  # fmt: skip
    main.add_command(command)
add_debug(main)
