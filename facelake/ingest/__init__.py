"""The ingest corridor: video → faces → tracks → lake, over Dask.

`ingest_videos` is the client's side (`loop`), `work` is what runs on the workers. Frames never
leave the worker that decoded them.
"""

from facelake.ingest.loop import ingest_videos
from facelake.ingest.report import IngestReport, Tally

__all__ = ["IngestReport", "Tally", "ingest_videos"]
