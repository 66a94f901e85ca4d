"""Trains the autoencoder on the world and on licence-free photos, and folds its statistics into the weights."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image

from toybox.train import runs
from toybox.train.optim import Both
from toybox.train.runs import BUILD, Average, Clock
from toybox.train.shards import each_shard, to_pixels
from toybox.train.sizes import FULL, Sizes, build_vae

PHOTOS = (
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "brick.png",
    "grass.png",
    "gravel.png",
    "coins.png",
    "color.png",
    "page.png",
    "text.png",
    "logo.png",
)
"""Pictures of the scikit-image package that are free to use and show no person."""
LEARNING_RATE = 6e-4
KL_WEIGHT = 1e-4
LATENT_STD = 4.0
"""Every latent channel is brought to this spread, so that one scaling factor fits all of them."""


def trained_vae(build: Path = BUILD, sizes: Sizes = FULL) -> tuple[AutoencoderKL, float]:
    """Returns the trained autoencoder on the device, in evaluation mode, and its scaling factor."""
    state = runs.read_weights(build, "vae")
    if state is None:
        raise SystemExit("no trained VAE in build/toybox/weights: run `python -m toybox.train vae` first")
    vae = build_vae(sizes)
    vae.load_state_dict(state["weights"])
    return vae.eval().to(runs.device()), state["scaling_factor"]


def photos() -> list[np.ndarray]:
    """Reads the free photos, each at full size and shrunk, as RGB arrays."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    out = []
    for name in PHOTOS:
        path = folder / name
        if not path.exists():
            continue
        image = Image.open(path).convert("RGB")
        out.append(np.asarray(image))
        if min(image.size) >= 300:
            shrunk = image.resize((image.width * 2 // 5, image.height * 2 // 5), Image.LANCZOS)
            out += [np.asarray(shrunk)] * 2
    return out


def gather_pictures(sets: tuple[str, ...], build: Path = BUILD) -> np.ndarray:
    """Reads all pictures of the given sets that lie there."""
    return np.concatenate([shard.images for name in sets for shard in each_shard(name, build)])


def crops(
    scenes: np.ndarray, free: list[np.ndarray], rng: np.random.Generator, *, batch: int, side: int
) -> torch.Tensor:
    """Cuts a batch of random windows: seven of eight from scenes, the rest from photos, mirrored by chance.

    Windows start anywhere, so edges fall on every place of the stride; some are brightened or their colours permuted,
    because a user's photos have colours that the world has not.
    """
    out = []
    for i in range(batch):
        source = free[rng.integers(len(free))] if i % 8 == 0 and free else scenes[rng.integers(len(scenes))]
        top, left = (int(rng.integers(0, n - side + 1)) for n in source.shape[:2])
        window = source[top : top + side, left : left + side]
        window = window[:, ::-1] if rng.random() < 0.5 else window
        out.append(window[..., rng.permutation(3)] if rng.random() < 0.15 else window)
    return to_pixels(np.stack(out))


def slopes(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns horizontal and vertical differences."""
    return pixels[..., :, 1:] - pixels[..., :, :-1], pixels[..., 1:, :] - pixels[..., :-1, :]


def edge_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of slopes at full and half size: letters and outlines live there."""
    loss = torch.zeros((), device=made.device)
    for _ in range(2):
        loss = loss + sum((a - b).abs().mean() for a, b in zip(slopes(made), slopes(wanted), strict=True))
        made, wanted = F.avg_pool2d(made, 2), F.avg_pool2d(wanted, 2)
    return loss


def vae_loss(
    vae: torch.nn.Module, pixels: torch.Tensor, *, halve: bool = False
) -> tuple[torch.Tensor, dict[str, float]]:
    """Returns the training loss of a batch and its readings.

    Args:
        vae: the autoencoder.
        pixels: (B, 3, H, W) in [-1, 1].
        halve: ask that latents at half size decode to the picture at half size. It keeps fine latents smooth, which a
            denoiser learns sooner, and makes pooled latents a picture of their own (Skorokhodov et al. 2025, scale equivariance).
    """
    moments = vae.quant_conv(vae.encoder(pixels))
    posterior = DiagonalGaussianDistribution(moments.float())
    latents = posterior.sample()
    if halve:
        latents, pixels = F.avg_pool2d(latents, 2), F.avg_pool2d(pixels, 2)
    made = vae.decoder(vae.post_quant_conv(latents)).float()
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    flat, square, edge = (made - pixels).abs().mean(), (made - pixels).pow(2).mean(), edge_loss(made, pixels)
    loss = flat + square + 0.5 * edge + KL_WEIGHT * kl
    psnr = -10 * torch.log10(square.detach() / 4)
    return loss, {"loss": loss.item(), "psnr": psnr.item(), "kl": kl.item(), "edge": edge.item()}


@torch.no_grad()
def fold_statistics(vae: AutoencoderKL, pixels: torch.Tensor) -> float:
    """Centres the latents and equalizes their channels inside the weights.

    Stock pipelines ignore `shift_factor`, and inpainting pipelines know one scale only; so mean and spread go into
    `quant_conv` and come out again in `post_quant_conv`. Decoding is unchanged.

    Args:
        vae: the trained autoencoder, changed in place.
        pixels: pictures to measure on.

    Returns:
        The scaling factor that gives unit variance.
    """
    means = torch.cat([vae.encode(chunk).latent_dist.mean for chunk in pixels.split(32)])
    centre, spread = means.mean((0, 2, 3)), means.std((0, 2, 3))
    gain = LATENT_STD / spread
    quant, post = vae.quant_conv, vae.post_quant_conv
    count = len(centre)
    quant.bias[:count] = (quant.bias[:count] - centre) * gain
    quant.weight[:count] *= gain[:, None, None, None]
    quant.bias[count:] += 2 * gain.log()
    post.bias += post.weight[:, :, 0, 0] @ centre
    post.weight /= gain[None, :, None, None]
    return 1.0 / LATENT_STD


def _restore(vae: torch.nn.Module, average: Average, optimizer: Both, path: Path) -> tuple[int, float]:
    """Loads a checkpoint where there is one and returns step and elapsed seconds."""
    kept = runs.load_state(path)
    if kept is None:
        return 0, 0.0
    vae.load_state_dict(kept["model"])
    optimizer.restore(kept["optimizer"])
    average.kept = [t.to(p.device) for t, p in zip(kept["average"], average.live, strict=True)]
    return kept["step"], kept["elapsed"]


def train_vae(minutes: float, *, batch: int = 16, side: int = 64, build: Path = BUILD, sizes: Sizes = FULL) -> None:
    """Trains for the given minutes in all (earlier runs counted in), folds and saves the weights.

    Args:
        minutes: training time until the end of the schedule.
        batch: windows a step.
        side: size of a window.
        build: folder of work products.
        sizes: widths.
    """
    where, path = runs.device(), build / "checkpoints" / "vae.pt"
    torch.manual_seed(0)
    # On a processor the backward of group norm is twice as fast in the plain memory order.
    order = torch.channels_last if where.type == "cuda" else torch.contiguous_format
    vae = build_vae(sizes).to(where, memory_format=order)
    average = Average(vae.parameters(), 0.998)
    optimizer = Both([vae], LEARNING_RATE)
    step, elapsed = _restore(vae, average, optimizer, path)
    clock = Clock(minutes * 60, elapsed)
    free, scenes = photos(), gather_pictures(("train",), build)
    large = [photo for photo in free if min(photo.shape[:2]) >= sizes.side]
    clock.start()
    while (progress := clock.tick()) < 1:
        rng = np.random.default_rng([1, step])
        if step % 1000 == 999:  # shards go on arriving while this runs
            scenes = gather_pictures(("train",), build)
        whole = step % 2 == 1  # windows see no corner of a picture, whole pictures do
        count, edge, source = (batch // 4, sizes.side, large) if whole else (batch, side, free)
        pixels = crops(scenes, source, rng, batch=count, side=edge).to(where, memory_format=order)
        optimizer.set_rate(runs.rate(progress, step, hold=0.6))
        with runs.autocast(where):
            loss, readings = vae_loss(vae, pixels, halve=step % 4 == 1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        step += 1
        average.update(step)
        if step % 50 == 0:
            runs.note(build, "vae", step=step, progress=progress, **readings)
        if step % 200 == 0:
            _save(vae, average, optimizer, (step, clock.elapsed, path))
    _save(vae, average, optimizer, (step, clock.elapsed, path))
    finish(average.state(vae), scenes, build=build, sizes=sizes)


def _save(vae: torch.nn.Module, average: Average, optimizer: Both, at: tuple[int, float, Path]) -> None:
    step, elapsed, path = at
    runs.save_state(
        {
            "model": vae.state_dict(),
            "average": average.kept,
            "optimizer": optimizer.state(),
            "step": step,
            "elapsed": elapsed,
        },
        path,
    )


def finish(state: dict[str, torch.Tensor], scenes: np.ndarray, *, build: Path = BUILD, sizes: Sizes = FULL) -> None:
    """Folds the averaged weights, saves them for packaging and writes the done file last."""
    vae = build_vae(sizes)
    vae.load_state_dict({k: v.cpu() for k, v in state.items()})
    vae.eval()
    rng = np.random.default_rng(2)
    scale = fold_statistics(vae, to_pixels(scenes[rng.choice(len(scenes), min(len(scenes), 768), replace=False)]))
    runs.save_state({"weights": vae.state_dict(), "scaling_factor": scale}, runs.weights_path(build, "vae"))
    runs.done_path(build, "vae").write_text("trained\n")


def tune_decoder(minutes: float, *, batch: int = 8, build: Path = BUILD, sizes: Sizes = FULL) -> None:
    """Trains the finished autoencoder's decoder alone, on whole pictures, so that latents and UNet stay valid.

    Training windows are half a picture wide, so the first schedule hardly sees a picture's corners; this one does.

    Args:
        minutes: processor time on one thread, or wall time with a GPU.
        batch: pictures a step, one of them a photo.
        build: folder of work products.
        sizes: widths.
    """
    (vae, scale), where = trained_vae(build, sizes), runs.device()
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    learning = [p for p in vae.parameters() if p.requires_grad]
    average, optimizer = Average(learning, 0.998), runs.adamw(learning, LEARNING_RATE)
    clock, step = Clock(minutes * 60, read=runs.small_clock()), 0
    free, scenes = photos(), gather_pictures(("train",), build)
    free = [photo for photo in free if min(photo.shape[:2]) >= sizes.side]
    clock.start()
    while (progress := clock.tick()) < 1:
        pixels = crops(scenes, free, np.random.default_rng([3, step]), batch=batch, side=sizes.side).to(where)
        runs.set_rate(optimizer, LEARNING_RATE * runs.rate(progress, step, hold=0.5))
        with runs.autocast(where):
            with torch.no_grad():
                latents = DiagonalGaussianDistribution(vae.quant_conv(vae.encoder(pixels)).float()).sample()
            made = vae.decoder(vae.post_quant_conv(latents)).float()
        square = (made - pixels).pow(2).mean()
        loss = (made - pixels).abs().mean() + square + 0.5 * edge_loss(made, pixels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        average.update(step)
        if step % 50 == 0:
            facts = {"loss": loss.item(), "psnr": -10 * float(torch.log10(square.detach() / 4))}
            runs.note(build, "decoder", step=step, progress=progress, **facts)
    state = vae.state_dict()
    names = [name for name, p in vae.named_parameters() if p.requires_grad]
    state |= dict(zip(names, average.kept, strict=True))
    cpu = {k: v.cpu() for k, v in state.items()}
    runs.save_state({"weights": cpu, "scaling_factor": scale}, runs.weights_path(build, "vae"))
    runs.done_path(build, "decoder").write_text(f"{step}\n")


@torch.no_grad()
def psnr(vae: AutoencoderKL, images: np.ndarray) -> float:
    """Returns the mean peak signal-to-noise ratio in dB of encoding (mode) and decoding."""
    values = []
    for chunk in to_pixels(images).split(16):
        made = vae.decode(vae.encode(chunk).latent_dist.mode()).sample.clamp(-1, 1)
        values += (-10 * torch.log10((made - chunk).pow(2).mean((1, 2, 3)) / 4)).tolist()
    return float(np.mean(values))
