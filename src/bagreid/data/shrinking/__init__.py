"""The release's own downsampling: an archive written again with smaller images, tar to tar."""

from bagreid.data.shrinking.archive import ShrinkSummary, shrink_archive
from bagreid.data.shrinking.config import ShrinkConfig
from bagreid.data.shrinking.tally import Tally

__all__ = ["ShrinkConfig", "ShrinkSummary", "Tally", "shrink_archive"]
