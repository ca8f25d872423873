"""A small real archive with its own bag file: set --data.root to where it lies."""

from bagreid.recipes import pets

config = pets()
