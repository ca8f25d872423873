"""Reading of weight files, and the exact account of what was and was not loaded.

Known forms, told apart by their keys (no pickled code is ever run: ``weights_only=True``):

- ours: a checkpoint of `bagreid train`, or its exported weights;
- the released ResNet-50 (``net_6.pth``, ``pretrained_model.pth``): ``model.*`` under torchvision's
  names, ``classifier.classifier.0.*``, saved from DataParallel, so with ``module.`` in front;
- a bare backbone: ``conv1.weight`` …, as the self-supervised checkpoints hold under
  ``state_dict``, with or without ``module.``, ``encoder_q.`` or ``backbone.`` in front.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bagreid.contracts import BagreidError

_WRAPPERS = ("model", "state_dict", "model_state_dict", "network", "teacher")
_PREFIXES = ("module.", "encoder_q.", "_orig_mod.")
_REMEDY = "Give a file of tensors: a .pth or .pt state dict, a checkpoint of bagreid, .safetensors"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of the tensors of a weight file.

    Attributes:
        path: The file.
        form: Which known form it has.
        loaded: Names in the network that were filled.
        missing: Names in the network that the file does not hold.
        unused: Names in the file that the network has no place for.
        mismatched: Name, shape in the file, shape in the network, of tensors left out.
    """

    path: Path
    form: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def complete(self) -> bool:
        """Whether the whole network was filled."""
        return not self.missing and not self.mismatched

    def __str__(self) -> str:
        """The account, in a few lines."""
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        lines = [f"{self.path}: {self.form}; {len(self.loaded)} of {total} tensors loaded"]
        lines += [
            f"  not loaded, other shape: {name} is {_shape(theirs)} in the file, "
            f"{_shape(ours)} here"
            for name, theirs, ours in self.mismatched
        ]
        lines += _listing("not in the file, left as initialised", self.missing)
        lines += _listing("in the file, without a place here", self.unused)
        return "\n".join(lines)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a scalar"


def _listing(title: str, names: tuple[str, ...], most: int = 8) -> list[str]:
    if not names:
        return []
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return [f"  {title} ({len(names)}): {', '.join(names[:most])}{rest}"]


def read_file(path: Path) -> Any:
    """Reads a file of tensors without running code from it.

    Args:
        path: A torch pickle or a ``.safetensors`` file.

    Returns:
        Whatever the file holds, on the CPU.

    Raises:
        BagreidError: The file is absent, is no such file, is cut, or wants pickled code.
    """
    if not path.is_file():
        raise BagreidError("there is no such weight file", path=path, remedy="Check the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise BagreidError(
                "the file wants to run pickled code, which is refused",
                path=path,
                remedy="Ask its author for a plain state dict",
            ) from error
        raise BagreidError("this is no checkpoint", path=path, remedy=_REMEDY) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, SafetensorError) as error:
        raise BagreidError(
            f"this is no checkpoint, or a cut one ({type(error).__name__})",
            path=path,
            remedy=_REMEDY,
        ) from error


def state_dict_of(content: Any, path: Path) -> dict[str, Tensor]:
    """Finds the tensors in what a file holds, and drops the wrappers' prefixes.

    Raises:
        BagreidError: There are none.
    """
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content:
        raise BagreidError("this file holds no state dict", path=path, remedy=_REMEDY)
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise BagreidError("this file holds no tensors", path=path, remedy=_REMEDY)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def to_our_names(tensors: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Tells the form of a state dict and gives its tensors the names of `ReidNetwork`.

    Args:
        tensors: Names without wrappers' prefixes.

    Returns:
        The form's description, and the renamed tensors; what has no place keeps its own name.
    """
    if any(name.startswith("classifier.classifier.0.") for name in tensors):
        head = "classifier.classifier.0."
        return "released ResNet-50 of SYSU-30k", {
            _rename(name, {head: "classifier.", "model.": "backbone."}): value
            for name, value in tensors.items()
        }
    if "classifier.weight" in tensors and any(name.startswith("backbone.") for name in tensors):
        return "a network of bagreid", tensors
    if any(name.startswith("backbone.") for name in tensors):
        return "a bare backbone", tensors
    return "a bare backbone", {f"backbone.{name}": value for name, value in tensors.items()}


def _rename(name: str, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def load_weights(
    model: nn.Module,
    path: Path,
    *,
    tensors: dict[str, Tensor] | None = None,
    form: str = "a network of bagreid",
) -> LoadReport:
    """Fills a network from a weight file as far as names and shapes agree.

    Args:
        model: A `ReidNetwork`, filled in place.
        path: The weight file, in any known form.
        tensors: What the file holds under our names, where it has been read already.
        form: The form of those tensors.

    Returns:
        The account of what was loaded.

    Raises:
        BagreidError: The file cannot be read, or nothing in it fits the network.
    """
    if tensors is None:
        form, tensors = to_our_names(state_dict_of(read_file(path), path))
    own = model.state_dict()
    fitting = {
        name: value
        for name, value in tensors.items()
        if name in own and own[name].shape == value.shape
    }
    mismatched = tuple(
        (name, tuple(value.shape), tuple(own[name].shape))
        for name, value in tensors.items()
        if name in own and name not in fitting
    )
    other = {name for name, _, _ in mismatched}
    report = LoadReport(
        path=path,
        form=form,
        loaded=tuple(fitting),
        missing=tuple(name for name in own if name not in fitting and name not in other),
        unused=tuple(name for name in tensors if name not in own),
        mismatched=mismatched,
    )
    if not any(name.startswith("backbone.") and fitting[name].ndim > 1 for name in fitting):
        raise BagreidError(
            "nothing in this file fits the network",
            path=path,
            position=f"{len(tensors)} tensors, the first is {next(iter(tensors))}",
            remedy="Choose the backbone it was made with by --model.backbone",
        )
    model.load_state_dict(fitting, strict=False)
    return report
