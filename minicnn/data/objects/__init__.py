"""Images with boxes: drawn scenes and the usual layouts of real sets, as detectors need them."""

from minicnn.data.objects.fitted_set import fit_all
from minicnn.data.objects.fitting import fit, unfit
from minicnn.data.objects.loading import LAYOUTS, layout_of, load_objects
from minicnn.data.objects.object_set import Annotation, Example, ObjectSet
from minicnn.data.objects.scenes import in_groups, load_scenes
from minicnn.data.objects.truths import padded_truths
from minicnn.data.splits import split_images, train_and_val

__all__ = [
    "LAYOUTS",
    "Annotation",
    "Example",
    "ObjectSet",
    "fit",
    "fit_all",
    "in_groups",
    "layout_of",
    "load_objects",
    "load_scenes",
    "padded_truths",
    "split_images",
    "train_and_val",
    "unfit",
]
