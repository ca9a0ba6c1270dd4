"""The report of a result: figures, tables and a 3D view in one HTML file."""

from tripoint.report.page import render, write

__all__ = ["render", "write"]
