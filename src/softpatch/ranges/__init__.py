"""One table of what every option takes: the command line, the Python API and docs agree by it."""
