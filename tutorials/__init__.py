"""Lessons: each `NN_title.py` is one, to be stepped through or run whole."""
