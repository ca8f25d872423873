"""Archives behind a URL: small files are copied into the cache, of tars only the address is."""

from bagreid.catalog.remote.mirror import local_root, source_of
from bagreid.catalog.remote.urls import url_of

__all__ = ["local_root", "source_of", "url_of"]
