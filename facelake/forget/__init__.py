"""The forget corridor: lake → match → lake. What must go, and its going.

`plan_forgetting` says what would go without touching anything, `carry_out` does it and then looks
whether anything is left; `find_expired` and `purge_catalog` end whole catalogs.
"""

from facelake.forget.plan import Plan, plan_forgetting
from facelake.forget.purge import Expired, find_expired, purge_catalog
from facelake.forget.report import FORGOTTEN, ForgetReport
from facelake.forget.request import Request
from facelake.forget.work import carry_out, report_plan

__all__ = [
    "FORGOTTEN",
    "Expired",
    "ForgetReport",
    "Plan",
    "Request",
    "carry_out",
    "find_expired",
    "plan_forgetting",
    "purge_catalog",
    "report_plan",
]
