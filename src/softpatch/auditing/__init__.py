"""Which training pictures are bad: ranking, odd files, duplicates, a page, a quarantine."""
