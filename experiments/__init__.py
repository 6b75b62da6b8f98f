"""What was tried to close the gap to a model of clean pictures; see README.md.

pool.py     all pictures of a category as patches, shaped and embedded in several ways
rules.py    outlier scores of training patches, and cuts that keep patches out of the bank
scoring.py  coreset, scores and metrics, on one device from end to end
study.py    the grid of all of them
"""
