"""What every encoder must keep. Those whose weights or packages are not on this machine must say so and refuse."""

import subprocess
import sys

import pytest
import torch

from ipseity.core import registry
from ipseity.core.errors import CapabilityError, Refusal

NAMES = registry.names("encoders")
ABILITIES = {"image", "text", "patches", "face"}


@pytest.fixture(scope="module", params=NAMES)
def encoder(request):
    kind = registry.find("encoders", request.param)
    if told := kind.missing():
        with pytest.raises(Refusal):
            kind.load(kind.Options())
        pytest.skip(f"{request.param}: {told}")
    return kind.load(kind.Options())


@pytest.fixture(scope="module")
def pixels():
    ramp = torch.linspace(-1, 1, 96)
    first = torch.stack([ramp.expand(80, 96), ramp.flip(0).expand(80, 96), torch.zeros(80, 96)])
    second = torch.rand(3, 80, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.stack([first, second])


def test_gives_unit_vectors_row_by_row(encoder, pixels):
    both = encoder.embed(pixels)
    assert both.shape == (2, encoder.width)
    torch.testing.assert_close(both.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(encoder.embed(pixels[1:]), both[1:], atol=1e-4, rtol=1e-3)
    assert both[0] @ both[1] < 0.9999
    assert not both.requires_grad


def test_takes_any_size(encoder):
    assert encoder.embed(torch.zeros(1, 3, 64, 150)).shape == (1, encoder.width)


def test_says_what_it_is(encoder):
    assert encoder.offers <= ABILITIES and "image" in encoder.offers
    assert encoder.name in NAMES and encoder.licence and encoder.width > 0


def test_text_lies_in_the_same_space(encoder):
    if "text" not in encoder.offers:
        pytest.skip("offers no text")
    vectors = encoder.embed_text(["a dog", "a red car in the snow " * 40])
    assert vectors.shape == (2, encoder.width)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(encoder.embed_text(["a dog"]), vectors[:1], atol=1e-4, rtol=1e-3)


def test_patches_make_a_grid(encoder, pixels):
    if "patches" not in encoder.offers:
        pytest.skip("offers no patches")
    grid = encoder.patches(pixels)
    assert grid.ndim == 4 and grid.shape[0] == 2 and min(grid.shape[1:3]) > 1
    torch.testing.assert_close(grid.norm(dim=-1), torch.ones(grid.shape[:3]))


def test_listing_is_cheap():
    code = (
        "import sys; from ipseity.core import registry;"
        "[registry.find('encoders', n) for n in registry.names('encoders')];"
        "print(*[m for m in ('diffusers', 'transformers', 'efficientnet_lite_pytorch') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""


def test_refuses_what_it_does_not_offer(encoder, pixels):
    for ability, ask in (("text", lambda: encoder.embed_text(["a dog"])), ("patches", lambda: encoder.patches(pixels))):
        if ability not in encoder.offers:
            with pytest.raises(CapabilityError, match=ability):
                ask()
