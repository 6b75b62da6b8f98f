"""Files, folders, arrays and Datasets -> network input."""
