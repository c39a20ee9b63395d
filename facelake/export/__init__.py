"""Spans → clips: a plan as a table first, then frame-exact files, then ``clips.csv``.

Plain functions; the corridor loops over the plan.
"""

from __future__ import annotations

from facelake.export.clips import ClipFacts, write_clip
from facelake.export.names import DEFAULT_TEMPLATE, TEMPLATE_FIELDS, clip_name
from facelake.export.plan import ClipPlan, clip_table, plan_clips, write_clip_table

__all__ = [
    "DEFAULT_TEMPLATE",
    "TEMPLATE_FIELDS",
    "ClipFacts",
    "ClipPlan",
    "clip_name",
    "clip_table",
    "plan_clips",
    "write_clip",
    "write_clip_table",
]
