"""Segmentation from the outside: what a person types, and what comes back."""

import dataclasses
import io
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from command_line import result, start, wait_for_step
from PIL import Image

from minicnn import Tensor, nn, no_grad
from minicnn.apps import segment as app
from minicnn.apps._segmentation import judge, scorer_of, segment_picture
from minicnn.apps.segment import SEGMENTERS
from minicnn.data.masks import CAMVID_CLASSES, MaskSet
from minicnn.data.pictures import decode_labels, read_photograph
from minicnn.data.scenes import SCENE_CLASSES, make_scenes
from minicnn.detection import scaled
from minicnn.estimator import ValidationHook
from minicnn.metrics import Segmentation

KEYS = {
    "mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "boundary_f1",
    "per_class", "model", "tta", "examples", "steps", "seconds", "images_per_s", "data", "part",
    "skipped", "model_dir", "checkpoint_sha256",
}  # fmt: skip
TINY = ["--size", "32", "48", "--channels", "4", "--batch-size", "4"]
QUICK = [*TINY, "--scenes", "10", "--epochs", "3", "--loss", "cross_entropy+focal", "--augment"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on drawn streets that is done: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    process = start("--model-dir", folder, "--json", *QUICK, app="segment")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return folder, out


def saved(array, name):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    name.parent.mkdir(parents=True, exist_ok=True)
    name.write_bytes(file.getvalue())


@pytest.fixture(scope="module")
def camvid(tmp_path_factory):
    """Drawn streets in CamVid's layout, a corner of each void, one mask of another size."""
    folder = tmp_path_factory.mktemp("camvid")
    scenes = make_scenes(7, (32, 48), seed=3)
    for i, scene in enumerate(scenes.scenes):
        part = "train" if i < 5 else "val"
        mask = scene.mask.copy()
        mask[:8, :8] = 11
        saved(scene.image, folder / part / f"{i}.png")
        saved(mask if i else mask[1:], folder / f"{part}annot" / f"{i}.png")
    return folder


def test_training_shows_what_it_learned(trained):
    folder, out = trained
    found = result(out)
    assert set(found) == KEYS
    assert (found["model"], found["part"], found["steps"]) == ("unet", "validation", 8)
    assert tuple(found["per_class"]) == SCENE_CLASSES
    assert 0 < found["mean_iou"] < found["pixel_accuracy"] <= 1
    assert "These streets are DRAWN" in out
    assert "boundary F1" in out
    for picture in ("curves.png", "confusion.png", "found-1.png"):
        with Image.open(folder / picture) as image:
            assert image.width > 300
    assert len((folder / "training.csv").read_text().splitlines()) == 9


def test_evaluation_repeats_what_training_found(trained, segment):
    folder, out = trained
    status, again, _ = segment("evaluate", "--model-dir", folder, "--json")
    assert status == 0
    for key in KEYS - {"seconds", "images_per_s"}:
        assert result(again)[key] == result(out)[key]


def test_other_streets_and_other_views(trained, segment, monkeypatch):
    monkeypatch.setattr("minicnn.apps._segment_data.TEST_SCENES", 3)
    words = ["evaluate", "--model-dir", trained[0], "--part", "test", "--json"]
    found = []
    for more in ([], ["--tta"]):
        status, out, err = segment(*words, *more)
        assert status == 0, err
        found.append(result(out))
        assert (found[-1]["examples"], found[-1]["part"]) == (3, "test")
        assert found[-1]["tta"] is bool(more)
    assert found[0]["pixel_accuracy"] != found[1]["pixel_accuracy"]
    status, out, _ = segment("--tta", "--json", "--model-dir", trained[0], "evaluate")
    assert (status, result(out)["tta"]) == (0, True)


def test_prediction_draws_and_writes_the_class_of_each_pixel(trained, tmp_path, segment):
    folder, _ = trained
    (scene,) = make_scenes(1, (80, 90), seed=5).scenes
    for name in ("a.png", "b/a.png"):
        saved(scene.image, tmp_path / name)
    for tiles in ([], ["--tiles"]):
        out_folder = tmp_path / f"seen{len(tiles)}"
        status, out, err = segment(
            "predict", "--model-dir", folder, "--json", *tiles, "--out", out_folder,
            tmp_path / "a.png", tmp_path / "b/a.png",
        )  # fmt: skip
        assert status == 0, err
        run = app.load_run(folder)
        picture = read_photograph(tmp_path / "a.png")
        view = SEGMENTERS[run.settings.model].view
        size = run.settings.size
        wanted = segment_picture(scorer_of(run.net), picture, size, bool(tiles), view)
        first, second = result(out)["predictions"]
        assert wanted.shape == (first["height"], first["width"]) == (80, 90)
        for row, name in ((first, "a.png"), (second, "a-2.png")):
            assert row["picture"] == str(out_folder / name)
            mask = decode_labels((out_folder / f"{name[:-4]}_mask.png").read_bytes())
            np.testing.assert_array_equal(mask, wanted)
            shares = {n: share for i, n in enumerate(SCENE_CLASSES)
                      if (share := (wanted == i).mean())}  # fmt: skip
            assert row["shares"] == pytest.approx(shares, abs=1e-6)
            with Image.open(row["picture"]) as drawn:
                assert drawn.width > 800
        written = json.loads((out_folder / "predictions.json").read_text())
        assert written == {"classes": list(SCENE_CLASSES), "predictions": [first, second]}


def test_predictions_are_written_over_nothing_that_was_given(trained, tmp_path, segment):
    """Neither over pictures, nor over masks that a person has drawn, nor over one another."""
    (scene,) = make_scenes(1, (40, 50), seed=5).scenes
    for name in ("a.png", "a_mask.png"):
        saved(scene.image, tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    words = ["predict", "--model-dir", trained[0], tmp_path / "a.png", tmp_path / "a_mask.png"]
    status, _, err = segment(*words, "--out", tmp_path)
    assert (status, "would be written over it; give another --out" in err) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    status, out, err = segment(*words, "--out", tmp_path / "seen", "--json")
    assert status == 0, err
    written = [row[kind] for row in result(out)["predictions"] for kind in ("picture", "mask")]
    assert len(set(written)) == 4
    assert decode_labels(Path(written[1]).read_bytes()).shape == (40, 50)


@pytest.mark.parametrize("model", [name for name, s in SEGMENTERS.items() if s.view])
def test_no_pixel_beyond_the_view_decides(model):
    """What a tile's margin must hide, and an overlap must leave room for."""
    recipe = SEGMENTERS[model]
    with nn.seed(0):
        net = recipe.build(3, 4).astype(np.float64)
    length, furthest = 512, 0
    x = Tensor(np.random.default_rng(0).standard_normal((1, 3, length, 16)), requires_grad=True)
    net(x)  # averages for batch norm
    net.eval()
    for row in range(249, 265):  # all places on the coarsest map
        x.grad = None
        net(x)[0, :, row].sum().backward()
        seen = np.flatnonzero(np.abs(x.grad.numpy()).sum(axis=(0, 1, 3)))
        furthest = max(furthest, row - seen[0], seen[-1] - row)
    assert recipe.view - 12 <= furthest <= recipe.view


def test_tiles_find_what_one_look_at_the_whole_picture_finds():
    with nn.seed(0):
        net = SEGMENTERS["unet"].build(5, 4)
    picture = make_scenes(1, (560, 900), seed=5).scenes[0].image
    net(Tensor(scaled(picture[None, :64, :64])))  # averages for batch norm
    scorer = scorer_of(net)
    view = SEGMENTERS["unet"].view
    found = segment_picture(scorer, picture, (32, 48), tiles=True, view=view)
    whole = scorer(picture[None])[0]
    best = np.sort(whole, axis=0)
    clear = best[-1] - best[-2] > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], whole.argmax(axis=0)[clear])


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("shape", [(80, 40), (40, 80), (16, 200), (20, 30)])
def test_what_is_found_lies_where_the_picture_shows_it(shape, tiles):
    """Whatever its size and proportions, by a scorer that looks at single pixels."""
    picture = np.zeros((*shape, 3), np.uint8)
    picture[shape[0] // 4 :, shape[1] // 2 :] = 255

    def scorer(images):
        light = np.moveaxis(images[..., :1].astype(np.float32) / 255, -1, 1)
        return np.concatenate([1 - light, light], axis=1)

    found = segment_picture(scorer, picture, (32, 48), tiles)
    wrong = found != picture[..., 0] / 255
    edge = 0 if tiles else max(shape[0] / 32, shape[1] / 48, 1)  # a pixel of what the net sees
    rows, columns = np.indices(shape)
    near = np.abs(rows + 0.5 - shape[0] // 4) <= edge, np.abs(columns + 0.5 - shape[1] // 2) <= edge
    assert not (wrong & ~near[0] & ~near[1]).any()
    assert found.shape == shape


def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(trained, tmp_path, segment):
    """Also if the two have other numbers of threads."""
    process = start(
        "--model-dir", tmp_path, "--save-every", 2, "--workers", 0, *QUICK, MINICNN_THREADS="1",
        app="segment",
    )  # fmt: skip
    wait_for_step(tmp_path, 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "minicnn.train segment --resume" in err
    status, resumed, err = segment("--resume", "--model-dir", tmp_path, "--json")
    assert status == 0, err
    assert result(resumed)["checkpoint_sha256"] == result(trained[1])["checkpoint_sha256"]
    csv = [(folder / "training.csv").read_text() for folder in (trained[0], tmp_path)]
    assert csv[0] == csv[1]


def painted(settings, train, workers=2):
    """The first batch of pictures that show nothing but their masks: greys, and masks."""
    images = np.repeat((train.masks * 30)[..., None], 3, axis=3)
    own = MaskSet.of(images, train.masks, train.names, settings.ignore_label)
    with iter(app.training_input(settings, own, workers)) as batches:
        x, masks = next(batches)
    return np.moveaxis(x, 1, -1)[..., 0] * 64 + 127.5, masks


def test_masks_move_as_their_images_do():
    settings = app.Settings(size=(32, 48), scenes=6, batch_size=6, names=SCENE_CLASSES)
    train = app.load_parts(settings).train
    greys, masks = painted(settings, train)
    np.testing.assert_allclose(greys, masks * 30, atol=1e-3)
    pairs = {m.tobytes() for m in train.masks.astype(np.int64)}
    mirrored = sum(m.tobytes() not in pairs for m in masks)
    assert 0 < mirrored < 6
    augmented = dataclasses.replace(settings, augment=True)
    for workers in (0, 3):
        greys, masks = painted(augmented, train, workers)
        assert set(np.unique(masks)) <= {*range(8), 255}
        assert (masks == 255).any()
        # Light and blur change greys, but what is brighter stays so: masks lie where images do
        both = zip(greys, masks, strict=True)
        ranks = [np.corrcoef(grey[m < 255], m[m < 255])[0, 1] for grey, m in both]
        assert min(ranks) > 0.8
    again = painted(augmented, train, 0)
    np.testing.assert_array_equal(again[0], greys)
    np.testing.assert_array_equal(again[1], masks)


@pytest.mark.parametrize("model", SEGMENTERS)
def test_every_net_is_trained_on_real_data(model, camvid, tmp_path, segment):
    """Void pixels and classes that never occur among them; a broken pair is left out."""
    loss = ["--loss", "focal"] if model == "fcn" else []
    weights = ["--weights", "median"] if model != "segnet" else []
    status, out, err = segment(
        "--data", camvid, "--skip-bad", "--model", model, "--epochs", 2, *TINY, *loss, *weights,
        "--model-dir", tmp_path, "--json",
    )  # fmt: skip
    assert status == 0, err
    found = result(out)
    assert tuple(found["per_class"]) == CAMVID_CLASSES
    assert (found["examples"], found["steps"], found["skipped"]) == (2, 2, 1)
    skipped = (tmp_path / "skipped.csv").read_text()
    assert "is 32 x 48 pixels (H x W), but its mask 'trainannot/0.png' 31 x 48" in skipped
    run = app.load_run(tmp_path)
    assert (run.settings.ignore_label, run.settings.format) == (11, "camvid")
    assert all(np.isfinite(array).all() for array in run.net.state_dict().values())
    if model == "unet":
        status, out, err = segment(
            "evaluate", "--model-dir", tmp_path, "--data", camvid, "--skip-bad", "--json"
        )
        assert status == 0, err
        assert (result(out)["part"], result(out)["mean_iou"]) == ("validation", found["mean_iou"])
        status, out, err = segment("evaluate", "--model-dir", tmp_path, "--json")
        assert status == 0, "on its own data a run leaves out what it left out in training"
        assert (result(out)["skipped"], result(out)["mean_iou"]) == (1, found["mean_iou"])


def test_other_data_without_names_have_the_classes_of_the_run(trained, tmp_path, segment):
    (scene,) = make_scenes(1, (32, 48), seed=7).scenes
    saved(scene.image, tmp_path / "1.png")
    saved(np.minimum(scene.mask, 6), tmp_path / "1_mask.png")
    words = ["evaluate", "--model-dir", trained[0], "--data", tmp_path, "--json"]
    status, out, err = segment(*words)
    assert status == 0, err
    assert tuple(result(out)["per_class"]) == SCENE_CLASSES
    assert (result(out)["part"], result(out)["examples"]) == ("all", 1)
    saved(np.full((32, 48), 8, np.uint8), tmp_path / "1_mask.png")
    status, out, err = segment(*words)
    assert status == 2
    assert "has the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, but" in err


def test_broken_masks_stop_the_run_unless_they_are_to_be_skipped(camvid, tmp_path, segment):
    status, _, err = segment("--data", camvid, "--model-dir", tmp_path, *TINY)
    assert status == 2
    assert "0.png: is 32 x 48 pixels (H x W), but its mask 'trainannot/0.png' 31 x 48" in err
    assert "--skip-bad" in err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("values", "what"), [
    ((0, 255), "show only the class '0' and the label 255"), ((255, 255), "show no class at all"),
])  # fmt: skip
def test_masks_with_nothing_to_tell_apart_are_refused(values, what, tmp_path, segment):
    """Such as masks of 0 and 255, which another program has for black and white."""
    mask = np.full((32, 48), values[0], np.uint8)
    mask[:16] = values[1]
    for i in range(3):
        saved(np.full((32, 48, 3), 40 * i, np.uint8), tmp_path / f"data/images/{i}.png")
        saved(mask, tmp_path / f"data/masks/{i}.png")
    words = ["--data", tmp_path / "data", "--model-dir", tmp_path / "run", *TINY]
    status, _, err = segment(*words)
    assert status == 2
    assert what in err
    assert "number the classes 0, 1, 2" in err
    assert not (tmp_path / "run").exists()


def test_what_was_held_out_can_be_watched_in_training():
    settings = app.Settings(size=(24, 32), channels=4, epochs=1, scenes=16, names=SCENE_CLASSES)
    parts = app.load_parts(settings)
    with app.make_estimator(settings, parts.train, None) as estimator:
        watch = ValidationHook(lambda: app.plain_input(parts.held_out), 1)
        batches = app.training_input(settings, parts.train)
        estimator.train(lambda: batches, steps=2, hooks=[watch])
        with no_grad(), nn.evaluating():  # so soon, probabilities of scores that differ are equal
            scores = estimator.module(Tensor(scaled(parts.held_out.images)))
    assert watch.results["step"] == 2
    assert watch.results["examples"] == len(parts.held_out) == 4
    expected = Segmentation(SCENE_CLASSES, 255).update(scores, parts.held_out.masks.astype(int))
    assert watch.results["mean_iou"] == pytest.approx(expected.result()["mean_iou"], rel=1e-6)


def test_a_net_learns_streets():
    """In a few seconds it tells sky from road, without augmentation."""
    settings = app.Settings(
        size=(24, 32), channels=8, epochs=30, scenes=16, names=SCENE_CLASSES, augment=False
    )
    parts = app.load_parts(settings)
    with app.make_estimator(settings, parts.train, None) as estimator:
        batches = app.training_input(settings, parts.train)
        estimator.train(lambda: batches, steps=settings.steps(16))
        outcome = judge(scorer_of(estimator.module), parts.train)
    assert outcome.results["pixel_accuracy"] > 0.65
    assert outcome.results["per_class"]["sky"]["iou"] > 0.6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--data", __file__], "test_segment.py"),
        (["--format", "camvid"], "--format camvid needs --data"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--model", "eye"], "invalid choice: 'eye'"),
        (["--loss", "dice+hope"], "'hope' is unknown; give cross_entropy, focal, dice, or a sum"),
        (
            [*QUICK[:-3], "--loss", "dice", "--weights", "median"],
            "'dice' takes no weights of classes",
        ),
        (["--size", "8", "64"], "size must be a height and a width from 16 to 4,096, got 8 64"),
        (["--workers", "-1"], "--workers must be 0 or more"),
        (["--device", "abacus"], "device 'abacus' is unknown"),
        (["--resume"], "no segment run is here"),
        (["evaluate"], "no segment run is here"),
        (["predict", "x.png"], "no segment run is here"),
        (["--epochs", "3", "predict", "x.png"], "--epochs means nothing to predict"),
        (["--data", "a", "predict", "x.png"], "--data means nothing to predict"),
    ],
)
def test_wrong_use_gets_one_line_and_status_2(words, message, tmp_path, segment):
    at = ["--model-dir", tmp_path / "run"]
    status, _, err = segment(*at, *words) if "predict" in words else segment(*words, *at)
    assert status == 2
    assert message in err
    assert err.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_run_is_neither_written_over_nor_resumed_with_other_settings(trained, camvid, segment):
    before = sorted((trained[0] / "checkpoints").iterdir())
    status, _, err = segment("--model-dir", trained[0], *QUICK)
    assert (status, "--resume" in err) == (2, True)
    status, _, err = segment("--resume", "--model-dir", trained[0], "--channels", 3)
    assert (status, "--channels was 4, is 3" in err) == (2, True)
    status, _, err = segment("evaluate", "--model-dir", trained[0], "--data", camvid, "--skip-bad")
    assert (status, "has the classes sky, building, pole, road, pavement, tree" in err) == (2, True)
    assert sorted((trained[0] / "checkpoints").iterdir()) == before
