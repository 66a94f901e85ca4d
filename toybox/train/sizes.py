"""The sizes of every network of the toybox, and the functions that build them with random weights.

The numbers obey the edges that stock loaders have: four latent channels, widths that are whole multiples of the
first, head dim 64, two text widths that differ, real end-of-text ids in both encoder configs.
"""

from dataclasses import dataclass

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    ViTConfig,
    ViTModel,
)

SIDE = 128
"""Base resolution in pixels."""
POSITIONS = 77
"""Length of every token row."""


@dataclass(frozen=True)
class Sizes:
    """Widths and depths; `TINY` is the same architecture for tests."""

    side: int = SIDE
    vae: tuple[int, ...] = (32, 64, 128)
    unet: tuple[int, ...] = (32, 64, 128, 192)
    unet_layers: int = 1
    head: int = 64
    text: int = 192
    text_2: int = 256
    text_layers: int = 3
    time_embed: int = 32
    groups: int = 8
    vit: int = 128
    vit_layers: int = 4
    patch: int = 16
    judge_dim: int = 128

    @property
    def stride(self) -> int:
        """Pixels to a latent's side."""
        return 2 ** (len(self.vae) - 1)


FULL = Sizes()
TINY = Sizes(
    side=32,
    vae=(8, 8, 8),
    unet=(32, 64, 64),
    head=32,
    text=32,
    text_2=64,
    text_layers=2,
    time_embed=8,
    groups=8,
    vit=32,
    vit_layers=2,
    judge_dim=16,
)


def build_vae(sizes: Sizes = FULL) -> AutoencoderKL:
    """Returns a VAE with four latent channels, random weights."""
    depth = len(sizes.vae)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=sizes.vae,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        norm_num_groups=sizes.groups,
        sample_size=sizes.side,
        scaling_factor=1.0,
        force_upcast=False,
    )


def build_unet(sizes: Sizes = FULL) -> UNet2DConditionModel:
    """Returns the denoiser in SDXL's layout, with text at every level but the first, random weights."""
    with_text = len(sizes.unet) - 1
    return UNet2DConditionModel(
        sample_size=sizes.side // sizes.stride,
        in_channels=4,
        out_channels=4,
        block_out_channels=sizes.unet,
        layers_per_block=sizes.unet_layers,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * with_text),
        up_block_types=(*["CrossAttnUpBlock2D"] * with_text, "UpBlock2D"),
        transformer_layers_per_block=1,
        attention_head_dim=tuple(max(1, w // sizes.head) for w in sizes.unet),
        use_linear_projection=True,
        cross_attention_dim=sizes.text + sizes.text_2,
        addition_embed_type="text_time",
        addition_time_embed_dim=sizes.time_embed,
        projection_class_embeddings_input_dim=sizes.text_2 + 6 * sizes.time_embed,
        norm_num_groups=sizes.groups,
    )


def _text_config(sizes: Sizes, *, vocab: int, second: bool) -> CLIPTextConfig:
    width = sizes.text_2 if second else sizes.text
    return CLIPTextConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=sizes.text_2,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=width // 32,
        hidden_act="gelu" if second else "quick_gelu",
        max_position_embeddings=POSITIONS,
        bos_token_id=vocab - 2,
        eos_token_id=vocab - 1,
        pad_token_id=0 if second else vocab - 1,
    )


def build_text(sizes: Sizes = FULL, *, vocab: int) -> CLIPTextModel:
    """Returns the first text encoder; `vocab` counts tokens, begin and end being the last two."""
    return CLIPTextModel(_text_config(sizes, vocab=vocab, second=False))


def build_text_2(sizes: Sizes = FULL, *, vocab: int) -> CLIPTextModelWithProjection:
    """Returns the second text encoder, whose pooled output goes to the time embedding."""
    return CLIPTextModelWithProjection(_text_config(sizes, vocab=vocab, second=True))


def build_scheduler() -> DDIMScheduler:
    """Returns the noise path: v-prediction, 1000 steps, zero terminal SNR, trailing spacing."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=0,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def build_toy_clip(sizes: Sizes = FULL, *, vocab: int) -> CLIPModel:
    """Returns the judge of text against picture, random weights."""
    width = sizes.vit
    common = {"hidden_size": width, "num_hidden_layers": sizes.vit_layers}
    heads = {"num_attention_heads": width // 32, "intermediate_size": 3 * width}
    text = {
        **common,
        **heads,
        "vocab_size": vocab,
        "max_position_embeddings": POSITIONS,
        "bos_token_id": vocab - 2,
        "eos_token_id": vocab - 1,
        "pad_token_id": vocab - 1,
        "projection_dim": sizes.judge_dim,
    }
    vision = {
        **common,
        **heads,
        "image_size": sizes.side,
        "patch_size": sizes.patch,
        "projection_dim": sizes.judge_dim,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=sizes.judge_dim))


def build_toy_vit(sizes: Sizes = FULL) -> ViTModel:
    """Returns the judge of sameness, whose class token is the embedding, random weights."""
    config = ViTConfig(
        hidden_size=sizes.vit,
        num_hidden_layers=sizes.vit_layers,
        num_attention_heads=sizes.vit // 32,
        intermediate_size=3 * sizes.vit,
        image_size=sizes.side,
        patch_size=sizes.patch,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return ViTModel(config, add_pooling_layer=False)
