"""The command line: a verb parses, calls one flow and shows its events. No logic lives here."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ipseity.surfaces.edge import run as _run
from ipseity.surfaces.edge import tell as _say
from ipseity.surfaces.flags import FIRST, RECIPES, Debug, Dry, Json, Seed, Settings
from ipseity.surfaces.keeping import register
from ipseity.surfaces.portraying import portrait

app = typer.Typer(
    name="ipseity",
    help="Make diffusion models draw one particular subject, faithfully, anywhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipePath = Annotated[Path, typer.Argument(help="A TOML file, or a name from `ipseity list recipes`.")]
RunPath = Annotated[Path, typer.Argument(help="A run folder.")]


@app.command(rich_help_panel=FIRST)
def tour(
    out: Annotated[Path, typer.Option(help="Where the run folder is made.")] = Path("runs"),
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """See the whole story on the built-in base: photos, training, pictures, scores, one report."""
    from ipseity import api

    _run(
        lambda: api.tour(out=out, settings=settings or ()),
        recipe=lambda: api.tour_recipe(out, settings or ()),
        as_json=as_json,
        debug=debug,
    )


@app.command(rich_help_panel=FIRST)
def personalize(
    photos: Annotated[Path, typer.Argument(help="A folder with 1-6 (or more) photos of the subject.")],
    class_noun: Annotated[str, typer.Option("--class", help="What it is, as one would say it: backpack, dog, mug.")],
    token: Annotated[str | None, typer.Option(help="The rare word that will stand for it in prompts.")] = None,
    base: Annotated[str, typer.Option(help="toybox, sdxl, sd15 or sd3.")] = "toybox",
    weights: Annotated[
        str | None, typer.Option(help="Hub id, diffusers folder or .safetensors file of the base.")
    ] = None,
    quality: Annotated[
        str, typer.Option(help="quick, standard or thorough: steps and regularization pictures.")
    ] = "standard",
    seed: Seed = None,
    consent: Annotated[
        str | None, typer.Option(help="Of a person: who agreed to it, when and to what; travels with the identity.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the run folder is made.")] = Path("runs"),
    settings: Settings = None,
    dry_run: Dry = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn photos into a checked identity: doctor, set, training, scores and report in one."""
    from ipseity import api

    wish = api.PersonalizeWish(
        photos,
        class_noun,
        token=token,
        base=base,
        weights=weights,
        quality=quality,
        seed=seed,
        out=out,
        consent=consent,
    )
    _run(
        lambda: api.personalize(wish, settings=settings or (), dry_run=dry_run),
        recipe=None if dry_run else lambda: api.derive(wish, settings or ())[0],
        as_json=as_json,
        debug=debug,
    )


app.command(rich_help_panel=FIRST)(portrait)


