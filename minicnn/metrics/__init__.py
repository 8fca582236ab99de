"""Metrics, gathered batch by batch."""

from minicnn.metrics.classification import Accuracy, ConfusionMatrix, PerClass, TopK
from minicnn.metrics.detection import Curve, MeanAveragePrecision, average_precision
from minicnn.metrics.detection_errors import DetectionErrors, Fate, explain_detection
from minicnn.metrics.metric import Mean, Metric
from minicnn.metrics.segmentation import BoundaryF1, MeanIoU, Segmentation

__all__ = [
    "Accuracy",
    "BoundaryF1",
    "ConfusionMatrix",
    "Curve",
    "DetectionErrors",
    "Fate",
    "Mean",
    "MeanAveragePrecision",
    "MeanIoU",
    "Metric",
    "PerClass",
    "Segmentation",
    "TopK",
    "average_precision",
    "explain_detection",
]
