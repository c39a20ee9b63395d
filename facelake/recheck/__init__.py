"""The corridor that opens a video again, at chosen instants: why somebody is not found, an audit.

`look` gets the frame of an instant and looks at it with stronger settings; `why_not` and `audit`
compare what is seen with what the catalog has.
"""

from facelake.recheck.audit import AuditTables, audit_catalog
from facelake.recheck.why_not import Look, SecondLook, look_again

__all__ = ["AuditTables", "Look", "SecondLook", "audit_catalog", "look_again"]
