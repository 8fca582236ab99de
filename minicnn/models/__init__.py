"""Networks, one file each: the course's own, and those that the field is built on."""

from minicnn.models.alexnet import AlexNet
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.googlenet import GoogLeNet, Inception, Scores
from minicnn.models.lenet5 import LeNet5
from minicnn.models.mlp import MLP
from minicnn.models.plainnet import PlainNet
from minicnn.models.residual import Residual
from minicnn.models.resnet import ResNet
from minicnn.models.seednet import SeedNet
from minicnn.models.vgg import VGG

__all__ = [
    "MLP",
    "VGG",
    "AlexNet",
    "CifarResNet",
    "GoogLeNet",
    "Inception",
    "LeNet5",
    "PlainNet",
    "ResNet",
    "Residual",
    "Scores",
    "SeedNet",
]
