"""Reading strongly labelled sets: who is on an image and who took it, from names and lists."""

from bagreid.catalog.labelled.reading import LabelledFiles, read_labelled

__all__ = ["LabelledFiles", "read_labelled"]
