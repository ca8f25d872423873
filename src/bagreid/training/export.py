"""A trained network as a file for others: safetensors, with a model card beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from bagreid.files import write_beside
from bagreid.models.weights import WEIGHTS_FORMAT
from bagreid.training.card import CardFacts, card_text
from bagreid.training.durable import write_durably

WEIGHTS = "weights.safetensors"
CARD = "README.md"
_PRIVATE = ("root", "cache", "quarantine")
"""Options of the data that say where somebody's files lie."""


def export_weights(
    network: nn.Module,
    folder: Path,
    *,
    config: dict[str, Any],
    identities: Sequence[int],
    card: CardFacts,
) -> Path:
    """Writes ``weights.safetensors`` and ``README.md``, each complete or not at all.

    The metadata of the weights hold all that is needed to use them: the resolved configuration as
    JSON (without the places of files), the person number of each class, and the step.

    Args:
        network: What to export: the moving average, as a rule.
        folder: Where to; it is made.
        config: The resolved configuration of the run.
        identities: ``C`` person numbers.
        card: What the card says beside these.

    Returns:
        The weight file.

    Raises:
        BagreidError: They cannot be written.
    """
    public = _public(config)
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    metadata = {
        "format": "pt",
        "bagreid": WEIGHTS_FORMAT,
        "config": json.dumps(public),
        "identities": json.dumps(list(map(int, identities))),
        "step": json.dumps(card.step),
    }
    data = safetensors.torch.save(tensors, metadata)
    path = folder / WEIGHTS
    write_durably(path, lambda file: file.write(data), needed=len(data))
    parameters = sum(value.numel() for value in network.parameters())
    text = card_text(card, public, people=len(identities), parameters=parameters)
    with write_beside(folder / CARD, flush=True) as file:
        file.write(text.encode())
    return path


def _public(config: dict[str, Any]) -> dict[str, Any]:
    data = {name: value for name, value in config.get("data", {}).items() if name not in _PRIVATE}
    return config | {"data": data}
