"""``python -m bagreid``, which is what torchrun starts."""

from bagreid.cli.main import entry_point

entry_point()
