"""``python -m softpatch_runtime``."""

from softpatch_runtime.cli import main

main()
