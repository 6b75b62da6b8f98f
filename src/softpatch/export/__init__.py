"""Exports a fitted detector as one file that needs neither torch nor this package to run."""

from softpatch.export.export import export_model
from softpatch.export.parity import ParityReport

__all__ = ["ParityReport", "export_model"]
