"""Metrics, gathered batch by batch."""

from minicnn.metrics.classification import Accuracy, ConfusionMatrix, PerClass, TopK
from minicnn.metrics.metric import Mean, Metric

__all__ = ["Accuracy", "ConfusionMatrix", "Mean", "Metric", "PerClass", "TopK"]
