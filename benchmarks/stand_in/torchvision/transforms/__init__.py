"""Resize, crops, flip, ToTensor, Normalize and Compose over PIL images."""

import random
from enum import Enum

import numpy as np
import torch
from PIL import Image

from . import functional as functional


class InterpolationMode(Enum):
    """The names that the script's command line offers."""

    NEAREST = Image.Resampling.NEAREST
    BILINEAR = Image.Resampling.BILINEAR
    BICUBIC = Image.Resampling.BICUBIC
    BOX = Image.Resampling.BOX
    HAMMING = Image.Resampling.HAMMING
    LANCZOS = Image.Resampling.LANCZOS


class Resize:
    def __init__(self, size, interpolation=InterpolationMode.BILINEAR):
        self.size, self.interpolation = size, interpolation

    def __call__(self, image):
        scale = self.size / min(image.size)
        return image.resize((round(image.width * scale), round(image.height * scale)), self.interpolation.value)


class CenterCrop:
    def __init__(self, size):
        self.size = size

    def __call__(self, image):
        return functional.crop(
            image, (image.height - self.size) // 2, (image.width - self.size) // 2, self.size, self.size
        )


class RandomCrop(CenterCrop):
    @staticmethod
    def get_params(image, size):
        height, width = size
        return random.randint(0, image.height - height), random.randint(0, image.width - width), height, width

    def __call__(self, image):
        return functional.crop(image, *self.get_params(image, (self.size, self.size)))


class RandomHorizontalFlip:
    def __init__(self, p=0.5):
        self.p = p

    def __call__(self, image):
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < self.p else image


class ToTensor:
    def __call__(self, image):
        return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean[0], std[0]

    def __call__(self, tensor):
        return (tensor - self.mean) / self.std


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, value):
        for transform in self.transforms:
            value = transform(value)
        return value
