"""Hostile campaigns against softpatch: what ``docs/reliability.md`` says was tried."""
