"""From scores to verdicts: how many are bad, where the line is, and what it promises; no torch."""
