"""The 43 classes of the German Traffic Sign Recognition Benchmark, in the order of their labels."""

from minicnn.errors import ConfigError

__all__ = ["CLASS_NAMES", "GROUP_NAMES", "NUM_CLASSES", "SIGN_GROUPS", "group_of"]

CLASS_NAMES: tuple[str, ...] = (
    "Speed limit (20 km/h)",
    "Speed limit (30 km/h)",
    "Speed limit (50 km/h)",
    "Speed limit (60 km/h)",
    "Speed limit (70 km/h)",
    "Speed limit (80 km/h)",
    "End of speed limit (80 km/h)",
    "Speed limit (100 km/h)",
    "Speed limit (120 km/h)",
    "No passing",
    "No passing for vehicles over 3.5 t",
    "Right of way at the next intersection",
    "Priority road",
    "Yield",
    "Stop",
    "No vehicles",
    "Vehicles over 3.5 t prohibited",
    "No entry",
    "General caution",
    "Dangerous curve to the left",
    "Dangerous curve to the right",
    "Double curve",
    "Bumpy road",
    "Slippery road",
    "Road narrows on the right",
    "Road work",
    "Traffic signals",
    "Pedestrians",
    "Children crossing",
    "Bicycles crossing",
    "Beware of ice and snow",
    "Wild animals crossing",
    "End of all speed and passing limits",
    "Turn right ahead",
    "Turn left ahead",
    "Ahead only",
    "Go straight or right",
    "Go straight or left",
    "Keep right",
    "Keep left",
    "Roundabout mandatory",
    "End of no passing",
    "End of no passing by vehicles over 3.5 t",
)

NUM_CLASSES = len(CLASS_NAMES)

SIGN_GROUPS: dict[str, tuple[int, ...]] = {
    "prohibitory": (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16),
    "danger": (11, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31),
    "mandatory": (33, 34, 35, 36, 37, 38, 39, 40),
    "other": (6, 12, 13, 14, 17, 32, 41, 42),
}
"""The classes of each group: the three that signs are commonly found by, and the rest.

They are those of the German Traffic Sign Detection Benchmark: round with a red rim, triangular with
a red rim and the point up, round and blue; the rest are of many shapes.
"""

GROUP_NAMES = tuple(SIGN_GROUPS)
_GROUPS = {label: i for i, labels in enumerate(SIGN_GROUPS.values()) for label in labels}


def group_of(label: int) -> int:
    """Return the group that a class belongs to.

    Parameters
    ----------
    label : int
        A class, an index into `CLASS_NAMES`.

    Returns
    -------
    int
        An index into `GROUP_NAMES`.

    Raises
    ------
    ConfigError
        If there is no such class.

    Examples
    --------
    >>> GROUP_NAMES[group_of(14)]
    'other'
    """
    if label not in _GROUPS:
        raise ConfigError(f"group_of: class {label}; give one of 0 to {NUM_CLASSES - 1}")
    return _GROUPS[label]
