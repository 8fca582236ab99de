"""The network in the browser computes what Python computes: every layer, from any picture."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="playwright drives the browser: install minicnn[site]")

from minicnn import Tensor, no_grad, ops
from minicnn.data.augmentation import standardize
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.pictures import read_picture
from minicnn.data.signs import draw_sign
from minicnn.interop import read_weights, write_weights
from tests.site.browsing import browser, chromium, watched
from tests.site.nets import drawn_net
from tutorials.site.live import data_script

SITE = Path(__file__).resolve().parents[2] / "tutorials" / "site"
pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium is on the path")

SHOW = """async (file) => {
  const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
  const layers = await live.show(new Blob([bytes]));
  const text = (data) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  };
  return layers.map(({ name, shape, data }) => [name, shape, text(data)]);
}"""
RESIZE = """async ([file, width, height]) => {
  const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
  return Array.from(SeedNet.resize(
    await live.pixelsOf(new Blob([bytes])), width, height, SEEDNET.tallFirst).data);
}"""


@pytest.fixture(scope="module")
def net():
    return drawn_net()


@pytest.fixture(scope="module")
def page(net, tmp_path_factory):
    """Write the live page as it is on the site, without the site around it."""
    folder = tmp_path_factory.mktemp("page")
    script = (SITE / "static" / "seednet.js").read_text("utf-8")
    return write_page(folder, net, script)


def write_page(folder, net, script):
    write_weights(folder / "seednet.safetensors", net.state_dict())
    data = data_script(folder / "seednet.safetensors", samples=[])
    (folder / "seednet-data.js").write_text(data, "utf-8")
    (folder / "seednet.js").write_text(script, "utf-8")
    (folder / "live.js").write_bytes((SITE / "static" / "live.js").read_bytes())
    parts = ["<!doctype html><meta charset=utf-8><title>Live</title>"]
    parts += [(SITE / "live.html").read_text("utf-8"), "<div id=live-layers></div>"]
    names = ("seednet.js", "seednet-data.js", "live.js")
    parts += [f"<script src={name}></script>" for name in names]
    (folder / "live.html").write_text("".join(parts), "utf-8")
    return folder / "live.html"


@pytest.fixture(scope="module")
def program():
    with browser() as program:
        yield program


@pytest.fixture(scope="module")
def tab(program, page):
    troubles: list[str] = []
    with watched(program, troubles) as tab:
        tab.goto(page.as_uri())
        yield tab
    assert not troubles


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind, **({"lossless": True, "exact": True} if kind == "WebP" else {}))
    return base64.b64encode(file.getvalue()).decode()


def pictures():
    """Yield pictures of all kinds: larger and smaller, not square, transparent, grey, indexed."""
    rng = np.random.default_rng(3)

    def noise(*shape):
        return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))

    sign = draw_sign(14)
    yield "drawn, transparent", sign, "PNG"
    yield "not square", sign.convert("RGB").resize((97, 43)), "PNG"
    yield "colours below transparency", noise(61, 45, 4), "PNG"
    yield "transparent WebP", noise(24, 50, 4), "WebP"
    yield "one row", noise(1, 300, 3), "PNG"
    yield "right size", noise(32, 32, 3), "BMP"
    yield "high", noise(500, 33, 3), "PNG"
    yield "grey", noise(70, 70), "PNG"
    yield "indexed", sign.convert("RGB").quantize(7), "PNG"
    yield "all one colour", Image.new("RGB", (40, 50), (200, 10, 10)), "PNG"


PICTURES = {name: (image, kind) for name, image, kind in pictures()}


def in_python(net, path):
    """Return every layer's numbers, as the classifier of the command line computes them."""
    layers = {}
    x = Tensor(standardize(read_picture(path, 32)[None]))
    with no_grad():
        for number, block in enumerate((net.block1, net.block2, net.block3), 1):
            for i, layer in enumerate(block):
                x = layers[f"block{number}.{i}"] = layer(x)
            x = layers[f"pool{number}"] = getattr(net, f"pool{number}")(x)
        x = layers["hidden"] = net.hidden(x)
        x = layers["logits"] = net.logits(x)
        layers["probabilities"] = ops.softmax(x, axis=1)
    return {name: value.numpy()[0] for name, value in layers.items()}


def largest_differences(net, tab, image, kind, folder):
    """Return by layer how far the browser is from Python, in shares of the largest number."""
    file = encoded(image, kind)
    path = folder / f"picture.{kind.lower()}"
    path.write_bytes(base64.b64decode(file))
    expected = in_python(net, path)
    found = tab.evaluate(SHOW, file)
    assert [name for name, _, _ in found] == list(expected)
    differences = {}
    for name, shape, data in found:
        wanted = expected[name]
        assert tuple(shape) == wanted.shape, name
        got = np.frombuffer(base64.b64decode(data), np.float32).reshape(shape)
        differences[name] = np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1)
    return differences


def worst(differences):
    return np.max(list(differences.values()))  # NaN if one of them is


