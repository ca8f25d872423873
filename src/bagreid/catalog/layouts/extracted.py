"""Images as extracted files, below `sysu_train_set_all/` and `sysu_test_set_all/`."""

from __future__ import annotations

from pathlib import Path

LOOKED_FOR = "sysu_train_set_all/, sysu_test_set_all/"


def find(base: Path) -> list[Path]:
    """Finds the folders of images of an archive that begins at `base`.

    Args:
        base: A folder.

    Returns:
        Folders called `sysu_train_set_all` or `sysu_test_set_all`: at `base`, or where the tars
        were extracted beside themselves.
    """
    places = [
        folder / name
        for name, side in (("sysu_train_set_all", "train"), ("sysu_test_set_all", "test"))
        for folder in (base, base / side)
    ]
    return [path for path in places if path.is_dir()]
