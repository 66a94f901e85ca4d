"""The few functions that the script, and transformers beside it, import."""

import numpy as np
import torch


def crop(image, top, left, height, width):
    """Cut a PIL image."""
    return image.crop((left, top, left + width, top + height))


def pil_to_tensor(image):
    """Give a picture's bytes as (C, H, W)."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
