"""The lake room: tables ↔ Parquet. Layout, atomic writes, the commit record, reading, the scan.

A catalog is a folder, or a prefix in an object store, that any Parquet reader can open; `Lake` is
the only thing that writes it.
"""

from facelake.lake.coverage import COVERAGE, read_coverage, total_coverage
from facelake.lake.files import read_table, save_table, write_table
from facelake.lake.lake import Lake
from facelake.lake.scan.kernels import KernelName
from facelake.lake.staging import StagedStretch, Staging
from facelake.lake.stores.store import is_url
from facelake.lake.verify.verify import TROUBLES, VerifyReport, verify_catalog

__all__ = [
    "COVERAGE",
    "TROUBLES",
    "KernelName",
    "Lake",
    "StagedStretch",
    "Staging",
    "VerifyReport",
    "is_url",
    "read_coverage",
    "read_table",
    "save_table",
    "total_coverage",
    "verify_catalog",
    "write_table",
]
