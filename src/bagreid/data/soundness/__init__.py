"""Whether images are whole: each is decoded, in parallel, and what is broken is listed."""

from bagreid.data.soundness.checking import Fault, Soundness, check_images
from bagreid.data.soundness.inspection import Inspector
from bagreid.data.soundness.journal import Journal
from bagreid.data.soundness.sample import choose_sample

__all__ = [
    "Fault",
    "Inspector",
    "Journal",
    "Soundness",
    "check_images",
    "choose_sample",
]
