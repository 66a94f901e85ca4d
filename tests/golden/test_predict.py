"""Learning and drawing must not drift apart: `predict` and `encode_text` are what the stock pipeline does."""

from dataclasses import replace

import pytest
import torch

from ipseity.bases.sd15 import SD15
from ipseity.bases.sdxl import SDXL
from ipseity.core.drawing import DrawOptions, draw_all

PROMPT = "a photo of sks backpack on the beach"


@pytest.fixture(scope="module", params=[SDXL, SD15])
def base(request):
    return request.param.tiny(seed=7)


def watch(base, **settings):
    """Draw one picture and record each call of the U-Net: latents, timestep, answer."""
    calls = []

    def record(module, args, kwargs, answer):
        calls.append((args[0].detach().clone(), args[1], answer[0].detach().clone()))

    hook = base.parts()["unet"].register_forward_hook(record, with_kwargs=True)
    try:
        pipeline = base.pipeline()
        pipeline.set_progress_bar_config(disable=True)
        pipeline(
            PROMPT, num_inference_steps=3, generator=torch.Generator().manual_seed(0), output_type="latent", **settings
        )
    finally:
        hook.remove()
    return calls


def conditions(base, prompts):
    side = base.resolution
    hints = base.size_hints([(side, side)] * len(prompts), [(0, 0)] * len(prompts))
    with torch.no_grad():
        return replace(base.encode_text(prompts), size_hints=hints)


@pytest.mark.parametrize(("guidance", "prompts"), [(1.0, [PROMPT]), (4.0, ["", PROMPT])])
def test_predict_is_the_pipelines_own_step(base, guidance, prompts):
    cond = conditions(base, prompts)
    calls = watch(base, guidance_scale=guidance)
    assert len(calls) == 3
    for latents, timestep, answer in calls:
        t = torch.full((len(prompts),), (int(timestep) + 1) / base.path.num_levels)
        with torch.no_grad():
            prediction = base.predict(latents, t, cond)
        torch.testing.assert_close(prediction, answer, atol=2e-6, rtol=1e-5)


def test_guidance_changes_the_picture(base):
    assert not torch.allclose(
        watch(base, guidance_scale=1.0)[-1][2], watch(base, guidance_scale=9.0)[-1][2][1:], atol=1e-4
    )


def test_text_is_what_the_pipeline_hears(base):
    cond = conditions(base, [PROMPT, ""])
    heard = base.pipeline().encode_prompt(
        PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    torch.testing.assert_close(cond.text[:1], heard[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(cond.text[1:], heard[1], atol=1e-6, rtol=1e-5)
    if len(heard) == 4:
        torch.testing.assert_close(cond.pooled, torch.cat(heard[2:]), atol=1e-6, rtol=1e-5)


def hear(base, prompt):
    """Encode one prompt without the pipeline: which hidden states of which encoder make the condition."""
    states, pooled = [], None
    with torch.no_grad():
        for name, tokenizer in base.tokenizers().items():
            ids = tokenizer(
                [prompt], padding="max_length", max_length=77, truncation=True, return_tensors="pt"
            ).input_ids
            heard = base.parts()[name](ids, output_hidden_states=True)
            states.append(heard.hidden_states[-2] if isinstance(base, SDXL) else heard.last_hidden_state)
            pooled = getattr(heard, "text_embeds", None)
    return torch.cat(states, dim=-1), pooled


def test_text_is_what_the_paper_says(base):
    text, pooled = hear(base, PROMPT)
    cond = conditions(base, [PROMPT])
    torch.testing.assert_close(cond.text, text)
    if pooled is not None:
        torch.testing.assert_close(cond.pooled, pooled)


def test_a_several_vector_token_is_heard_whole(base):
    """Stock textual inversion spells <cat> with two vectors as `<cat> <cat>_1`; training must hear the same."""
    fresh = type(base).tiny(seed=7)
    for name, tokenizer in fresh.tokenizers().items():
        width = fresh.parts()[name].config.hidden_size
        fresh.pipeline().load_textual_inversion(
            torch.randn(2, width), token="<cat>", text_encoder=fresh.parts()[name], tokenizer=tokenizer
        )
    heard = fresh.encode_text(["a <cat>"]).text
    torch.testing.assert_close(heard, hear(fresh, "a <cat> <cat>_1")[0])
    assert not torch.allclose(heard, hear(fresh, "a <cat>")[0], atol=1e-3)


def test_latents_are_the_ones_that_the_pipeline_decodes(base):
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        latents = base.encode_image(pixels)
        again = base.decode(latents)
    stock = base.parts()["vae"].decode(latents / base.parts()["vae"].config.scaling_factor).sample
    torch.testing.assert_close(again, stock)
    assert 0.1 < latents.std() < 10


def test_pipelines_do_not_cast_the_modules(base):
    """`from_pipe` would turn shared modules into fp32; ours are built over them."""
    fresh = type(base).tiny(seed=7)
    for part in fresh.parts().values():
        part.to(torch.bfloat16)
    for kind in ("text", "image", "inpaint"):
        fresh.pipeline(kind)
        assert {part.dtype for part in fresh.parts().values()} == {torch.bfloat16}


def test_pipelines_draw_alike_and_keep_their_own_clock(base):
    options = DrawOptions(num_inference_steps=2, batch_size=2)
    first = draw_all(base.pipeline(), [PROMPT, "a dog"], [0, 1], options)
    base.pipeline("image").scheduler.set_timesteps(7)
    assert len(base.pipeline().scheduler.timesteps) == 2
    again = draw_all(base.pipeline(), [PROMPT, "a dog"], [0, 1], options)
    assert [image.tobytes() for image in first] == [image.tobytes() for image in again]
    assert first[0].size == (64, 64) and first[0].tobytes() != first[1].tobytes()


def test_image_and_inpaint_pipelines_run(base):
    picture = draw_all(base.pipeline(), [PROMPT], [0], DrawOptions(num_inference_steps=2))[0]
    settings = {"num_inference_steps": 3, "strength": 0.7, "generator": torch.Generator().manual_seed(0)}
    for kind in ("image", "inpaint"):
        pipeline = base.pipeline(kind)
        pipeline.set_progress_bar_config(disable=True)
        extra = {"mask_image": picture.convert("L")} if kind == "inpaint" else {}
        drawn = pipeline(PROMPT, image=picture, **extra, **settings).images[0]
        assert drawn.size == picture.size


def test_a_half_precision_vae_that_overflows_is_lent_in_fp32():
    base = SDXL.tiny(seed=7)
    vae = base.parts()["vae"]
    vae.register_to_config(force_upcast=True)
    vae.half()
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    latents = base.encode_image(torch.zeros(1, 3, 64, 64))
    assert torch.isfinite(base.decode(latents)).all()
    assert vae.dtype == torch.float16 and all(
        torch.equal(tensor, before[name]) for name, tensor in vae.state_dict().items()
    )
