"""`python -m fraudstream.simulator`: the simulated shop's command line."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from fraudstream.errors import UsageError, told_in_one_line
from fraudstream.settings import load_settings
from fraudstream.simulator.produce.history import produce_history
from fraudstream.simulator.produce.live import produce_live
from fraudstream.simulator.produce.options import ProduceOptions, takes_options, with_options
from fraudstream.simulator.produce.replay import produce_replay
from fraudstream.simulator.shop import build_shop
from fraudstream.simulator.tables import Tables
from fraudstream.static_data.currencies import read_rates
from fraudstream.static_data.publish import StaticDataError, publish
from fraudstream.storage.connect import session

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


def main() -> None:
    """The entry point: an error is one line and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    with told_in_one_line():
        app()


@app.command()
@takes_options
def produce(options: ProduceOptions) -> None:
    """Simulate shoppers: into Kafka, live; or into files, with --out. Or replay what was recorded.

    Examples:
      ./fraudctl produce                                           live, at the rate of the settings, until stopped

      ./fraudctl produce --rate 1000 --duration 60                 a minute, 1,000 events a second

      ./fraudctl produce --start 2026-11-01 --speed 1440           a day a minute, labels too, until it is now

      ./fraudctl produce --duplicate-rate 0.01 --late-rate 0.001   with faults, each told on simulation-truth

      ./fraudctl produce --difficulty 0.3 --difficulty card_testing=0.8

      ./fraudctl produce --without browsing,device                 as a shop that tells neither

      ./fraudctl produce --out history --transactions 1000000      60 days of Parquet files for training

      ./fraudctl produce --replay history --speed 0 --shift-times  a history into Kafka at once, as if it were now

      ./fraudctl produce --replay orders.csv --mapping orders.toml --speed 0 --shift-times
    """
    if options.out and options.recording:
        raise UsageError(f"--out {options.out} and --replay {options.recording} don't go together: choose one")
    if options.mapping and not options.recording:
        raise UsageError(f"--mapping {options.mapping} needs --replay FILE, whose mapping it is")
    settings = load_settings()
    settings = settings.model_copy(update={"producer": with_options(settings.producer, options)})
    if options.out:
        produce_history(settings, options, options.out)
    elif options.recording:
        produce_replay(settings, options, options.recording)
    else:
        produce_live(settings, options)


@app.command()
def static(
    source: Annotated[
        Path | None, typer.Option(help="Folder with customers.parquet and products.parquet; else the simulated shop.")
    ] = None,
) -> None:
    """Publish customers, products and the settings' exchange rates to Postgres, where the stream reads them.

    Examples:
      static                    the simulated shop of the settings

      static --source my-shop   your own shop's files
    """
    settings = load_settings()
    if source:
        customers, products = (_read(source / name) for name in ("customers.parquet", "products.parquet"))
    else:
        defaults = settings.producer
        tables = Tables(build_shop(defaults.seed, defaults.customers, defaults.products), run=0)
        customers, products = tables.customers(), tables.products()
    shop = settings.shop
    rates = read_rates(shop.currency_rates, shop.currency) if shop.currency_rates else None
    with session(settings, settings.postgres.writer, name="static_data") as connection:
        published = publish(connection, customers, products, rates)
    news = "new version" if published.new else "nothing changed since version"
    typer.echo(
        f"{news} {published.version}: {published.customers} customers, {published.products} products, "
        f"{published.currency_rates} exchange rates into {shop.currency}"
    )


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise StaticDataError(f"--source: there is no {path}")
    return pq.read_table(path)


if __name__ == "__main__":
    main()
