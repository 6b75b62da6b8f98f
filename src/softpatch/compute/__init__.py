"""How work uses the machine: memory, threads, processes, files. Results never depend on it."""
