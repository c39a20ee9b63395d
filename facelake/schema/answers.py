"""Columns of the tables that are answered with and not kept in a catalog."""

from __future__ import annotations
