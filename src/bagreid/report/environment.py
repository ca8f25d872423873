"""The templates of all pages."""

from __future__ import annotations

import jinja2

from bagreid import __version__
from bagreid.report.palette import DARK, LIGHT


def page_environment() -> jinja2.Environment:
    """Templates that escape what they are given, and know the palette and the version."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bagreid.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(light=LIGHT, dark=DARK, version=__version__)
    return environment
