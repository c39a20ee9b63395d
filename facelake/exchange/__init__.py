"""The exchange corridor: a catalog's tables for everyone's tools, and other tools' files back in.

`export_dataset` writes self-contained Parquet, `open_frame` gives a lazy Dask DataFrame, and
`export_visage` and `import_visage` speak the files of Visage. Nothing is measured here.
"""

from facelake.exchange.dataset import DatasetReport, export_dataset
from facelake.exchange.frames import open_frame
from facelake.exchange.visage import ImportReport, VisageReport, export_visage, import_visage

__all__ = [
    "DatasetReport",
    "ImportReport",
    "VisageReport",
    "export_dataset",
    "export_visage",
    "import_visage",
    "open_frame",
]
