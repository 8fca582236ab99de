"""Street scenes drawn by a program, with boxes, classes and masks of what is in them."""

from minicnn.data.scenes.making import SceneSet, make_scenes
from minicnn.data.scenes.street import SCENE_CLASSES

__all__ = ["SCENE_CLASSES", "SceneSet", "make_scenes"]
