"""Score the images that appear in a folder, each once, even if killed at any moment."""

from softpatch.watch.journal import Journal
from softpatch.watch.scoring import by_exported, by_model
from softpatch.watch.watching import watch

__all__ = ["Journal", "by_exported", "by_model", "watch"]
