"""Experiments: a grid of cells, each one detector on one contaminated data set, and their report.

``grid`` says what to run, ``plan`` which cells share a fit, ``run`` fills in the cells, ``results``
keeps and writes them, ``report`` makes a page of them without torch.
"""
