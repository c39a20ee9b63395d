"""How fast facelake is, beside insightface's own classes frame by frame, on the same frames.

`compare_speed` runs both in turns. The peer's process imports this package too (`peer`), so what
is heavy is imported where it is needed and the peer's memory is its own.
"""

from facelake.bench.compare import compare_speed
from facelake.bench.result import BenchResult

__all__ = ["BenchResult", "compare_speed"]
