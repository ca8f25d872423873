"""bagreid: weakly supervised person re-identification from bag labels."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bagreid")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
