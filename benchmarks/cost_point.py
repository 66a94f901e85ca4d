"""Trains once on the toybox, from photos to the last step, and prints what each stage took: one point of `cost`."""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from ipseity.core.events import Stepped
from ipseity.data.batches import make_batches
from ipseity.data.synthesis import read_set
from ipseity.flows.setting import set_out
from ipseity.flows.synthesize import synthesize_flow
from ipseity.recipe import Recipe, make_recipe, parse, read_text
from ipseity.training.forecast import forecast, peak_gib
from ipseity.training.loop import fit
from ipseity.training.run import Run

SHELF, HELD_OUT = "data-centric", 2


def recipe(scratch: Path, chosen: argparse.Namespace) -> Recipe:
    """Give the shelf's recipe with the point's values, over photos that it lays out.

    Cost does not ask what photos show, so beyond one subject's the next one's follow; those that will be held out come on top.
    """
    photos = scratch / "photos"
    photos.mkdir()
    shipped = Path(str(files("ipseity") / "assets" / "subjects"))
    for number, path in enumerate(sorted(shipped.glob("*/*.jpg"))[: chosen.photos + HELD_OUT]):
        (photos / f"{number:03d}.jpg").write_bytes(path.read_bytes())
    data = parse(read_text(Path(SHELF)), SHELF)
    return make_recipe(
        {
            **data,
            "sets": str(scratch / "sets"),
            "subject": {"photos": str(photos), "class_noun": "backpack"},
            "regularization": {**data["regularization"], "images": chosen.images},
            "data": {"resolution": chosen.resolution},
            "fit": {**data["fit"], "max_train_steps": chosen.steps, "save_every": 10**6},
            "draw": {"num_inference_steps": chosen.inference_steps},
        }
    )


def point(scratch: Path, chosen: argparse.Namespace) -> dict[str, float]:
    """Train and give the seconds of each stage, and the forecast of memory beside the peak."""
    began = time.perf_counter()
    setting = set_out(recipe(scratch, chosen))
    told, base, engine = setting.recipe, setting.base, setting.engine
    assert len(setting.split.train.photos) == chosen.photos, "as many photos train as the point says"
    loaded = time.perf_counter()

    _exhaust(synthesize_flow(setting))
    drawn = time.perf_counter()

    learner = told.method.plugin.begin(base, setting.split.train, {}, told.method.options)
    shown = told.regularization.plugin.gather(read_set(setting.set_folder), told.regularization.options)
    batches = make_batches(base, setting.examples, shown, told.data, cache_text=True, seed=0)
    cached = time.perf_counter()

    expected = forecast(base, learner, told.fit, batch=next(iter(batches.at(0, 1))), draw=told.draw)
    run = Run(scratch / "run")
    with run.open("", {}):
        events = fit(learner, batches, engine, run, told.fit)
        seconds = sum(event.seconds for event in events if isinstance(event, Stepped))
    return {
        "load": loaded - began,
        "set": drawn - loaded,
        "cache": cached - drawn,
        "fit": seconds,
        "forecast_gib": expected.peak_gib,
        "peak_gib": peak_gib(engine.device),
    }


def _exhaust(events: Iterable[object]) -> None:
    for _ in events:
        pass


def main() -> None:
    """Print the point as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("steps", "photos", "images", "resolution", "inference-steps"):
        parser.add_argument(f"--{name}", type=int, required=True)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(point(Path(scratch), parser.parse_args())), flush=True)


if __name__ == "__main__":
    main()
