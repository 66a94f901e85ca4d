"""Measures how many scenes a second the world draws: `python -m toybox.world.bench [COUNT]`."""

import sys
import time
from collections.abc import Callable

import numpy as np

from toybox.world import caption, describe, describe_member, render, scene_of
from toybox.world.makers import MAKERS


def rate(work: Callable[[int], object], count: int) -> float:
    """Gives calls a second of processor time.

    Args:
        work: Called with 0 .. count - 1.
        count: How often.

    Returns:
        Calls a second, one core.
    """
    started = time.process_time()
    for index in range(count):
        work(index)
    return count / (time.process_time() - started)


def main(count: int) -> None:
    """Prints the rates of each part.

    Args:
        count: Scenes a part.
    """
    scenes = [describe(seed) for seed in range(2 * count)]
    for scene in scenes[count:]:  # fills the caches of cut-outs and floors, as a long run has them
        render(scene)
    pasted = [scene for scene in scenes[:count] if scene.thing.class_noun not in MAKERS and scene.second is None]
    made = [scene_of(describe_member(noun, seed), seed) for seed in range(4) for noun in MAKERS]
    rng = np.random.default_rng(0)
    rows = {
        "descriptions": rate(describe, count),
        "captions": rate(lambda index: caption(scenes[index], rng), count),
        "all scenes, 128 px": rate(lambda index: render(scenes[index]), count),
        "one cut-out, 128 px": rate(lambda index: render(pasted[index]), len(pasted)),
        "one maker's thing, 128 px": rate(lambda index: render(made[index]), len(made)),
    }
    for name, value in rows.items():
        print(f"{name:28} {value:8.0f} a second and core (processor time)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
