"""`python -m tests.smartcharging.plant SCENARIO.toml ...`: play scenarios, all that are kept here without arguments.

Prints what every circuit had to bear. Exit status 1 if something was not as the scenario expects.
"""

import sys
from pathlib import Path
from time import perf_counter

import click

from tests.smartcharging.plant.report import borne, play
from tests.smartcharging.plant.scenario import HERE, load


@click.command(help=__doc__)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
def main(paths: tuple[Path, ...]) -> None:
    failed = 0
    for path in paths or sorted(HERE.glob("*.toml")):
        began = perf_counter()
        scenario = load(path)
        unexpected = play(scenario)
        world = scenario.world
        writes = len(world.gateway.log)
        print(
            f"{path.stem}: {scenario.seconds:g} s in {perf_counter() - began:.1f} s, "
            f"{len(world.tree.connectors)} connectors, {world.gateway.decisions} decisions, {writes} writes"
        )
        for one in borne(world):
            print(f"  {one}")
        for line in unexpected:
            print(f"  NOT AS EXPECTED: {line}")
        failed += bool(unexpected)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
