"""What detection and segmentation do alike with images."""

import numpy as np

from minicnn.apps._images import changed
from minicnn.backend.random import Stream
from minicnn.data.augment import Compose, Flip, Picture


def test_how_a_picture_is_changed_depends_on_its_place_in_the_batch_alone():
    images = np.arange(32 * 12, dtype=np.uint8).reshape(32, 2, 2, 3)
    pictures, change = [Picture(image) for image in images], Compose([Flip()])
    found = changed(pictures, change, Stream(3))
    for place, picture in enumerate(found):
        alone = change(pictures[place], Stream(3).child(place))
        np.testing.assert_array_equal(picture.image, alone.image)
    mirrored = sum(bool((p.image != image).any()) for p, image in zip(found, images, strict=True))
    assert 4 < mirrored < 28
    assert changed(pictures, None, Stream(3)) == pictures
