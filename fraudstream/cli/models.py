"""The commands of `./fraudctl` that make data, and models of it: each becomes a program of the Spark environment."""

import typer

from fraudstream.cli.shell import PASS_THROUGH, spark_python

app = typer.Typer()


@app.command(context_settings=PASS_THROUGH)
def produce(context: typer.Context) -> None:
    """Simulate the shop: into Kafka, or into files with --out. Arguments go to the simulator (--help lists them).

    Example: ./fraudctl produce --out history --transactions 100000
    """
    spark_python("-m", "fraudstream.simulator", "produce", *context.args)


@app.command(context_settings=PASS_THROUGH)
def history(context: typer.Context) -> None:
    """Begin with a past, or give everything back as files: import, export. Arguments go to it (--help lists them).

    Examples:
      ./fraudctl history import history

      ./fraudctl history export /exports/fraudstream
    """
    spark_python("-m", "model.past", *context.args)


@app.command(context_settings=PASS_THROUGH)
def mapping(context: typer.Context) -> None:
    """Check or suggest a mapping of a shop's own messages and files. Arguments go to it (--help lists them).

    Example: ./fraudctl mapping check orders.toml --sample orders.csv
    """
    spark_python("-m", "fraudstream.mappings", *context.args)


@app.command(context_settings=PASS_THROUGH)
def train(context: typer.Context) -> None:
    """Train a model on a history that `produce --out` wrote. Arguments go to the training (--help lists them).

    Example: ./fraudctl train --history history --out model
    """
    spark_python("-m", "model.training.train", *context.args)


@app.command(context_settings=PASS_THROUGH)
def evaluate(context: typer.Context) -> None:
    """Train and test on your own labelled history, as time would have gone. Arguments go to it (--help lists them).

    Example: ./fraudctl evaluate --transactions history.csv --json
    """
    spark_python("-m", "model.evaluate", *context.args)


@app.command(context_settings=PASS_THROUGH)
def models(context: typer.Context) -> None:
    """List, register, promote or archive models. Arguments go to the registry (--help lists them).

    Example: ./fraudctl models list
    """
    spark_python("-m", "model.serving.registry_cli", *context.args)
