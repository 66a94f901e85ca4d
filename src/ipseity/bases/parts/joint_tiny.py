"""The joint transformer's true architecture at toy widths with random weights, made in memory."""

from dataclasses import replace
from typing import Any

import torch

from ipseity.bases.parts.checkpoint import Checkpoint, Layout, hash_modules
from ipseity.bases.parts.tiny import tiny_checkpoint


def tiny_joint(layout: Layout, seed: int, text_widths: tuple[int, int], *, latent_channels: int = 16) -> Checkpoint:
    """Make a random checkpoint of a layout without T5: 64 px, latents 8 x 8, 16 patches, texts wider than CLIP's.

    Args:
        layout: which parts there are.
        seed: decides every weight; the caller's random state is left alone.
        text_widths: hidden width of each CLIP text encoder.
        latent_channels: 16 as published, or fewer.
    """
    import diffusers as library

    diffusers: Any = library  # its lazy modules tell type checkers less than they hold
    texts = tiny_checkpoint(layout, seed, {}, text_widths)
    modules: dict[str, Any] = {name: one for name, one in texts.modules.items() if name.startswith("text_encoder")}
    with torch.no_grad():  # published first encoders have no projection of their own: theirs changes nothing
        modules["text_encoder"].text_projection.weight.copy_(torch.eye(text_widths[0]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules["vae"] = diffusers.AutoencoderKL(
            block_out_channels=(16, 16, 32, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=latent_channels,
            layers_per_block=1,
            norm_num_groups=8,
            sample_size=64,
            scaling_factor=3.0,  # brings random latents near unit variance
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
            force_upcast=False,
        )
        modules["transformer"] = diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=latent_channels,
            out_channels=latent_channels,
            num_layers=3,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=sum(text_widths) + 16,
            caption_projection_dim=48,
            pooled_projection_dim=sum(text_widths),
            pos_embed_max_size=12,
            dual_attention_layers=(0,),
            qk_norm="rms_norm",
        )
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    return replace(texts, modules=modules, scheduler=scheduler, fingerprint=hash_modules(modules))
