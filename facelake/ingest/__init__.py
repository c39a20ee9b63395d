"""The ingest corridor: video → faces → tracks → lake, over Dask.

`ingest_videos` is the client's side (`loop`), `work` is what runs on the workers. Frames never
leave the worker that decoded them.
"""

from facelake.ingest.loop import IngestReport, Tally, ingest_videos

__all__ = ["IngestReport", "Tally", "ingest_videos"]
