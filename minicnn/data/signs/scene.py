"""One physical sign as a camera sees it from a car that drives up to it.

What belongs to the sign and its place (wear, background, light, the camera's faults) is drawn
once per track; what changes from picture to picture (distance, angle, shake, noise) per frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data.signs.backdrops import BACKDROP_EDGE, backdrop, smooth_noise
from minicnn.data.signs.catalogue import CATALOGUE
from minicnn.data.signs.drawing import draw_sign

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Scene", "clean_board", "picture", "projection", "scene", "seen", "worn"]

FRAMES_PER_APPROACH = 10
_BOARD_EDGE = 128  # pixels; signs are seen at 100 pixels at most
_FADED = np.array([[0.86, 0.10, 0.04], [0.26, 0.70, 0.04], [0.12, 0.08, 0.80]], np.float32)
"""How old paint mixes its colours: red turns to orange, blue and black turn pale."""


@dataclass(frozen=True)
class Scene:
    """What stays the same while the car drives up to a sign."""

    stream: Stream
    board: Image.Image  # 128 x 128 pixels, RGBa: colours already times their cover
    outline: np.ndarray  # (points, 2): the sign's edge, -1 to 1
    surroundings: np.ndarray  # (128, 128, 3) float32
    sizes: tuple[float, float]  # pixels across, first and last picture
    roll: float  # degrees, like the next two
    yaws: tuple[float, float]
    pitch: float
    light: float  # on the sign; 1 is what the palette shows
    light_drift: float
    contrast: float
    cast: np.ndarray  # (3,): the light's colour
    slope: tuple[float, float]  # how the light changes across and down the sign
    haze: float
    blur: float  # pixels
    shake: float  # pixels
    fringe: float  # pixels between red and blue
    grain: float  # standard deviation of the noise


def scene(seed: int, part: str, label: int, track: int) -> Scene:
    """Set up the place where one sign stands.

    Parameters
    ----------
    seed : int
        The seed of the whole set.
    part : str
        ``"train"`` or ``"test"``: the same numbers name other signs.
    label, track : int
        The class, and which of its signs.

    Returns
    -------
    Scene
        The place; the same for the same arguments, always.
    """
    s = Stream(seed, "signs", part, label, track)
    edition = s.integers(0, len(CATALOGUE[label]))
    shapes = CATALOGUE[label][edition]
    light = math.exp(_bell(s, 0.5, -0.4))
    warmth, tint = _bell(s, 0.07), _bell(s, 0.03)
    near = math.exp(_even(s, math.log(26), math.log(100)))
    side = 1 if s.bernoulli(0.75) else -1  # most signs stand on the right of the road
    yaw = _even(s, 0, 14) * side
    return Scene(
        stream=s.child("frame"),
        board=worn(clean_board(label, edition), s.child("wear")),
        outline=np.array(shapes[0].points),
        surroundings=backdrop(s.child("backdrop")),
        sizes=(_even(s, 16, min(26, near)), near),
        roll=_bell(s, 4.0),
        yaws=(yaw, yaw + _even(s, 4, 26) * side),
        pitch=_bell(s, 6, -4),
        light=min(max(light, 0.16), 1.7),
        light_drift=_bell(s, 0.22),
        contrast=math.exp(_bell(s, 0.5, -0.1)),
        cast=np.array([1 + warmth, 1 + tint, 1 - warmth], np.float32),
        slope=(_bell(s, 0.12), _bell(s, 0.12)),
        haze=max(0.0, _bell(s, 0.07, -0.02)),
        blur=abs(_bell(s, 0.4)),
        shake=abs(_bell(s, 0.9)),
        fringe=_even(s, -0.5, 0.5),
        grain=_even(s, 0.008, 0.03),
    )


def picture(place: Scene, frame: int, size: int) -> np.ndarray:
    """Take one picture and cut out the sign, as the benchmark's boxes do.

    Parameters
    ----------
    place : Scene
        Where the sign stands.
    frame : int
        Which picture. Ten make an approach; later ones fall between them.
    size : int
        Width and height of the result, in pixels.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        RGB; the same for the same arguments, whatever other frames are asked for.
    """
    from PIL import Image

    s = place.stream.child(frame)
    near = _progress(frame)
    width, height, to_plane, pixels = _viewpoint(place, near, s)
    sign, cover = seen(place.board, to_plane, pixels, width, height)
    light = place.light * math.exp(place.light_drift * (near - 0.5) + _bell(s, 0.06))
    across = np.linspace(-place.slope[0], place.slope[0], width, dtype=np.float32)
    down = np.linspace(-place.slope[1], place.slope[1], height, dtype=np.float32)
    lit = sign * (light * (1 + across[None, :, None] + down[:, None, None]))
    behind = _behind(place, near, width, height) * (light * place.contrast)
    image = (behind * (1 - cover) + lit) * place.cast
    image = image * (1 - place.haze) + 0.85 * place.haze
    image = _camera(image, place, s)
    pixels8 = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    scaled = Image.fromarray(pixels8).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(scaled)


def _even(s: Stream, low: float, high: float) -> float:
    """Draw a plain number: NumPy's own would turn float32 images into float64."""
    return float(s.uniform(low=low, high=high))


