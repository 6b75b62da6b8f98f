"""Model files, their versions, and the checkpoints of a fit."""
