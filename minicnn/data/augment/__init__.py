"""Pictures changed at random, with all that is known of them: boxes, masks, proposals, labels.

A transform is called with a `Picture` and a `Stream` and returns another picture; `Compose` puts
transforms in a row. The same ones serve classification, detection and segmentation: what a picture
does not know stays None. Motions that follow one another are composed, so that the picture is
looked up, and blurred, once. `RandomView` takes batches of small pictures too.

    recipe = Compose([Colour(), Affine(rotation=0.2), Sometimes(Crop(), 0.5), Sometimes(Noise())])
    seen = recipe(Picture(image, boxes, classes), Stream(seed, "augment", epoch, index))
"""

from minicnn.data.augment.framing import Crop, Letterbox, Resize, Window
from minicnn.data.augment.geometry import Affine, Elastic, Flip, Perspective
from minicnn.data.augment.light import Blur, Colour, CutOut, Noise
from minicnn.data.augment.mixing import MixUp, Mosaic
from minicnn.data.augment.picture import IGNORED, NOTHING, Picture, Rules, batched, padded
from minicnn.data.augment.random_view import RandomView
from minicnn.data.augment.recipes import any_side_up, street_view
from minicnn.data.augment.view import Compose, Sometimes, Transform, View

__all__ = [
    "IGNORED",
    "NOTHING",
    "Affine",
    "Blur",
    "Colour",
    "Compose",
    "Crop",
    "CutOut",
    "Elastic",
    "Flip",
    "Letterbox",
    "MixUp",
    "Mosaic",
    "Noise",
    "Perspective",
    "Picture",
    "RandomView",
    "Resize",
    "Rules",
    "Sometimes",
    "Transform",
    "View",
    "Window",
    "any_side_up",
    "batched",
    "padded",
    "street_view",
]
