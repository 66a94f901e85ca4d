"""Trains the two judges of our own: `toy_clip` (text against picture) and `toy_vit` (is it the same individual?).

They see renders of their own seeds and share no weight with the base that they judge.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPModel, CLIPTokenizer, ViTModel

from toybox.train import runs
from toybox.train import sizes as shapes
from toybox.train.latents import token_rows
from toybox.train.optim import Both
from toybox.train.runs import BUILD, Average, Clock
from toybox.train.shards import Shard, facts_of, read_shard, shard_paths, shoot, to_pixels
from toybox.train.sizes import FULL

LEARNING_RATE = 1e-3
MEMBERS_FIRST = {"members": 50_000_000, "unseen members": 60_000_000}
VIEWS = 6
PER_CLASS = 4
ONE_PLACE = 0.7
"""Share of toy_clip's batches that come from two places only, reached at half of the schedule: from nothing, they teach nothing."""


def blemish(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Shifts, blurs, brightens and grains a batch, so that judges do not lean on the renderer's crispness."""
    top, left = (int(rng.integers(0, 17)) for _ in range(2))
    side = pixels.shape[-1]
    pixels = F.pad(pixels, (8, 8, 8, 8), mode="reflect")[..., top : top + side, left : left + side]
    if rng.random() < 0.4:
        small = int(side * rng.uniform(0.4, 0.9))
        pixels = F.interpolate(F.interpolate(pixels, size=small, mode="area"), size=side, mode="bilinear")
    gain = torch.from_numpy(rng.uniform(0.88, 1.12, (len(pixels), 1, 1, 1))).float()
    grain = torch.from_numpy(rng.standard_normal(pixels.shape, dtype=np.float32)) * rng.uniform(0, 0.06)
    return (pixels * gain + grain).clamp(-1, 1)


def contrast(first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Returns CLIP's symmetric loss over a batch of matching rows.

    Source: Radford et al. 2021.
    """
    logits = scale * first @ second.T
    goal = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(logits, goal) + F.cross_entropy(logits.T, goal)) / 2


def same_member_loss(embedded: torch.Tensor, members: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Returns the supervised contrastive loss: views of one member near, all others far.

    Source: Khosla et al. 2020, the form with the sum outside the logarithm.
    """
    logits = embedded @ embedded.T / temperature
    itself = torch.eye(len(embedded), dtype=torch.bool, device=embedded.device)
    logits = logits.masked_fill(itself, -1e4)
    log_share = logits - logits.logsumexp(1, keepdim=True)
    same = (members[:, None] == members[None]) & ~itself
    return -((log_share * same).sum(1) / same.sum(1).clamp(min=1)).mean()


def render_members(name: str, groups: int, build: Path = BUILD) -> list[Path]:
    """Renders `groups` files, each with 4 members of 16 classes in 6 views; made classes come up most often."""
    from toybox.world import classes, describe_member, scene_of
    from toybox.world.makers import MAKERS

    paths = []
    for group in range(groups):
        path = build / "shards" / name / f"{group:05d}.npz"
        paths.append(path)
        if path.exists():
            continue
        first = MEMBERS_FIRST[name] + group * 1000
        rng = np.random.default_rng(first)
        made, every = list(MAKERS), classes()
        nouns = [
            *rng.choice(made, 10, replace=len(made) < 10),
            *rng.choice([c for c in every if c not in made], 6, replace=False),
        ]
        rows, facts = [], []
        for place, noun in enumerate(nouns):
            for one in range(PER_CLASS):
                thing = describe_member(str(noun), first + place * 10 + one)
                for view in range(VIEWS):
                    scene = scene_of(thing, first + place * 60 + one * 10 + view, "fresh")
                    rows.append(shoot(scene, rng)[:2])
                    facts.append(facts_of(scene, rng, captions=0))
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new.npz")
        np.savez(
            fresh,
            images=np.stack([r[0] for r in rows]),
            masks=np.packbits(np.stack([r[1] for r in rows]), axis=-1),
            size_ids=np.zeros((len(rows), 6)),
            facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
        )
        fresh.replace(path)
    return paths


def clip_embed(clip: CLIPModel, pixels: torch.Tensor | None, ids: torch.Tensor | None) -> torch.Tensor:
    """Returns unit rows for pictures or for captions."""
    if pixels is not None:
        made = clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)
    else:
        longest = int((ids != clip.config.text_config.eos_token_id).sum(1).max()) + 1
        made = clip.text_projection(clip.text_model(input_ids=ids[:, :longest]).pooler_output)
    return F.normalize(made.float(), dim=-1)


def vit_embed(vit: ViTModel, pixels: torch.Tensor) -> torch.Tensor:
    """Returns unit rows of the class token."""
    return F.normalize(vit(pixel_values=pixels).last_hidden_state[:, 0].float(), dim=-1)


def worded(clip: CLIPModel, tokenizer: CLIPTokenizer, phrases: list[str]) -> torch.Tensor:
    """Returns unit rows of phrases."""
    return clip_embed(clip, None, token_rows(tokenizer, phrases).long().to(clip.device))


Step = Callable[[np.random.Generator, float], torch.Tensor]
"""Chance and progress in, the loss of a batch out."""


def _clip_step(clip: CLIPModel, tokenizer: CLIPTokenizer, build: Path) -> Step:
    """Returns the function that draws a batch and gives its loss.

    Beside whole captions, pictures are held against the bare words for their class and their colour: that is what prompt
    fidelity is asked for, and captions alone teach it slowly, since the place tells most of them apart.
    """
    from toybox.world import classes, colours

    shards = [read_shard(path) for path in shard_paths("clip", build)]
    images = np.concatenate([s.images for s in shards])
    facts = [f for s in shards for f in s.facts]
    ids = torch.stack([token_rows(tokenizer, f["captions"]) for f in facts])
    where = clip.device
    nouns, hues = classes(), colours()
    places = np.array([f["place"] for f in facts])
    # where two things are in a picture, neither is the class
    noun_of = torch.tensor([-100 if f["second"] or f["class"] not in nouns else nouns.index(f["class"]) for f in facts])
    hue_of = np.array([-1 if f["second"] or f["colour"] not in hues else hues.index(f["colour"]) for f in facts])

    def step(rng: np.random.Generator, progress: float) -> torch.Tensor:
        pool = np.arange(len(images))
        if rng.random() < ONE_PLACE * min(
            1.0, 2 * progress
        ):  # where all stand in the same places, only the things tell captions apart
            pool = np.flatnonzero(np.isin(places, rng.choice(np.unique(places), 2, replace=False)))
        chosen = rng.choice(pool, min(128, len(pool)), replace=False)
        pixels = blemish(to_pixels(images[chosen]), rng).to(where)
        said = ids[torch.from_numpy(chosen), torch.from_numpy(rng.integers(0, ids.shape[1], len(chosen)))].long()
        coloured = np.flatnonzero(hue_of[chosen] >= 0)[:24]
        opening = ("a photo of a", "a", "the", "a picture of a")[rng.integers(4)]
        with runs.autocast(where):
            seen, told = clip_embed(clip, pixels, None), clip_embed(clip, None, said.to(where))
            things = worded(clip, tokenizer, [f"{opening} {noun}" for noun in nouns])
            owned = [f"{opening} {hue} {facts[chosen[i]]['class']}" for i in coloured for hue in hues]
            hued = worded(clip, tokenizer, owned).view(len(coloured), len(hues), -1)
        scale = clip.logit_scale.exp().clamp(max=100)
        loss = contrast(seen, told, scale)
        loss = loss + F.cross_entropy(scale * seen @ things.T, noun_of[chosen].to(where))
        logits = scale * torch.einsum("bd,bhd->bh", seen[coloured], hued)
        return loss + F.cross_entropy(logits, torch.from_numpy(hue_of[chosen[coloured]]).to(where))

    return step


def _vit_step(vit: ViTModel, build: Path) -> Step:
    """Returns the function that draws members by class and gives the loss of their views."""
    groups: list[Shard] = [read_shard(path) for path in shard_paths("members", build)]
    where = vit.device

    def step(rng: np.random.Generator, _: float) -> torch.Tensor:
        shard = groups[rng.integers(len(groups))]
        nouns = rng.choice(len(shard.images) // (PER_CLASS * VIEWS), 6, replace=False)
        views = [
            rng.choice(VIEWS, 4, replace=False) + VIEWS * (n * PER_CLASS + m) for n in nouns for m in range(PER_CLASS)
        ]
        rows = np.concatenate(views)
        pixels = blemish(to_pixels(shard.images[rows]), rng).to(where)
        with runs.autocast(where):
            embedded = vit_embed(vit, pixels)
        return same_member_loss(embedded, torch.from_numpy(rows // VIEWS).to(where))

    return step


def train_judge(name: str, minutes: float, *, build: Path = BUILD) -> None:
    """Trains one judge on the clock; repeated, it goes on from its last checkpoint.

    Args:
        name: `toy_clip` or `toy_vit`.
        minutes: length of the whole schedule.
        build: folder of work products.
    """
    where, path = runs.device(), build / "checkpoints" / f"{name}.pt"
    tokenizer = CLIPTokenizer.from_pretrained(build / "tokenizer")
    torch.manual_seed(3)
    if name == "toy_clip":
        net = shapes.build_toy_clip(FULL, vocab=len(tokenizer)).to(where)
        step_of = _clip_step(net, tokenizer, build)
    else:
        net = shapes.build_toy_vit(FULL).to(where)
        step_of = _vit_step(net, build)
    average, optimizer = Average(net.parameters(), 0.99), Both([net], LEARNING_RATE, decay=0.05)
    kept, step, clock = runs.load_state(path), 0, Clock(minutes * 60, read=runs.small_clock())
    if kept:
        net.load_state_dict(kept["model"])
        optimizer.restore(kept["optimizer"])
        average.kept, step, clock.elapsed = kept["average"], kept["step"], kept["elapsed"]
    clock.start()
    while (progress := clock.tick()) < 1:
        optimizer.set_rate(runs.rate(progress, step, warmup=40, hold=0.3))
        loss = step_of(np.random.default_rng([11, step]), progress)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        average.update(step)
        if step % 25 == 0:
            runs.note(build, name, step=step, progress=progress, loss=loss.item())
        if step % 100 == 0:
            _keep(net, average, optimizer, (step, clock.elapsed, path))
    _keep(net, average, optimizer, (step, clock.elapsed, path))
    runs.save_state({"weights": average.state(net)}, runs.weights_path(build, name))


def _keep(net: torch.nn.Module, average: Average, optimizer: Both, at: tuple[int, float, Path]) -> None:
    step, elapsed, path = at
    runs.save_state(
        {
            "model": net.state_dict(),
            "average": average.kept,
            "optimizer": optimizer.state(),
            "step": step,
            "elapsed": elapsed,
        },
        path,
    )


@torch.no_grad()
def clip_figures(clip: CLIPModel, tokenizer: CLIPTokenizer, build: Path = BUILD) -> dict[str, float]:
    """Scores `toy_clip` on renders it never saw: retrieval among 100, class and colour by words."""
    from toybox.world import classes, colours

    shards = [read_shard(path) for path in shard_paths("unseen", build)]
    images, facts = np.concatenate([s.images for s in shards]), [f for s in shards for f in s.facts]
    seen = torch.cat([clip_embed(clip, chunk, None) for chunk in to_pixels(images).split(64)])
    said = torch.cat(
        [
            clip_embed(clip, None, token_rows(tokenizer, [f["captions"][0] for f in facts[i : i + 64]]).long())
            for i in range(0, len(facts), 64)
        ]
    )
    hits = []
    for start in range(0, len(facts) - 99, 100):
        block = seen[start : start + 100] @ said[start : start + 100].T
        hits += (block.argmax(1) == torch.arange(100)).float().tolist()
    out = {"retrieval_top1_of_100": float(np.mean(hits))}
    for key, words in (("class", classes()), ("colour", colours())):
        prompts = [f"a photo of a {w}" if key == "class" else f"a photo of a {w} thing" for w in words]
        table = clip_embed(clip, None, token_rows(tokenizer, prompts).long())
        rows = [i for i, f in enumerate(facts) if f[key] in words and not f["second"]]
        if key == "colour":
            right = []
            for i in rows:
                own = [f"a photo of a {w} {facts[i]['class']}" for w in words]
                guess = (clip_embed(clip, None, token_rows(tokenizer, own).long()) @ seen[i]).argmax()
                right.append(words[int(guess)] == facts[i][key])
            out["colour_top1"] = float(np.mean(right))
            continue
        guess = (seen[rows] @ table.T).argmax(1).tolist()
        out[f"{key}_top1"] = float(np.mean([words[g] == facts[i][key] for g, i in zip(guess, rows, strict=True)]))
    return out


@torch.no_grad()
def vit_figures(vit: ViTModel, build: Path = BUILD) -> dict[str, float]:
    """Scores `toy_vit` on members never seen: AUC of same member against other member of the class, and recall@1."""
    made: dict[str, list[float]] = {"same": [], "other": [], "hits": []}
    for path in shard_paths("unseen members", build):
        shard = read_shard(path)
        rows = torch.cat([vit_embed(vit, chunk) for chunk in to_pixels(shard.images).split(64)])
        like, gallery = rows @ rows.T, len(rows)
        member = torch.arange(len(rows)) // VIEWS
        noun = np.array([f["class"] for f in shard.facts])
        upper = torch.triu(torch.ones_like(like, dtype=torch.bool), 1)
        same = member[:, None] == member[None]
        alike = torch.from_numpy(noun[:, None] == noun[None])
        # two drawings of one member id (a class with few looks) are the same individual, not a mistake
        ids = np.array([f["member"] for f in shard.facts])
        same = same | torch.from_numpy(ids[:, None] == ids[None])
        made["same"] += like[upper & same].tolist()
        made["other"] += like[upper & alike & ~same].tolist()
        best = like.fill_diagonal_(-2).argmax(1)
        made["hits"] += same[torch.arange(len(rows)), best].float().tolist()
    return {
        "auc_same_class": auc(np.array(made["same"]), np.array(made["other"])),
        "recall_at_1": float(np.mean(made["hits"])),
        "gallery": gallery,
        "same_mean": float(np.mean(made["same"])),
        "other_mean": float(np.mean(made["other"])),
    }


def auc(higher: np.ndarray, lower: np.ndarray) -> float:
    """Returns the chance that a random value of `higher` exceeds one of `lower` (ties count half)."""
    ordered = np.sort(lower)
    wins = np.searchsorted(ordered, higher, "left") + np.searchsorted(ordered, higher, "right")
    return float(wins.mean() / (2 * len(lower)))