@app.command(rich_help_panel=FIRST)
def doctor(
    photos: Annotated[
        Path | None, typer.Argument(help="A folder of photos; without it the machine is looked at.")
    ] = None,
    base: Annotated[str, typer.Option(help="The base whose size the photos are held against.")] = "toybox",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what is wrong with this machine, or with these photos, and how to mend it. Changes nothing."""
    from ipseity import api

    _run(lambda: api.doctor(photos, base=base), as_json=as_json, debug=debug)


@app.command("list", rich_help_panel=FIRST)
def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="bases, methods, regularizations, captions, metrics, encoders, engines, recipes, licences or runs."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where runs are looked for.")] = Path("runs"),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what is in the house."""
    from ipseity import api

    _say(lambda: api.inventory(what, runs=out), as_json=as_json, debug=debug)


@app.command(rich_help_panel=FIRST)
def bench(
    what: Annotated[str, typer.Argument(help="Which benchmark: toybox (the shipped subjects) or dreambench.")],
    data: Annotated[
        Path | None, typer.Option(help="dreambench: a copy of the data set, with its prompts_and_classes.txt.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="held-out (compared with a photo that training has not seen), original (all photos) or single-image."
        ),
    ] = "held-out",
    run: Annotated[
        list[Path] | None, typer.Option(help="A finished run, an identity file, or a folder of them; may be repeated.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Train each subject first by this recipe (data-centric), where neither --run nor --images is given."
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Pictures made elsewhere: SUBJECT/PROMPT-INDEX/*.png, counted from 0.")
    ] = None,
    subjects: Annotated[list[str] | None, typer.Option(help="Only these, with commas: dog,cat.")] = None,
    prompts: Annotated[str | None, typer.Option(help="Only these places of the list, from 0: 0-9,20-24.")] = None,
    images_per_prompt: Annotated[int, typer.Option(min=1, max=1000, help="Pictures a prompt.")] = 4,
    seed: Seed = None,
    out: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path("bench"),
    evaluator: Annotated[
        list[str] | None, typer.Option(help="Score with this one instead of those at hand; may be repeated.")
    ] = None,
    dino: Annotated[
        str | None, typer.Option(help="Score with DINO too: folder or Hub id (facebook/dino-vits16).")
    ] = None,
    clip: Annotated[
        str | None, typer.Option(help="Score with CLIP too: folder or Hub id (openai/clip-vit-base-patch32).")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a Hub id, accepting its licence.")] = False,
    split: Annotated[
        str | None, typer.Option(help="toybox: development (to choose recipes by), reporting, or all (as without it).")
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a benchmark: subjects x prompts x pictures, one table. The same command goes on."""
    from ipseity import api

    names = tuple(name.strip() for part in subjects or () for name in part.split(",") if name.strip())
    said = (
        protocol, tuple(run or ()), recipe, images, names, prompts, images_per_prompt, seed, out,
        tuple(evaluator or ()), dino, clip, download, tuple(settings or ()), split,
    )  # fmt: skip
    _run(
        lambda: api.bench(what, api.BenchWish(api.bench_data(what, data), *said)),
        as_json=as_json,
        debug=debug,
    )


@app.command(rich_help_panel=RECIPES)
def new(
    path: Annotated[Path, typer.Argument(help="The TOML file to write.")],
    source: Annotated[str, typer.Option("--from", help="A recipe from `ipseity list recipes`.")] = "data-centric",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a commented copy of a recipe from the shelf, to be edited."""
    from ipseity import api

    _run(lambda: api.new_recipe(path, source), as_json=as_json, debug=debug)


@app.command(rich_help_panel=RECIPES)
def phrases(
    class_noun: Annotated[str, typer.Argument(help="What the subject is, as one would say it.")],
    model: Annotated[
        str, typer.Option(help="Name of the model at the endpoint; without --endpoint, a local folder or .gguf file.")
    ],
    endpoint: Annotated[
        str | None, typer.Option(help="Base URL of an OpenAI-compatible server: http://127.0.0.1:11434/v1.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Name of the environment variable that holds the key.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the bank, with the answers beside it.")] = Path("phrases"),
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Ask a language model for a class's phrases and write them as a bank. The same command goes on."""
    from ipseity import api

    given = {"model": model, "endpoint": endpoint, "api_key_env": api_key_env}
    told = {key: value for key, value in given.items() if value is not None}
    _run(lambda: api.phrases(class_noun, out=out, given=told, settings=settings or ()), as_json=as_json, debug=debug)


@app.command(rich_help_panel=RECIPES)
def synthesize(
    recipe: RecipePath,
    show: Annotated[bool, typer.Option("--show", help="Print the prompts and draw nothing.")] = False,
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the regularization set of a recipe."""
    from ipseity import api

    if show:
        _say(lambda: api.show_requests(recipe, settings or ()), as_json=as_json, debug=debug)
    else:
        _run(lambda: api.synthesize_recipe(recipe, settings or ()), as_json=as_json, debug=debug)


@app.command(rich_help_panel=RECIPES)
def captions(recipe: RecipePath, settings: Settings = None, as_json: Json = False, debug: Debug = False) -> None:
    """Write the captions of a recipe's photos into metadata.jsonl beside them, to read and edit before training."""
    from ipseity import api

    _run(lambda: api.write_captions(recipe, settings or ()), as_json=as_json, debug=debug)


@app.command(rich_help_panel=RECIPES)
def train(
    recipe: RecipePath,
    folder: Annotated[
        Path | None, typer.Option("--run", help="Run folder; by default found or named from the recipe.")
    ] = None,
    settings: Settings = None,
    dry_run: Dry = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train as a recipe says. The same command goes on where it was interrupted."""
    from ipseity import api

    _run(
        lambda: api.train_recipe(recipe, settings or (), folder=folder, dry_run=dry_run),
        recipe=None if dry_run else lambda: api.read_recipe(recipe, settings or ()),
        as_json=as_json,
        debug=debug,
    )


@app.command(rich_help_panel=RECIPES)
def generate(
    run: RunPath,
    prompts: Annotated[list[str], typer.Argument(help="What to draw; holds the token.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Pictures a prompt.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the first picture.")] = 0,
    scale: Annotated[float, typer.Option(min=0, help="Strength of the identity.")] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Where the pictures go; by default RUN/generated.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw a learned subject in new scenes."""
    from ipseity import api

    _run(
        lambda: api.generate_run(run, prompts, count=count, seed=seed, scale=scale, out=out),
        as_json=as_json,
        debug=debug,
    )


@app.command(rich_help_panel=RECIPES)
def evaluate(
    run: RunPath,
    paraphrases: Annotated[
        bool, typer.Option("--paraphrases", help="Score the same scenes in other words too, at the same seeds.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a run with the evaluators that did not pick it, and write its report."""
    from ipseity import api

    _run(lambda: api.evaluate_run(run, paraphrases=paraphrases), as_json=as_json, debug=debug)


@app.command(rich_help_panel=RECIPES)
def export(
    run: RunPath,
    to: Annotated[str, typer.Option("--to", help="diffusers or kohya.")] = "diffusers",
    out: Annotated[Path | None, typer.Option(help="Where the files go; by default RUN/export.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a run's identity as other programs read it."""
    from ipseity import api

    _run(lambda: api.export_run(run, to, out=out), as_json=as_json, debug=debug)


register(app)


def _version(wanted: bool) -> None:
    if wanted:
        from ipseity import __version__

        typer.echo(f"ipseity {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


QUIET = ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"), ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE")


def main() -> None:
    """Run the command line."""
    levels, switches = QUIET  # the libraries' chatter would tear the bars; the user's own settings win
    for name in levels:
        os.environ.setdefault(name, "error")
    for name in switches:
        os.environ.setdefault(name, "1")
    app(args=sys.argv[1:])


if __name__ == "__main__":
    main()
