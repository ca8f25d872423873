"""Opening an archive by many processes."""

from __future__ import annotations

from pathlib import Path

from bagreid.catalog import BagSimulation, Catalog, open_catalog
from bagreid.world import World, of_main, on_all


def open_together(
    root: Path,
    cache: Path | None,
    world: World,
    *,
    test: bool = False,
    simulation: BagSimulation = BagSimulation(),  # noqa: B008 - frozen
) -> Catalog:
    """Opens an archive; the first process builds the catalog where it must be built.

    Args:
        root: The archive.
        cache: Folder for catalogs.
        world: Who computes with whom.
        test: Whether there must be something to test on.
        simulation: How bags are made of a strongly labelled set.

    Returns:
        The catalog.

    Raises:
        BagreidError: The archive cannot be read, or there is nothing to test on.
    """

    def look() -> None:
        catalog = open_catalog(root, cache=cache, simulation=simulation)
        if test:
            catalog.check_test_protocol()

    of_main(world, look)
    return on_all(world, lambda: open_catalog(root, cache=cache, simulation=simulation))
