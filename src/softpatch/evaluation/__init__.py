"""Measuring a detector: metrics, and the protocol of fitting on contaminated data."""
