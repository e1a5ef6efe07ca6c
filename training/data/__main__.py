"""`python -m training.data`: the data job alone."""

import typer

from common import cli
from training.data.cli import data

if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(data)
    cli.run(app)
