"""The images that a detector is trained and judged on, fitted to one size."""

from __future__ import annotations

from minicnn.apps._detect_settings import Settings
from minicnn.apps._images import Parts, make_parts
from minicnn.data.objects import (
    ObjectSet,
    fit_all,
    in_groups,
    load_objects,
    load_scenes,
)
from minicnn.errors import ConfigError, DataError

__all__ = ["load_parts", "load_test"]

TEST_SCENES = 300


def load_parts(settings: Settings) -> Parts[ObjectSet]:
    """Read or draw the images to learn from and those to be judged on while nothing else is known.

    Parameters
    ----------
    settings : Settings
        Where they are, the size, and which classes there are to be.

    Returns
    -------
    Parts
        All images fitted to the size. What the data call their training and validation part, or
        a fifth held out at random.

    Raises
    ------
    DataError
        If something is missing or broken.
    ConfigError
        If there are no images in one of the parts.
    """

    def draw(count: int) -> ObjectSet:
        return load_scenes(count, settings.size, seed=settings.seed, groups=False)

    return make_parts(
        settings, draw, lambda: _read(settings), lambda objects: fitted(objects, settings)
    )


def _read(settings: Settings) -> dict[str, ObjectSet]:
    """Return the parts of real data, in the order in which one is taken if none is named."""
    assert settings.data is not None
    names = settings.names if settings.labels == "all" and settings.names else None
    parts = load_objects(settings.data, settings.format, names, settings.skip_bad)
    order = ("train", "trainval", "all", "val", "test")
    return {name: parts[name] for name in order if name in parts}


def load_test(
    settings: Settings, part: str | None = None, own: bool = True
) -> tuple[ObjectSet, str]:
    """Read or draw the images of a part to be judged on.

    Parameters
    ----------
    settings : Settings
        Where they are, the size, the classes, which must be those that the data have.
    part : {"train", "validation", "test", "all"}, optional
        Which. By default what was held out, where the detector has learned from these data; of
        others the test part, or what comes closest.
    own : bool, default True
        Whether the detector has learned from these data.

    Returns
    -------
    objects : ObjectSet
        Fitted to the size.
    part : str
        What they are.

    Raises
    ------
    DataError
        If something is missing or broken.
    """
    if settings.data is None and part == "test":
        drawn = load_scenes(TEST_SCENES, settings.size, part, settings.seed, groups=False)
        return fitted(drawn, settings), part
    if settings.data is None or part in ("train", "validation") or (part is None and own):
        if part == "all":
            raise ConfigError("--part all: of drawn streets there is no end; say test, or another")
        parts = load_parts(settings)
        return (parts.train if part == "train" else parts.held_out), part or "validation"
    given = _read(settings)
    if part is None:
        part = next(name for name in ("test", "val", "all", "trainval", "train") if name in given)
    if part not in given:
        raise DataError(f"{settings.data} has no {part} part; it has {', '.join(given)}")
    return fitted(given[part], settings), "validation" if part == "val" else part


def fitted(objects: ObjectSet, settings: Settings) -> ObjectSet:
    """Return the images brought to the size, their objects in the classes of the settings."""
    if settings.data is not None:
        objects = fit_all(objects, settings.size, skip_bad=settings.skip_bad)
    if settings.labels == "groups":
        objects = in_groups(objects)
    elif settings.labels == "one":
        kind = ("sign" if settings.signs else "object",)
        objects = objects.regrouped([0] * len(objects.names), settings.names or kind)
    return objects
