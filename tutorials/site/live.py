"""The live page: a network, its weights as a script, and pictures to try it on."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

from minicnn import nn
from minicnn.apps import gtsrb
from minicnn.apps._classification import judge
from minicnn.apps._settings import save_settings
from minicnn.apps.gtsrb import Settings
from minicnn.data.classes import CLASS_NAMES, NUM_CLASSES
from minicnn.data.image_cache import cache_folder
from minicnn.data.signs import draw_sign, make_signs
from minicnn.errors import ConfigError
from minicnn.interop import write_weights
from minicnn.models import SeedNet
from tutorials.site.links import Links

HERE = Path(__file__).resolve().parent
FORMAT = 1
"""Raise it when networks trained before should be trained anew."""

SAMPLES = (14, 2, 17, 12, 13, 40, 25, 38, 33, 1, 11, 22)
SAMPLE_SIZE = 48  # pixels


class Live(NamedTuple):
    """What the live page shows.

    Parameters
    ----------
    net : Module
        A trained SeedNet for images of 32 x 32 pixels.
    told : str
        A sentence or two on how it was trained, and how good it is.
    """

    net: nn.Module
    told: str


def trained() -> Live:
    """Train SeedNet on drawn signs, or take it from the cache.

    Returns
    -------
    Live
        The network; the same on every call.
    """
    settings = Settings()
    train, _ = gtsrb.split_signs(settings, gtsrb.load_signs(settings))
    key = json.dumps([FORMAT, dataclasses.asdict(settings), train.digest()], sort_keys=True)
    folder = cache_folder() / f"site-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    estimator = gtsrb.make_estimator(settings, train, folder, resume="auto")
    with estimator.locked():
        save_settings(folder, "gtsrb", settings)
        batches = gtsrb.training_input(settings, train)
        estimator.train(lambda: batches, max_steps=settings.steps(len(train)))
    return of_run(folder)


def of_run(model_dir: Path) -> Live:
    """Take the network of a run of ``python -m minicnn.train gtsrb``.

    Parameters
    ----------
    model_dir : Path
        Its folder.

    Returns
    -------
    Live
        The network, and how good it is on what the run held out.

    Raises
    ------
    ConfigError
        If the run has no checkpoint, or is not of SeedNet on images of 32 x 32 pixels.
    """
    run = gtsrb.load_run(model_dir)
    if not isinstance(run.net, SeedNet) or run.settings.size != 32:
        raise ConfigError(
            f"{model_dir}: the live page needs the model seed on 32 x 32 pixels, not "
            f"{run.settings.model} on {run.settings.size} x {run.settings.size}"
        )
    _, held_out = gtsrb.split_signs(run.settings, gtsrb.load_signs(run.settings))
    accuracy = 100 * judge(run.net, held_out).accuracy
    drawn = run.settings.data is None
    weights = sum(each.size for each in run.net.parameters())
    told = (
        f"The network has {weights:,} weights and was trained on "
        f"{'drawn signs' if drawn else 'photographs'}: of {len(held_out):,} that it had not seen, "
        f"it named {accuracy:.1f} % right. "
    )
    if drawn:
        told += "It has never seen a photograph: do not expect it to know one."
    return Live(run.net, told)


def write_live(pages: Path, live: Live, links: Links) -> None:
    """Write the page, its script of data, and the weights as a file.

    Parameters
    ----------
    pages : Path
        The folder of the pages that Sphinx reads; files go to `_own` in it.
    live : Live
        The network.
    links : Links
        The pages that show files.
    """
    own = pages / "_own"
    text = (HERE / "live.md").read_text("utf-8")
    form = re.sub(r"\n\s*\n", "\n", (HERE / "live.html").read_text("utf-8"))
    text = text.replace("NET", live.told).replace("FORM", form.strip())
    (pages / "live.md").write_text(links.rewrite(text, HERE / "live.md", "live.md"), "utf-8")
    weights = own / "seednet.safetensors"
    write_weights(weights, live.net.state_dict())
    (own / "seednet-data.js").write_text(data_script(weights, SAMPLES), "utf-8")
    (own / "signs.png").write_bytes(all_signs())


def data_script(weights: Path, samples: Sequence[int]) -> str:
    """Return what the page needs as JavaScript, for a page from the disk may not read files.

    Parameters
    ----------
    weights : Path
        The safetensors file.
    samples : sequence of int
        The classes of which there are sample pictures.

    Returns
    -------
    str
        The script.
    """
    data = {
        "classes": CLASS_NAMES,
        "samples": [{"name": CLASS_NAMES[k], "png": _base64(sample(k))} for k in samples],
        "tallFirst": int(PIL.__version__.split(".")[0]) >= 13,  # see resize in seednet.js
        "weights": _base64(weights.read_bytes()),
    }
    return f'"use strict";\nconst SEEDNET = {json.dumps(data)};\n'


def sample(label: int) -> bytes:
    """Draw a picture of a sign that no network was trained on, as PNG."""
    signs = make_signs(1, 10, SAMPLE_SIZE, part="test")
    rows = np.flatnonzero(signs.labels == label)
    return _png(Image.fromarray(signs.images[rows[-1]]))


def all_signs(edge: int = 72, columns: int = 11) -> bytes:
    """Draw all classes side by side, as PNG."""
    rows = -(-NUM_CLASSES // columns)
    sheet = Image.new("RGBA", (columns * edge, rows * edge))
    for label in range(NUM_CLASSES):
        sign = draw_sign(label).resize((edge - 10, edge - 10), Image.Resampling.LANCZOS)
        sheet.paste(sign, (label % columns * edge + 5, label // columns * edge + 5))
    return _png(sheet)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
