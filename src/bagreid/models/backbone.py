"""timm's models by name, with errors that say what to do."""

from __future__ import annotations

import difflib
from typing import Any

import timm

from bagreid.contracts import BagreidError


def create_backbone(name: str, *, pretrained: bool, **options: Any) -> Any:
    """Builds a timm model without a classifier.

    Args:
        name: Its timm name.
        pretrained: Start from timm's own weights.
        options: Passed on to timm.

    Returns:
        The model; nn.Module's type does not know timm's surface.

    Raises:
        BagreidError: There is no such model, or its weights cannot be had.
    """
    if not timm.is_model(name):
        raise BagreidError(f"timm has no model named '{name}'", remedy=_near(name))
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        # no network, or timm has no weights of this model
        raise BagreidError(
            f"timm's weights of '{name}' cannot be had ({type(error).__name__})",
            remedy="Use --model.no-pretrained, with --pretrained FILE for weights of your own",
        ) from error


def _near(name: str) -> str:
    known = timm.list_models()
    near = [*timm.list_models(f"*{name}*"), *difflib.get_close_matches(name, known, n=5)]
    return f"Near it: {', '.join(near[:5])}" if near else "List them with timm.list_models()"