def _bell(s: Stream, std: float, mean: float = 0.0) -> float:
    return float(s.normal(mean=mean, std=std))


def _progress(frame: int) -> float:
    """How far the car has come, from 0 to 1; rounds after the first fall between its steps."""
    step, turn = frame % FRAMES_PER_APPROACH, frame // FRAMES_PER_APPROACH
    shift, half = 0.0, 0.5
    while turn:  # 0, 1/2, 1/4, 3/4, 1/8, ...: van der Corput's sequence
        shift += half * (turn % 2)
        turn //= 2
        half /= 2
    return (step + shift) / FRAMES_PER_APPROACH


def clean_board(label: int, edition: int) -> np.ndarray:
    """Return a sign as it left the factory.

    Parameters
    ----------
    label, edition : int
        The class, and which of its looks.

    Returns
    -------
    ndarray of float32, shape (128, 128, 4)
        RGB and cover, from 0 to 1.
    """
    image = draw_sign(label, edition)
    return np.asarray(image.reduce(image.width // _BOARD_EDGE), np.float32) / 255


def worn(board: np.ndarray, s: Stream) -> Image.Image:
    """Fade the colours, add dirt, a shadow now and then, and what people stick on signs.

    Parameters
    ----------
    board : ndarray of float32, shape (128, 128, 4)
        The clean sign.
    s : Stream
        Where the numbers come from.

    Returns
    -------
    PIL.Image.Image
        Mode RGBa, 128 x 128 pixels: colours already times their cover.
    """
    from PIL import Image

    colour, cover = board[:, :, :3], board[:, :, 3:]
    fading = min(abs(_bell(s, 0.16)), 0.5)
    colour = colour @ ((1 - fading) * np.eye(3, dtype=np.float32) + fading * _FADED).T
    colour = colour * (1 - 0.4 * fading) + 0.4 * fading * 0.8
    dirt = smooth_noise(s, _BOARD_EDGE, (4, 14))
    colour = colour * (1 - _even(s, 0, 0.35) * dirt[:, :, None])
    if s.bernoulli(0.16):  # leaves between the sun and the sign
        leaves = smooth_noise(s, _BOARD_EDGE, (4, 9)) - _even(s, 0.35, 0.6)
        leaves = np.clip(8 * leaves, 0, 1)
        colour = colour * (1 - _even(s, 0.25, 0.6) * leaves[:, :, None])
    if s.bernoulli(0.12):
        colour = _stickered(colour, s)
    layers = np.concatenate([colour * cover, cover], axis=2)
    pixels = (np.clip(layers, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.frombytes("RGBa", (_BOARD_EDGE, _BOARD_EDGE), pixels.tobytes())


def _stickered(colour: np.ndarray, s: Stream) -> np.ndarray:
    """Put a small label somewhere, white more often than not."""
    x, y = (_even(s, 0.2, 0.8) * _BOARD_EDGE for _ in range(2))
    wide, high = (_even(s, 0.03, 0.07) * _BOARD_EDGE for _ in range(2))
    v, u = np.mgrid[:_BOARD_EDGE, :_BOARD_EDGE]
    turn = _even(s, 0, math.pi)
    a = (u - x) * math.cos(turn) + (v - y) * math.sin(turn)
    b = (v - y) * math.cos(turn) - (u - x) * math.sin(turn)
    on = (abs(a) < wide) & (abs(b) < high)
    paint = 1 - _even(s, 0.1, 0.9) * s.uniform(3, 0, 0.8, np.float32)
    return np.where(on[:, :, None], paint, colour)


def _viewpoint(place: Scene, near: float, s: Stream) -> tuple[int, int, np.ndarray, float]:
    """Find where the sign falls.

    Returns the cut-out's width and height in pixels, the way back from its pixels to the
    sign's plane (3, 3), and how many pixels the sign is across.
    """
    far, close = place.sizes
    pixels = 1 / ((1 - near) / far + near / close)  # constant speed: 1/size shrinks evenly
    yaw = place.yaws[0] + (place.yaws[1] - place.yaws[0]) * near**2 + _bell(s, 1.0)
    forward = projection(place.roll + _bell(s, 1.2), yaw, place.pitch + _bell(s, 1.0))
    edge = np.column_stack([place.outline, np.ones(len(place.outline))]) @ forward.T
    edge = edge[:, :2] / edge[:, 2:] * (pixels / 2)
    left, top = edge.min(0) - s.normal(2, mean=1.0 + 0.02 * pixels, std=0.6)
    right, bottom = edge.max(0) + s.normal(2, mean=1.0 + 0.02 * pixels, std=0.6)
    width, height = max(6, round(right - left)), max(6, round(bottom - top))
    to_pixels = np.array([[pixels / 2, 0, -left], [0, pixels / 2, -top], [0, 0, 1]])
    return width, height, np.linalg.inv(to_pixels @ forward), pixels


def projection(roll: float, yaw: float, pitch: float) -> np.ndarray:
    """Look at the turned sign from six half-widths away.

    Parameters
    ----------
    roll, yaw, pitch : float
        In degrees.

    Returns
    -------
    ndarray, shape (3, 3)
        From the sign's plane to the image, in homogeneous coordinates.
    """
    r, w, p = (math.radians(a) for a in (roll, yaw, pitch))
    turn_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    turn_y = np.array([[math.cos(w), 0, math.sin(w)], [0, 1, 0], [-math.sin(w), 0, math.cos(w)]])
    turn_x = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    turned = (turn_x @ turn_y @ turn_z)[:, :2]
    return np.column_stack([turned, (0, 0, 0)]) / [[1], [1], [6]] + [[0] * 3, [0] * 3, [0, 0, 1]]


def seen(
    board: Image.Image, to_plane: np.ndarray, pixels: float, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Warp the board into the picture.

    Parameters
    ----------
    board : PIL.Image.Image
        Mode RGBa.
    to_plane : ndarray, shape (3, 3)
        From the picture's pixels to the sign's plane.
    pixels : float
        How many the sign is across.
    width, height : int
        Of the picture.

    Returns
    -------
    light : ndarray of float32, shape (height, width, 3)
        Its colours, already times its cover.
    cover : ndarray of float32, shape (height, width, 1)
        How much of what is behind it hides.
    """
    from PIL import Image

    edge = max(8, round(1.25 * pixels))  # about the size it is seen at: nothing flickers
    image = board.resize((edge, edge), Image.Resampling.BOX)
    to_source = np.array([[edge / 2, 0, edge / 2], [0, edge / 2, edge / 2], [0, 0, 1]]) @ to_plane
    coefficients = (to_source / to_source[2, 2]).ravel()[:8]
    seen = image.transform(
        (width, height),
        Image.Transform.PERSPECTIVE,
        tuple(coefficients),
        Image.Resampling.BILINEAR,
    )
    layers = np.asarray(seen, np.float32) / 255
    return layers[:, :, :3], layers[:, :, 3:]


def _behind(place: Scene, near: float, width: int, height: int) -> np.ndarray:
    """Cut out the surroundings, which grow more slowly than the sign, and set up its post."""
    from PIL import Image

    half = 0.5 * BACKDROP_EDGE * (0.9 - 0.5 * near) / 2
    middle = BACKDROP_EDGE * (0.5 + 0.15 * near)
    box = (middle - half, middle - half, middle + half, middle + half)
    bands = [
        Image.fromarray(np.ascontiguousarray(place.surroundings[:, :, c])).resize(
            (width, height), Image.Resampling.BILINEAR, box=box
        )
        for c in range(3)
    ]
    behind = np.stack([np.asarray(b) for b in bands], axis=2)
    post = max(1, round(0.05 * width))
    behind[height // 2 :, width // 2 - post : width // 2 + post] = 0.42
    return behind


def _camera(image: np.ndarray, place: Scene, s: Stream) -> np.ndarray:
    """Fringe, shake, blur and grain, at the size the camera saw."""
    shift = abs(place.fringe)
    for channel, way in ((0, 1), (2, -1)):
        moved = np.roll(image[:, :, channel], way if place.fringe > 0 else -way, axis=1)
        image[:, :, channel] = (1 - shift) * image[:, :, channel] + shift * moved
    length, angle = min(abs(_bell(s, place.shake)), 5.0), _even(s, 0, math.pi)
    steps = np.linspace(-length / 2, length / 2, 5)
    image = _averaged(image, [(t * math.sin(angle), t * math.cos(angle), 0.2) for t in steps])
    sigma = place.blur * _even(s, 0.6, 1.4) + 0.05
    weights = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
    weights /= weights.sum()
    image = _averaged(image, [(0, i - 3, w) for i, w in enumerate(weights)])
    image = _averaged(image, [(i - 3, 0, w) for i, w in enumerate(weights)])
    return image + place.grain * s.normal(image.shape, dtype=np.float32)


def _averaged(image: np.ndarray, taps: list[tuple[float, float, float]]) -> np.ndarray:
    """Add up shifted copies of an image; a tap is (down, across, weight)."""
    edge = max(1, *(round(max(abs(dy), abs(dx))) for dy, dx, _ in taps))
    height, width, _ = image.shape
    padded = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), "edge")
    total = np.zeros_like(image)
    for dy, dx, weight in taps:
        if weight > 1e-4:
            y, x = edge + round(dy), edge + round(dx)
            total += np.float32(weight) * padded[y : y + height, x : x + width]
    return total
