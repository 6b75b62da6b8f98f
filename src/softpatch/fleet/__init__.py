"""One detector a camera: fitted, kept up with, and reported on as a fleet."""
