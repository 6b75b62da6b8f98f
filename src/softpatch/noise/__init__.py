"""Which training patches are noise: an outlier score for every patch, and what follows from it."""
