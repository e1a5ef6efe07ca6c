"""`python -m training data --config FILE [--set key=value …] [--force]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def data(
    config: Annotated[Path, typer.Option(help="YAML file, for example training/configs/data-demo.yaml")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over the file, for example source=../my-data")
    ] = None,
    force: Annotated[bool, typer.Option(help="Prepare again although nothing changed")] = False,
) -> None:
    """Prepare a data set: read, check, drop duplicates, split, describe."""
    from training.data.config import DataConfig
    from training.data.job import prepare

    settings = DataConfig.from_yaml(config, overrides)
    prepared = prepare(settings, force=force)
    if prepared.reused:
        print(f"{prepared.path} is up to date (--force prepares it again)")
        return
    stages = prepared.stats["stages"]
    print(f"source       {prepared.card.source} (licence: {prepared.card.licence})")
    print(f"read         {stages['rows_read']:,} rows")
    for reason, count in stages["quarantined"].items():
        print(f"  quarantine {count:,} {reason} (see {prepared.path / 'quarantine.jsonl'})")
    print(
        f"dropped      {stages['exact_duplicates']:,} exact and {stages['near_duplicates']:,} near duplicates"
    )
    print(f"dropped      {stages['leaked']:,} rows whose input is in a held-out split")
    for name, split in prepared.stats["splits"].items():
        references = split["references_per_input"]
        mean = f", {references['mean']} references per input" if references["n"] else ""
        print(f"{name:<12} {split['rows']:,} rows, {split['distinct_inputs']:,} inputs{mean}")
    print(f"digest       {prepared.card.digest}")
    peak = prepared.stats["peak_private_memory_bytes"] / 2**20
    seconds = prepared.stats["seconds"]
    print(f"written      {prepared.path} in {seconds:.1f} s, peak private memory {peak:,.0f} MiB")
