"""Object detection, from the sliding window to one-stage detectors, one file a rung."""

from minicnn.detection.anchor_shapes import kmeans_anchors
from minicnn.detection.crops import CropClassifier, warp_boxes
from minicnn.detection.dense import DenseDetector, DenseTargets, dense_targets
from minicnn.detection.detector import (
    IGNORED,
    NOTHING,
    Detections,
    Detector,
    Objects,
    best_boxes,
    objects_in,
    scaled,
)
from minicnn.detection.fast_rcnn import FastRCNN
from minicnn.detection.faster_rcnn import FasterRCNN
from minicnn.detection.fpn import FeaturePyramid
from minicnn.detection.rcnn import RCNN
from minicnn.detection.retina import RetinaNet
from minicnn.detection.selective_search import Hierarchy, SelectiveSearch, propose, recall
from minicnn.detection.sliding import SlidingWindow
from minicnn.detection.ssd import SSD
from minicnn.detection.yolo import YOLO
from minicnn.models.backbone import Backbone

__all__ = [
    "IGNORED",
    "NOTHING",
    "RCNN",
    "SSD",
    "YOLO",
    "Backbone",
    "CropClassifier",
    "DenseDetector",
    "DenseTargets",
    "Detections",
    "Detector",
    "FastRCNN",
    "FasterRCNN",
    "FeaturePyramid",
    "Hierarchy",
    "Objects",
    "RetinaNet",
    "SelectiveSearch",
    "SlidingWindow",
    "best_boxes",
    "dense_targets",
    "kmeans_anchors",
    "objects_in",
    "propose",
    "recall",
    "scaled",
    "warp_boxes",
]
