"""The networks that ``--model`` names."""

import numpy as np
import pytest
from command_line import QUICK, result

from minicnn import Tensor, nn
from minicnn.apps import gtsrb
from minicnn.backend.device import get_device


@pytest.mark.parametrize("name", gtsrb.MODELS)
def test_every_network_is_built_from_the_settings(name):
    settings = gtsrb.Settings(model=name, channels=4, seed=3)
    with nn.arg_scope([nn.Conv2d, nn.Dense], initializer=nn.init.zeros):
        net = gtsrb.build_network(settings)
    with nn.random_key(0, 0):
        scores = net(Tensor(np.zeros((2, 3, 32, 32), np.float32)).to(get_device()))
    assert scores.shape == (2, 43)
    assert 0 < gtsrb.MODELS[name].peak <= 0.15


def test_the_course_net_is_what_it_always_was():
    assert gtsrb.build_network(gtsrb.Settings()).count_parameters() == 38_147
    assert gtsrb.MODELS["seed"].peak == 0.15


def test_a_net_is_trained_and_evaluated_by_its_name(archive, tmp_path, command):
    folder = tmp_path / "run"
    words = ["--data", archive, "--model-dir", folder, "--model", "resnet20", "--json"]
    status, out, err = command(*words, *QUICK)
    assert status == 0, err
    assert "network  resnet20 (CifarResNet), 2 channels: " in out
    trained = result(out)
    status, out, _ = command("evaluate", "--model-dir", folder, "--json")
    assert status == 0
    assert result(out)["accuracy"] == trained["accuracy"]


def test_a_net_that_needs_larger_images_says_so(archive, tmp_path, command):
    words = ["--data", archive, "--model-dir", tmp_path, "--model", "vgg11"]
    status, _, err = command(*words, *QUICK)
    assert status != 0
    assert "VGG: images of 16 x 16 pixels are too small" in err
    assert "give at least 32 x 32" in err
