"""On SD3 too, learning and drawing must not drift apart: `predict` and `encode_text` are what the stock pipeline does."""

import pytest
import torch

from ipseity.bases.sd3 import SD3
from ipseity.core.drawing import DrawOptions, draw_all

PROMPT = "a photo of sks backpack on the beach"


@pytest.fixture(scope="module")
def base():
    return SD3.tiny(seed=7)


def watch(base, steps=3, **settings):
    """Draw one picture and record each call of the transformer: its arguments and its answer; then the latents."""
    calls = []

    def record(module, args, kwargs, answer):
        calls.append((kwargs["hidden_states"].clone(), kwargs["timestep"].clone(), answer[0].clone()))

    hook = base.parts()["transformer"].register_forward_hook(record, with_kwargs=True)
    try:
        pipeline = base.pipeline()
        pipeline.set_progress_bar_config(disable=True)
        chance = torch.Generator().manual_seed(0)
        drawn = pipeline(PROMPT, num_inference_steps=steps, generator=chance, output_type="latent", **settings).images
    finally:
        hook.remove()
    return calls, drawn


def conditions(base, prompts):
    with torch.no_grad():
        return base.encode_text(prompts)


@pytest.mark.parametrize(("guidance", "prompts"), [(1.0, [PROMPT]), (4.0, ["", PROMPT])])
def test_predict_is_the_pipelines_own_step(base, guidance, prompts):
    cond = conditions(base, prompts)
    calls, _ = watch(base, guidance_scale=guidance)
    assert len(calls) == 3
    for latents, timesteps, answer in calls:
        t = base.path.levels(timesteps)
        assert t.min() > 0 and t.max() <= 1
        with torch.no_grad():
            prediction = base.predict(latents, t, cond)
        torch.testing.assert_close(prediction, answer, atol=2e-6, rtol=1e-5)


def test_the_path_is_the_schedulers(base):
    """Timesteps, shift, what noise does to a picture, and which way a step goes."""
    scheduler = base.pipeline().scheduler
    fresh = type(scheduler).from_config(scheduler.config)
    even = torch.arange(1000, 0, -1) / 1000
    torch.testing.assert_close(base.path.shifted(even), fresh.sigmas)
    torch.testing.assert_close(base.path.timesteps(fresh.sigmas), fresh.timesteps)
    clean, noise = torch.randn(2, 3, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    places = [900, 500, 20]
    t = fresh.sigmas[places]
    noisy = base.path.corrupt(clean, noise, t)
    torch.testing.assert_close(noisy, fresh.scale_noise(clean, fresh.timesteps[places], noise))
    fresh.set_timesteps(7)
    moved = noise
    for timestep in fresh.timesteps:  # a perfect prediction leads from noise to the picture
        level = base.path.levels(timestep.expand(3))
        moved = fresh.step(base.path.target(clean, noise, level), timestep, moved).prev_sample
    torch.testing.assert_close(moved, clean, atol=1e-5, rtol=1e-5)


def test_text_is_what_the_pipeline_hears(base):
    cond = conditions(base, [PROMPT, ""])
    heard = base.pipeline().encode_prompt(PROMPT, None, None, device="cpu", do_classifier_free_guidance=True)
    torch.testing.assert_close(cond.text, torch.cat(heard[:2]), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(cond.pooled, torch.cat(heard[2:]), atol=1e-6, rtol=1e-5)


def test_text_is_what_the_paper_says(base):
    """Both encoders' last states but one side by side, zeros up to the joint width, and zeros where T5 would speak."""
    states, pooled = [], []
    with torch.no_grad():
        for name, tokenizer in base.tokenizers().items():
            asked = tokenizer([PROMPT], padding="max_length", max_length=77, truncation=True, return_tensors="pt")
            heard = base.parts()[name](asked.input_ids, output_hidden_states=True)
            states.append(heard.hidden_states[-2])
            pooled.append(heard.text_embeds)
    cond, clip = conditions(base, [PROMPT]), torch.cat(states, -1)
    assert cond.text.shape == (1, 77 + 256, base.parts()["transformer"].config.joint_attention_dim)
    torch.testing.assert_close(cond.text[:, :77, : clip.shape[-1]], clip)
    assert not cond.text[:, 77:].any() and not cond.text[:, :, clip.shape[-1] :].any()
    torch.testing.assert_close(cond.pooled, torch.cat(pooled, -1))


def test_latents_are_the_ones_that_the_pipeline_decodes(base):
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    vae = base.parts()["vae"]
    with torch.no_grad():
        latents = base.encode_image(pixels)
        again = base.decode(latents)
        raw = vae.encode(pixels).latent_dist.mode()
    torch.testing.assert_close(again, vae.decode(raw).sample, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(latents, (raw - 0.0609) * 3.0)
    _, drawn = watch(base, guidance_scale=1.0)
    chance = torch.Generator().manual_seed(0)
    picture = base.pipeline()(
        PROMPT, num_inference_steps=3, guidance_scale=1.0, generator=chance, output_type="pt"
    ).images
    with torch.no_grad():
        torch.testing.assert_close((base.decode(drawn) / 2 + 0.5).clamp(0, 1), picture, atol=1e-5, rtol=1e-5)


def test_pictures_follow_their_own_seeds_and_guidance(base):
    options = DrawOptions(num_inference_steps=2, batch_size=2)
    first = draw_all(base.pipeline(), [PROMPT, "a dog"], [0, 1], options)
    base.pipeline("image").scheduler.set_timesteps(7)
    assert len(base.pipeline().scheduler.timesteps) == 2
    again = draw_all(base.pipeline(), [PROMPT, "a dog"], [0, 1], options)
    assert [image.tobytes() for image in first] == [image.tobytes() for image in again]
    assert first[0].size == (64, 64) and first[0].tobytes() != first[1].tobytes()
    strong = draw_all(base.pipeline(), [PROMPT], [0], options.model_copy(update={"guidance_scale": 12.0}))
    assert strong[0].tobytes() != first[0].tobytes()


def test_image_and_inpaint_pipelines_run(base):
    picture = draw_all(base.pipeline(), [PROMPT], [0], DrawOptions(num_inference_steps=2))[0]
    settings = {"num_inference_steps": 3, "strength": 0.7, "generator": torch.Generator().manual_seed(0)}
    for kind in ("image", "inpaint"):
        pipeline = base.pipeline(kind)
        pipeline.set_progress_bar_config(disable=True)
        extra = {"mask_image": picture.convert("L")} if kind == "inpaint" else {}
        drawn = pipeline(PROMPT, image=picture, output_type="latent", **extra, **settings).images
        assert base.decode(drawn).shape == (1, 3, 64, 64)
