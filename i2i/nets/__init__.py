"""Networks, the parts that several of them share, and the registry by which saved models build them again.

registry       Network, register, record, build: names and constructor arguments
choice         Choosing: networks with several answers for one image, and Choice, what the user chooses of them
factory        generators and discriminators of image-to-image methods by their settings
unet, resnet   generators of images from images;  patchgan  their discriminators;  patches  CUT's projected features
pix2pixhd, bicycle   generators of label maps and of many answers;  multiscale  their discriminators
labels, spade  label maps as one-hot input and as modulation of a norm
stargan        one generator for many domains;  domains  their names and labels
rrdbnet, srresnet, nafnet  generators that enlarge or restore images;  sr_discriminators  theirs;  unit  their range
deoldify, deoldify_d  color from gray, on resnet_encoder and shuffle;  lab  the same in CIE Lab
dcgan, resgan, progressive, mlp   generators of images from noise, and their discriminators
bridge, unsb   generators that answer in several steps (chain);  diffusion_unet  a network that sees the time
blocks, attention, spectral, transformer   layers;  latent  the noise z;  image_pool  earlier fakes for a discriminator

Names of attributes (`main`, `to_picture`, ...) are part of the keys in saved models and stay as they are.
"""

from __future__ import annotations

from i2i.nets.attention import SelfAttention
from i2i.nets.bicycle import BicycleGenerator
from i2i.nets.blocks import init_weights
from i2i.nets.bridge import Bridge
from i2i.nets.choice import Choice, Choosing
from i2i.nets.dcgan import DCGANDiscriminator, DCGANGenerator
from i2i.nets.deoldify import DeOldifyUNet
from i2i.nets.deoldify_d import DeOldifyDiscriminator
from i2i.nets.image_pool import ImagePool
from i2i.nets.lab import LabColorizer
from i2i.nets.labels import LabelInput
from i2i.nets.mlp import Maxout, MLPDiscriminator, MLPGenerator
from i2i.nets.multiscale import MultiScale
from i2i.nets.nafnet import NAFNet
from i2i.nets.patchgan import PatchGAN, PixelGAN
from i2i.nets.pix2pixhd import GlobalGenerator, LocalEnhancer
from i2i.nets.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from i2i.nets.registry import NETWORKS, Network, build, has_argument, network_arguments, network_name, record, register
from i2i.nets.resgan import ConditionalBatchNorm, DownBlock, ResNetDiscriminator, ResNetGenerator, UpBlock
from i2i.nets.resnet import MobileResNet, ResNet
from i2i.nets.rrdbnet import RRDBNet
from i2i.nets.spectral import SpectralNorm, spectral_norm
from i2i.nets.sr_discriminators import ESRGANDiscriminator, SRGANDiscriminator, UNetDiscriminator
from i2i.nets.srresnet import SRResNet
from i2i.nets.stargan import StarGANDiscriminator, StarGANGenerator
from i2i.nets.unet import MobileUNet, UNet
from i2i.nets.unit import UnitNetwork
from i2i.nets.unsb import UNSBGenerator

__all__ = [
    "NETWORKS",
    "BicycleGenerator",
    "Bridge",
    "Choice",
    "Choosing",
    "ConditionalBatchNorm",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DeOldifyDiscriminator",
    "DeOldifyUNet",
    "DownBlock",
    "ESRGANDiscriminator",
    "GlobalGenerator",
    "ImagePool",
    "LabColorizer",
    "LabelInput",
    "LocalEnhancer",
    "MLPDiscriminator",
    "MLPGenerator",
    "Maxout",
    "MobileResNet",
    "MobileUNet",
    "MultiScale",
    "NAFNet",
    "Network",
    "PatchGAN",
    "PixelGAN",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "RRDBNet",
    "ResNet",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "SRGANDiscriminator",
    "SRResNet",
    "SelfAttention",
    "SpectralNorm",
    "StarGANDiscriminator",
    "StarGANGenerator",
    "UNSBGenerator",
    "UNet",
    "UNetDiscriminator",
    "UnitNetwork",
    "UpBlock",
    "build",
    "has_argument",
    "init_weights",
    "network_arguments",
    "network_name",
    "record",
    "register",
    "spectral_norm",
]
