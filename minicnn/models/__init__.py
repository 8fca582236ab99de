"""Networks, one file each: the course's own, and those that the field is built on."""

from minicnn.models.alexnet import AlexNet
from minicnn.models.backbone import Backbone
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.deeplab import DeepLab
from minicnn.models.fcn import FCN
from minicnn.models.googlenet import GoogLeNet, Inception, Scores
from minicnn.models.lenet5 import LeNet5
from minicnn.models.mlp import MLP
from minicnn.models.plainnet import PlainNet
from minicnn.models.pspnet import PixelScores, PSPNet
from minicnn.models.residual import Residual
from minicnn.models.resnet import ResNet
from minicnn.models.seednet import SeedNet
from minicnn.models.segnet import SegNet
from minicnn.models.unet import UNet
from minicnn.models.vgg import VGG

__all__ = [
    "FCN",
    "MLP",
    "VGG",
    "AlexNet",
    "Backbone",
    "CifarResNet",
    "DeepLab",
    "GoogLeNet",
    "Inception",
    "LeNet5",
    "PSPNet",
    "PixelScores",
    "PlainNet",
    "ResNet",
    "Residual",
    "Scores",
    "SeedNet",
    "SegNet",
    "UNet",
]
