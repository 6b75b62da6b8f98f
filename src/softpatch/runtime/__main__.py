"""``python -m softpatch_runtime``."""

from .cli import main

main()
