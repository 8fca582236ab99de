"""Metrics, gathered batch by batch."""

from minicnn.metrics.classification import Accuracy, ConfusionMatrix, PerClass, TopK
from minicnn.metrics.detection import Curve, MeanAveragePrecision, average_precision
from minicnn.metrics.detection_errors import DetectionErrors, Fate, explain_detection
from minicnn.metrics.metric import Mean, Metric

__all__ = [
    "Accuracy",
    "ConfusionMatrix",
    "Curve",
    "DetectionErrors",
    "Fate",
    "Mean",
    "MeanAveragePrecision",
    "Metric",
    "PerClass",
    "TopK",
    "average_precision",
    "explain_detection",
]
