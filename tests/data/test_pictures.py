"""Pictures of unusual kinds."""

import numpy as np
from PIL import Image

from minicnn.apps._classification import read_image
from minicnn.data.pictures import to_rgb


def test_sixteen_bit_greys_keep_their_shades(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    with Image.open(tmp_path / "ramp.png") as image:
        seen = np.asarray(to_rgb(image))
    np.testing.assert_array_equal(seen, np.repeat((ramp >> 8)[..., None], 3, axis=2))


def test_a_turned_photograph_is_set_upright(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    upright = read_image(tmp_path / "turned.png", 8)
    assert upright[:, :4].max() == 0
    assert upright[:, 4:].min() == 255
