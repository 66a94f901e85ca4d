"""True architectures at toy widths with random weights, made in memory: what tests and dry runs use."""

from collections.abc import Callable
from typing import Any

import torch

from ipseity.bases.parts.checkpoint import Checkpoint, Layout, hash_modules

_PHRASES = """a photo of sks backpack dog cat toy person on the beach in the snow with a mountain in the background
an old wooden floor of a red purple shiny wet car mug bear plushie clock vase boot sneaker can candle teapot robot
at night in a forest seen from above close up of top left right bottom crop portrait city street grass water next to"""


def tiny_checkpoint(layout: Layout, seed: int, unet: dict[str, Any], text_widths: tuple[int, ...]) -> Checkpoint:
    """Make a random checkpoint of a layout: 64 px, latents 8 x 8, v-prediction to zero terminal signal.

    Args:
        layout: which parts there are.
        seed: decides every weight; the caller's random state is left alone.
        unet: what the U-Net has beside the common widths.
        text_widths: hidden width of each text encoder.
    """
    import diffusers as library

    diffusers: Any = library  # its lazy modules tell type checkers less than they hold

    vocab, merges = _vocabulary()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        names = [name for name in layout.modules if name.startswith("text_encoder")]
        modules: dict[str, Any] = {
            name: _text_encoder(layout.modules[name], width, len(vocab))
            for name, width in zip(names, text_widths, strict=True)
        }
        modules["vae"] = diffusers.AutoencoderKL(
            block_out_channels=(16, 16, 32, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=8,
            sample_size=64,
            scaling_factor=3.0,  # brings random latents near unit variance
            force_upcast=False,
        )
        modules["unet"] = diffusers.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64, 96),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",) * 3,
            up_block_types=("CrossAttnUpBlock2D",) * 3,
            attention_head_dim=(1, 2, 3),
            cross_attention_dim=sum(text_widths),
            norm_num_groups=16,
            **unet,
        )
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    pads = ("<|endoftext|>", "!")  # SDXL's two tokenizers pad differently
    tokenizers = {name: _tokenizer(vocab, merges, pad) for name, pad in zip(layout.tokenizers, pads, strict=False)}
    return Checkpoint(
        modules, tokenizers, scheduler, dict(layout.settings), "none (random weights)", hash_modules(modules)
    )


def _text_encoder(path: str, width: int, vocab_size: int) -> Any:
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=vocab_size - 2,
        eos_token_id=vocab_size - 1,
        pad_token_id=vocab_size - 1,
    )
    maker: Callable[[Any], Any] = getattr(transformers, path.split(".")[1])
    encoder = maker(config)
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(20)  # random words must differ as much as trained ones do
    return encoder


def _tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]], pad: str) -> Any:
    from transformers import CLIPTokenizer

    maker: Any = CLIPTokenizer
    return maker(vocab=dict(vocab), merges=list(merges), pad_token=pad, model_max_length=77)


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Make a vocabulary in CLIP's form: every byte, alone and ending a word, and the words of a few phrases."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: dict[tuple[str, str], None] = {}
    for word in dict.fromkeys(
        _PHRASES.split()
    ):  # by hand: a trainer breaks ties by chance, and weights hang on the order
        whole = word[0] if len(word) > 1 else f"{word}</w>"
        for letter in [*word[1:-1], f"{word[-1]}</w>"] if len(word) > 1 else []:
            merges[whole, letter] = None
            whole += letter
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    words = [*dict.fromkeys(words), "<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}, list(merges)
