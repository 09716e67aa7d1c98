"""`gateway sketch new`: a sketch folder of one's own, ready for the Arduino IDE."""

import json
from pathlib import Path

import click

NEXT_STEPS = """\
{folder}
  {file}  your tables: a line is a reading, an output or an action
  {library}  the library; leave it as it is

Next:
  1. Open {path} in the Arduino IDE, choose your board and port, and upload.
  2. gateway run --port auto
  3. curl localhost:8080/api/v1/boards/board/readings    (or the name that config.yaml gives it)"""


@click.group
def command() -> None:
    """Start a sketch of your own."""


@command.command
@click.argument("name")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to make the folder; here unless told otherwise.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def new(*, name: str, directory: Path, as_json: bool) -> None:
    """Make the sketch folder NAME, with the library and an example table in it."""
    from gateway.tools.sketch import NameRefused, new_sketch

    try:
        sketch = new_sketch(name, directory=directory)
    except NameRefused as refusal:
        raise click.UsageError(str(refusal)) from None
    if as_json:
        paths = {"folder": sketch.folder, "file": sketch.file, "library": sketch.library}
        click.echo(json.dumps({key: str(path) for key, path in paths.items()}, indent=2))
        return
    inside = [f"{path.relative_to(sketch.folder).as_posix()}" for path in (sketch.file, sketch.library)]
    width = max(map(len, inside))
    file, library = (text.ljust(width) for text in inside)
    click.echo(NEXT_STEPS.format(folder=sketch.folder, file=file, library=library, path=sketch.file))
