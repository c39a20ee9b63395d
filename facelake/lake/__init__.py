"""The lake room: tables ↔ Parquet. Layout, atomic writes, the commit record, reading.

A catalog is a folder that any Parquet reader can open; `Lake` is the only thing that writes it.
"""

from facelake.lake.files import read_table, write_table
from facelake.lake.lake import Lake
from facelake.lake.staging import StagedStretch, Staging

__all__ = ["Lake", "StagedStretch", "Staging", "read_table", "write_table"]
