"""The ``softpatch`` command: one file per subcommand.

Heavy imports (torch, timm) wait until a subcommand runs, so that ``--help`` answers at once.
"""

from softpatch.cli.app import main

__all__ = ["main"]
