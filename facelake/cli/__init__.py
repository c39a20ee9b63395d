"""The command line: arguments in, one call, result out."""

from __future__ import annotations

import sys

import click
import pyarrow as pa

from facelake import __version__
from facelake.cli.ask import clips, plot, spans
from facelake.cli.build import enrol, ingest
from facelake.cli.common import DONE_WITH_FAILURES, FAILED, debugging
from facelake.cli.machine import bench, demo, doctor, info, lab
from facelake.errors import FacelakeError

__all__ = ["DONE_WITH_FAILURES", "FAILED", "main"]


class _Group(click.Group):
    """Prints what facelake refuses as one sentence; a traceback only with ``--debug``."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (FacelakeError, ValueError) as error:
            # pyarrow's errors are ValueErrors too, and none of ours.
            if debugging(ctx) or isinstance(error, pa.ArrowException):
                raise
            click.echo(f"facelake: {error}", err=True)
        except KeyboardInterrupt:
            if debugging(ctx):
                raise
            click.echo(
                "facelake: interrupted; the same command goes on where this one stopped", err=True
            )
            sys.exit(130)
        except OSError as error:
            if debugging(ctx):
                raise
            click.echo(f"facelake: {error.filename or ''}: {error.strerror or error}", err=True)
        sys.exit(FAILED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    r"""Index an archive of video once; ask who is on screen, when, and how sure, for ever after.

    \b
    facelake ingest archive/ -c catalogs/tv              look at the videos, once
    facelake enrol photos/ -c catalogs/tv                say who is who
    facelake spans -c catalogs/tv --threshold 0.30       who is on screen when
    facelake clips -c catalogs/tv --threshold 0.30       cut these moments out

    Start with `facelake demo`: all of it once, offline, on footage it makes itself.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with some videos failed.
    """


for command in (demo, ingest, enrol, spans, clips, plot, info, doctor, bench, lab):
    main.add_command(command)
