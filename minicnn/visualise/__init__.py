"""Pictures of nets, of what happens inside of them, of how a run went and of what went wrong.

Each function named for a picture returns a matplotlib Figure, which a notebook shows and
``savefig`` writes. Its numbers come from a function beside it: `saliency` draws what
`compute_saliency` returns. Nets are run in evaluation mode and stay as they are.
"""

from minicnn.visualise.augmenting import augmentations, compute_augmentations
from minicnn.visualise.background import (
    BackgroundShare,
    background_share,
    compute_background_curve,
    compute_background_share,
)
from minicnn.visualise.canvas import COLORS, new_figure
from minicnn.visualise.class_maps import compute_grad_cam, grad_cam
from minicnn.visualise.covering import Occlusion, compute_occlusion, occlusion
from minicnn.visualise.detecting import detections
from minicnn.visualise.detection_scores import (
    compute_precision_recall,
    detection_errors,
    precision_recall,
)
from minicnn.visualise.dreaming import (
    Maximised,
    compute_feature_maximisation,
    feature_maximisation,
)
from minicnn.visualise.figures import confusion_matrix, learning_curves, mistakes, worst_mistakes
from minicnn.visualise.gradients import (
    compute_guided_backprop,
    compute_saliency,
    guided_backprop,
    saliency,
)
from minicnn.visualise.graph_drawing import Drawing, draw_graph
from minicnn.visualise.histograms import (
    Histogram,
    compute_gradient_histograms,
    compute_weight_histograms,
    gradient_histograms,
    weight_histograms,
)
from minicnn.visualise.maps import activations, compute_activations
from minicnn.visualise.patches import Patch, compute_maximal_patches, maximal_patches
from minicnn.visualise.projection import Projection, compute_embedding, embedding, pca
from minicnn.visualise.proposals import proposal_recall, region_hierarchy
from minicnn.visualise.seeing import compute_receptive_field, receptive_field
from minicnn.visualise.segmenting import (
    compute_segmentation_overlay,
    segmentation_colors,
    segmentation_overlay,
)
from minicnn.visualise.weights import compute_filters, filters

__all__ = [
    "COLORS",
    "BackgroundShare",
    "Drawing",
    "Histogram",
    "Maximised",
    "Occlusion",
    "Patch",
    "Projection",
    "activations",
    "augmentations",
    "background_share",
    "compute_activations",
    "compute_augmentations",
    "compute_background_curve",
    "compute_background_share",
    "compute_embedding",
    "compute_feature_maximisation",
    "compute_filters",
    "compute_grad_cam",
    "compute_gradient_histograms",
    "compute_guided_backprop",
    "compute_maximal_patches",
    "compute_occlusion",
    "compute_precision_recall",
    "compute_receptive_field",
    "compute_saliency",
    "compute_segmentation_overlay",
    "compute_weight_histograms",
    "confusion_matrix",
    "detection_errors",
    "detections",
    "draw_graph",
    "embedding",
    "feature_maximisation",
    "filters",
    "grad_cam",
    "gradient_histograms",
    "guided_backprop",
    "learning_curves",
    "maximal_patches",
    "mistakes",
    "new_figure",
    "occlusion",
    "pca",
    "precision_recall",
    "proposal_recall",
    "receptive_field",
    "region_hierarchy",
    "saliency",
    "segmentation_colors",
    "segmentation_overlay",
    "weight_histograms",
    "worst_mistakes",
]
