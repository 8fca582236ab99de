"""Whole tasks: the data, the model and the estimator of each in one file."""