@pytest.mark.parametrize("name", PICTURES)
def test_every_layer_equals_pythons(name, net, tab, tmp_path):
    differences = largest_differences(net, tab, *PICTURES[name], tmp_path)
    assert worst(differences) < 1e-5, differences


@pytest.mark.parametrize("size", [(32, 32), (9, 70), (200, 3)])
def test_pictures_are_resized_to_the_same_bits(size, tab):
    for name, (image, kind) in PICTURES.items():
        rgb = image.convert("RGB")
        wanted = np.asarray(rgb.resize(size, Image.Resampling.BILINEAR)).ravel()
        found = np.array(tab.evaluate(RESIZE, [encoded(image, kind), *size]))
        np.testing.assert_array_equal(found, wanted, err_msg=name)


def test_a_jpeg_is_nearly_the_same_and_upright(net, tab, tmp_path):
    image = draw_sign(14).convert("RGB").resize((120, 90))
    exif = image.getexif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    image.save(path, exif=exif, quality=95)
    file = base64.b64encode(path.read_bytes()).decode()
    found = np.array(tab.evaluate(RESIZE, [file, 32, 32])).reshape(32, 32, 3)
    assert np.abs(found - read_picture(path, 32).astype(int)).max() <= 2


def test_what_is_no_picture_is_said(tab):
    assert tab.evaluate("live.show(new Blob(['no picture']))") is None
    assert "no picture" in tab.inner_text("#live-verdict")


def test_page_names_the_five_most_probable_and_draws_every_map(net, tab, tmp_path):
    path = tmp_path / "sign.png"
    draw_sign(17).convert("RGB").save(path)
    expected = in_python(net, path)
    tab.set_input_files("#live-file", path)
    tab.wait_for_function(f"live.layers.at(-1).data.some((p) => "
                          f"Math.abs(p - {expected['probabilities'].max()}) < 1e-5)")  # fmt: skip
    best = np.argsort(-expected["probabilities"], kind="stable")[:5]
    shares = [f"{100 * expected['probabilities'][k]:.1f} %" for k in best]
    assert tab.locator("#live-best .live-name").all_inner_texts() == [CLASS_NAMES[k] for k in best]
    assert tab.locator("#live-best .live-share").all_inner_texts() == shares
    assert tab.locator("#live-verdict").inner_text() == f"{CLASS_NAMES[best[0]]}, {shares[0]}"
    maps = sum(len(value) for value in expected.values() if value.ndim == 3)
    assert tab.locator("#live-layers canvas").count() == maps
    bars = sum(len(value) for value in expected.values() if value.ndim == 1)
    assert tab.locator("#live-layers rect").count() == bars


def test_drawing_changes_the_answer(tab):
    tab.click("text=red ring")
    before = tab.evaluate("Array.from(live.layers.at(-2).data)")
    tab.locator("#live-picture").scroll_into_view_if_needed()
    box = tab.locator("#live-picture").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2, steps=5)
    tab.mouse.up()
    tab.wait_for_function("(before) => live.layers.at(-2).data.some((x, i) => x !== before[i])",
                          arg=before)  # fmt: skip


def test_a_picture_that_comes_late_replaces_nothing(tab):
    late = tab.evaluate(
        """async () => {
            const surface = new OffscreenCanvas(40, 40);
            surface.getContext("2d").fillRect(10, 10, 20, 20);
            const file = await surface.convertToBlob();
            const read = live.show(file);
            document.querySelector("#live-shapes button").click();
            const drawn = live.layers;
            return [await read, live.layers === drawn];
        }"""
    )
    assert late == [None, True]


def test_weights_beside_the_script_are_those_in_it(page, net):
    for name, value in read_weights(page.with_name("seednet.safetensors")).items():
        np.testing.assert_array_equal(value, net.state_dict()[name])
    assert page.with_name("seednet-data.js").stat().st_size < 250_000


FLIPS = {
    "a kernel upside down": ("* rows + u) * columns + v]", "* rows + 2 - u) * columns + v]"),
    "rows and columns exchanged": ("* rows + u) * columns + v]", "* rows + v) * columns + u]"),
    "an epsilon too large": ("+ EPSILON)", "+ 0.001)"),
    "a softening forgotten": ("+ SOFTENING", ""),
    "weights of a triangle cut off": ("Math.trunc(0.5 + (w / sum)", "Math.trunc((w / sum)"),
    "an average over too few": ("y.data[c] = sum / size", "y.data[c] = sum / (size - 1)"),
    "not a number": ("y.data[o] = sum", "y.data[o] = sum / 0 - sum / 0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("flip", FLIPS)
def test_the_comparison_notices(flip, net, program, tmp_path):
    script = (SITE / "static" / "seednet.js").read_text("utf-8")
    right, wrong = FLIPS[flip]
    assert right in script
    page = write_page(tmp_path, net, script.replace(right, wrong))
    with watched(program, []) as tab:
        tab.goto(page.as_uri())
        noticed = [
            worst(largest_differences(net, tab, *PICTURES[name], tmp_path))
            for name in ("not square", "colours below transparency")
        ]
    assert not np.max(noticed) < 1e-5
