"""Contaminating a clean training set on purpose.

kinds.py     which pictures each kind of contamination draws from
pictures.py  pictures taken again: turned and shifted a little, or photographed badly
draw.py      the draw, its manifest, and the training and test sets it gives
"""
