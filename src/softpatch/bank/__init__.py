"""The memory bank: vectors in, the coreset and the nearest vector out."""
