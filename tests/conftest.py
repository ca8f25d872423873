"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A test's verdict must not depend on how busy the machine is.
settings.register_profile("bagreid", deadline=None)
settings.load_profile("bagreid")
