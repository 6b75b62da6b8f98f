"""HTML pages, each a single file."""
