"""How fast facelake is, beside others in the same run.

`compare_speed` ingests footage in turns with insightface's own classes frame by frame, and
`compare_scans` searches millions of made-up faces in turns with NumPy, FAISS and DuckDB;
`compare_asks` asks made-up archives for thresholds, error rates and people. Each side
works in a process of its own, which imports this package too, so what is heavy is imported where it
is needed and each one's memory is its own.
"""

from facelake.bench.asks import AskResult, compare_asks
from facelake.bench.compare import compare_speed
from facelake.bench.result import BenchResult
from facelake.bench.scan import ScanResult, compare_scans

__all__ = [
    "AskResult",
    "BenchResult",
    "ScanResult",
    "compare_asks",
    "compare_scans",
    "compare_speed",
]
