"""Real places: their geometry, light and shadows; the prompts' places; counts and further styles."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from toybox.world import caption, classes, places, scene_of
from toybox.world.description import Light, Pose, Thing, Where
from toybox.world.panoramas import counts, light, prompts, store
from toybox.world.panoramas.compose import compose
from toybox.world.panoramas.convert import cleaned, shrunk
from toybox.world.panoramas.more_styles import MORE_STYLES
from toybox.world.panoramas.projection import Camera, grained, rays, view
from toybox.world.panoramas.registry import BY_NAME, PLACES, called, light_of, relit, shot_of
from toybox.world.panoramas.shadows import Ink, cast, fall
from toybox.world.panoramas.site import paint
from toybox.world.panoramas.sites import SITES
from toybox.world.panoramas.store import FOLDER, LIGHTS, Panorama, emitted, exposed, names, panorama, shown
from toybox.world.places import PLACES as PAINTED
from toybox.world.places import indoors, landscapes, surfaces, towns
from toybox.world.places.brushes import Canvas
from toybox.world.styles import STYLES

DREAMBENCH = Path(__file__).parents[3] / "shared" / "dreambench" / "prompts_and_classes.txt"
APPLE = Thing("apple", "", "1f34e", "red")


def _globe() -> Panorama:
    """A panorama whose red says the direction and whose green says the height."""
    rows, columns = np.mgrid[:256, :512]
    pixels = np.stack([columns // 2, rows, np.zeros_like(rows)], -1).astype(np.uint8)
    padded = np.concatenate([pixels, pixels[..., :1]], -1)
    packed = np.ascontiguousarray(padded).view(np.uint32)[..., 0]
    return Panorama("globe", pixels, packed, np.ones((32, 64, 3), np.float32))


@pytest.mark.parametrize("yaw", [-170.0, -90.0, 0.0, 45.0, 179.0])
@pytest.mark.parametrize("pitch", [-40.0, 0.0, 30.0])
def test_the_middle_of_a_view_is_where_the_camera_looks(yaw: float, pitch: float) -> None:
    middle = np.asarray(view(_globe(), Camera(yaw, pitch, 30), 65))[32, 32].astype(float)
    assert abs((middle[0] - (yaw / 360 + 0.5) * 256 + 128) % 256 - 128) <= 1.5
    assert abs(middle[1] - (0.5 - pitch / 180) * 256) <= 1.5


def test_a_view_spans_its_field_and_does_not_see_the_seam() -> None:
    row = np.asarray(view(_globe(), Camera(0, 0, 90), 256))[128, :, 0].astype(float)
    assert abs((row[-1] - row[0]) / 256 * 360 - 90) < 3
    assert (np.diff(row) >= -1).all(), "to the right is to the right"
    seam = np.asarray(view(panorama("park"), Camera(180, 0, 60), 128)).astype(int)
    steps = np.abs(np.diff(seam[20:50], axis=1)).mean((0, 2))
    assert steps[60:68].max() < 4 * steps.mean() + 4


def test_the_horizon_is_where_the_rays_are_level() -> None:
    camera = Camera(20, -12, 70)
    _, up, _ = rays(camera, 400)
    assert abs(int((up[:, 0] > 0).sum()) / 400 - camera.horizon) < 0.005
    with pytest.raises(ValueError, match="1 to 150 is needed"):
        view(_globe(), Camera(0, 0, 170), 8)


def test_tone_curve_turns_back_and_exposure_brightens() -> None:
    levels = np.linspace(0, 0.97, 50, dtype=np.float32)
    assert np.abs(shown(emitted(levels)) - levels).max() < 0.004
    pixels = np.full((2, 2, 3), 90, np.uint8)
    assert exposed(pixels, 0.0) is pixels
    assert (exposed(pixels, 1.0) > 110).all() and (exposed(pixels, -1.0) < 70).all()
    assert exposed(pixels, 0.0, (1.2, 1.0, 0.8))[0, 0].argmax() == 0


def test_grain_keeps_the_sky_and_the_mean_of_the_ground() -> None:
    plain, camera = Image.new("RGB", (96, 96), (120, 130, 90)), Camera(10, -15, 70)
    tile = np.where(np.indices((32, 32)).sum(0)[..., None] % 2, 255, 60).astype(np.uint8).repeat(3, -1)
    out = np.asarray(grained(plain, camera, tile, scale=0.3, strength=0.6)).astype(float)
    assert (out[: round(camera.horizon * 96)] == (120, 130, 90)).all()
    assert out[80:].std() > 10 and abs(out[80:].mean() - np.mean((120, 130, 90))) < 8


def test_the_store_is_whole_small_and_free() -> None:
    assert len(names()) == 18 == len(SITES) and {site.source for site in SITES} == set(names())
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 5e6
    assert "CC0 1.0 Universal" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    with np.load(FOLDER / LIGHTS) as lights:
        assert set(lights.files) == set(names())
        assert all(np.isfinite(lights[name]).all() and lights[name].min() >= 0 for name in lights.files)
    assert panorama("city").pixels.shape == (512, 1024, 3) and not panorama("city").pixels.flags.writeable
    with pytest.raises(FileNotFoundError, match="restore toybox/assets/panoramas"):
        panorama("atlantis")


def test_the_converter_closes_rings_and_keeps_all_light() -> None:
    sky = np.full((64, 128, 3), 0.5, np.float32)
    sky[30:35, 60:65] = -0.1
    sky[32, 62] = (0, 0, 400)
    clean = cleaned(sky)
    assert clean.min() >= 0.5 and clean[32, 62].min() > 300, "the sun is white again and its ring is gone"
    assert shrunk(sky).shape == (32, 64, 3)
    assert np.allclose(shrunk(clean).astype(float).mean(), clean.mean(), rtol=0.01)


def test_the_light_of_a_place_turns_with_the_camera() -> None:
    sun = light.main_light("park", Camera(36))
    assert abs(abs(sun.azimuth) - 180) < 12, "the meadow's sun stands at yaw 36: straight ahead it shines from behind"
    assert light.main_light("park", Camera(36 + 90)).azimuth == pytest.approx(-90, abs=12), "turned right, it is left"
    assert abs(light.main_light("park", Camera(36 + 180)).azimuth) < 12
    assert light.main_light("park", Camera(216)).strength > light.main_light("park", Camera(36)).strength
    assert light.beam("park").hardness > 3 * light.beam("city").hardness, "sun is harder than an overcast sky"


def test_received_light_is_that_of_a_known_sky(monkeypatch: pytest.MonkeyPatch) -> None:
    half = np.zeros((32, 64, 3), np.float32)
    half[:16] = 1
    monkeypatch.setattr(light, "panorama", lambda name: Panorama(name, *_blank(), half))
    light._harmonics.cache_clear()
    normals = np.array([[0, 1, 0], [0, 0, 1], [0, -1, 0]])
    assert np.allclose(light.received("dome", normals)[:, 0], (1, 0.5, 0), atol=0.07)
    light._harmonics.cache_clear()


def _blank() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((2, 4, 3), np.uint8), np.zeros((2, 4), np.uint32)


def test_a_cutout_is_bright_where_the_light_comes_from() -> None:
    disc = Image.new("RGBA", (80, 80))
    rows, columns = np.mgrid[:80, :80]
    inside = (rows - 40) ** 2 + (columns - 40) ** 2 < 38**2
    disc = Image.fromarray(np.where(inside[..., None], (128, 128, 128, 255), 0).astype(np.uint8), "RGBA")
    for yaw, brighter in ((36 + 90, "left"), (36 - 90, "right")):
        lit = np.asarray(light.relit(disc, "park", Camera(yaw)))[..., 0].astype(float)
        left, right = lit[36:44, 6:14].mean(), lit[36:44, 66:74].mean()
        assert (left > 1.08 * right) if brighter == "left" else (right > 1.08 * left)
    assert light.cushion(disc.getchannel("A"))[24, 24] == pytest.approx((0, 0, -1), abs=0.03)


def test_shadows_fall_away_from_the_light() -> None:
    assert fall(Light(-60, 40, 1))[0] > 0 > fall(Light(60, 40, 1))[0]
    assert fall(Light(0, 40, 1))[1] < 0 < fall(Light(180, 40, 1))[1]
    ground, post = Image.new("RGB", (120, 120), (200, 200, 200)), Image.new("L", (10, 40), 255)
    cast(ground, post, (55, 40), light=Light(-60, 40, 1), ink=Ink((0, 0, 0), 1.0))
    dark = np.argwhere(np.asarray(ground)[..., 0] < 150)
    assert dark.size and dark[:, 1].mean() > 62, "light from the left throws it to the right"
    soft = Image.new("RGB", (120, 120), (200, 200, 200))
    cast(soft, post, (55, 40), light=Light(-60, 40, 1), ink=Ink((0, 0, 0), 0.0))
    assert np.asarray(soft).min() > np.asarray(ground).min() + 40


def test_every_place_paints_the_view_it_says() -> None:
    assert len(PLACES) == len(BY_NAME) == len(SITES) + 22
    painted = landscapes.PLACES + towns.PLACES + surfaces.PLACES + indoors.PLACES
    assert not set(BY_NAME) & {place.name for place in painted}, "names of real places are their own"
    for place in PLACES:
        canvas, again = (Canvas(48, np.random.default_rng([5, 11])) for _ in range(2))
        place.paint(canvas)
        place.paint(again)
        assert canvas.image.size == (48, 48) and canvas.image.mode == "RGB"
        assert np.array_equal(np.asarray(canvas.image), np.asarray(again.image))
        assert np.asarray(canvas.image).std() > 8, place.name
        assert len(place.phrases) >= 2 and place.tag and 0.5 < place.feet[0] <= place.feet[1] < 1
        assert min(place.tint) > 0.9 and max(place.tint) < 1.1 and 0.7 <= place.dim <= 1.03
        camera = shot_of(place.name, 5).camera
        assert camera.horizon < place.feet[0] - 0.12, "things stand on the ground, not in the sky"


def test_shots_stay_in_the_arcs_that_can_be_stood_on() -> None:
    for site in SITES:
        for seed in range(30):
            camera = shot_of(site.name, seed).camera
            assert any(first <= camera.yaw <= last for first, last in site.arcs)
            assert -70 <= light_of(site.name, seed).azimuth <= 70


def test_composed_pictures_have_true_masks() -> None:
    poses = (Pose(0.32, 0.86, 0.3), Pose(0.7, 0.88, 0.3))
    drawn = compose(APPLE, poses, "meadow", seed=3, size=96)
    assert drawn.image.shape == (96, 96, 3) and drawn.masks.shape == (2, 96, 96)
    bare = Canvas(192, np.random.default_rng([3, 11]))
    paint(BY_NAME["meadow"], bare)
    behind = np.asarray(bare.image.resize((96, 96), Image.Resampling.BOX)).astype(int)
    changed = np.abs(drawn.image.astype(int) - behind).max(-1)
    for mask, x in zip(drawn.masks, (0.32, 0.7), strict=True):
        assert abs(np.argwhere(mask)[:, 1].mean() / 96 - x) < 0.03
        red = drawn.image[mask > 0].mean(0)
        assert red[0] > 1.6 * red[1:].max(), "a red apple stays red in this light"
    assert (changed[drawn.masks.max(0) > 0] > 12).mean() > 0.95
    assert (changed[:30] == 0).all(), "nothing but the things and their shadows was touched"


def test_relit_by_name_and_seed_follows_the_shot() -> None:
    patch = Image.new("RGBA", (40, 40), (120, 120, 120, 255))
    there = light.relit(patch, "sunrise", shot_of("field at sunrise", 4).camera)
    assert np.array_equal(np.asarray(relit(patch, "field at sunrise", 4)), np.asarray(there))


def test_every_scene_tail_is_the_first_wording_of_a_painted_and_of_a_real_place() -> None:
    known = PAINTED | {place.name: place for place in PLACES}
    for tail, found in prompts.SCENES.items():
        assert len(found) == 2 and found[0] in PAINTED and found[1] in BY_NAME
        assert all(known[name].phrases[0] == tail for name in found), tail
        assert called(found[1]) == called(found[0]) == found[0]
    assert called("meadow") == "meadow"


def test_places_with_equal_words_are_called_alike() -> None:
    said: dict[str, str] = {}
    for place in (*PAINTED.values(), *PLACES):
        for wording in (*place.phrases, place.tag):
            assert said.setdefault(wording, called(place.name)) == called(place.name), wording


def test_every_prompt_of_dreambench_is_in_the_tables() -> None:
    if not DREAMBENCH.is_file():
        pytest.skip("the prompts of DreamBench are not beside the checkout")
    lines = [line.split("'")[1] for line in DREAMBENCH.read_text(encoding="utf-8").splitlines() if ".format(" in line]
    tails = [prompts.tail_of(line) for line in lines]
    assert len(tails) == 50
    assert {tail for tail in tails if prompts.places_of(tail)} == set(prompts.SCENES)
    assert set(tails) == set(prompts.SCENES) | set(prompts.PROPERTIES) | set(prompts.WORN)


def test_unknown_prompts_are_refused() -> None:
    assert prompts.tail_of("a cube shaped {0} {1}") == "cube shaped"
    with pytest.raises(ValueError, match="has no subject"):
        prompts.tail_of("a dog in the snow")
    with pytest.raises(KeyError, match="add it to SCENES"):
        prompts.places_of("on the moon")


@pytest.mark.parametrize("count", [2, 3, 4])
def test_as_many_things_as_are_said(count: int) -> None:
    rng = np.random.default_rng(count)
    for drawing in ("1f34e", "1f427"):
        thing = Thing("apple", "", drawing, None)
        poses = counts.row(thing, count, (0.84, 0.9), rng)
        drawn = compose(thing, poses, "warehouse", seed=count, size=128)
        assert ndimage.label(drawn.masks.max(0))[1] == count
        areas = (drawn.masks > 0).sum((1, 2))
        assert areas.min() > 0.8 * areas.max() > 100
        assert not drawn.masks.max(0)[:, [0, -1]].any(), "none is cut off"


def test_counts_are_worded_in_the_plural() -> None:
    rng = np.random.default_rng(0)
    assert counts.phrase(APPLE, 3, rng) == "three red apples"
    said = {noun: counts.plural(noun) for noun in classes()}
    assert said["bus"] == "buses" and said["strawberry"] == "strawberries" and said["sheep"] == "sheep"
    assert said["monkey"] == "monkeys" and said["stuffed animal"] == "stuffed animals" and said["fox"] == "foxes"
    with pytest.raises(ValueError, match="2, 3, 4 is needed"):
        counts.phrase(APPLE, 5, rng)
    with pytest.raises(ValueError, match="not counted"):
        counts.row(Thing("glasses", "", "1f453", None), 2, (0.8, 0.9), rng)


def test_further_styles_do_what_they_are_called() -> None:
    drawn = compose(APPLE, (Pose(0.5, 0.86, 0.5),), "meadow", seed=1, size=128)
    photo = Image.fromarray(drawn.image)
    made = {name: np.asarray(style.apply(photo, np.random.default_rng(1))) for name, style in MORE_STYLES.items()}
    assert not set(MORE_STYLES) & set(STYLES)
    assert all(out.shape == drawn.image.shape and out.dtype == np.uint8 for out in made.values())
    brown = made["sepia"].reshape(-1, 3).astype(int)
    assert (brown[:, 0] >= brown[:, 1]).all() and (brown[:, 1] >= brown[:, 2]).all()
    assert _flatness(made["comic"]) > 2 * _flatness(drawn.image)
    again = MORE_STYLES["oil painting"].apply(photo, np.random.default_rng(1))
    assert np.array_equal(np.asarray(again), made["oil painting"])
    edge = np.asarray(Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 64, 0).repeat(32, 1)).convert("RGB"))
    kept = np.asarray(MORE_STYLES["oil painting"].apply(Image.fromarray(edge), np.random.default_rng(0)))[..., 0]
    assert kept[32, :30].max() < 40 and kept[32, 34:].min() > 215, "strokes do not wash over an edge"


def _flatness(pixels: np.ndarray) -> float:
    """Share of neighbors that are exactly alike."""
    return float((np.diff(pixels.astype(int), axis=1) == 0).all(-1).mean())


def test_the_world_can_word_a_real_place(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_of(APPLE, 1)
    monkeypatch.setitem(PAINTED, "meadow", next(place for place in PLACES if place.name == "meadow"))
    there = type(scene)(**{**vars(scene), "place": Where("meadow", 3)})
    assert "meadow" in caption(there, np.random.default_rng(0), "short")
    assert "meadow" in places() and store.names()
