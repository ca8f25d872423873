"""Reading of weight files, and the exact account of what was and was not loaded.

Known forms, told apart by their keys (no pickled code is ever run: ``weights_only=True``):

- ours: a checkpoint of `bagreid train`, or its exported weights;
- the released ResNet-50 (``net_6.pth``, ``pretrained_model.pth``): ``model.*`` under torchvision's
  names, ``classifier.classifier.0.*``, saved from DataParallel, so with ``module.`` in front;
- a released MGN, with the trunk in two pieces, or in one as in the code it builds on;
- a bare backbone: ``conv1.weight`` …, as the self-supervised checkpoints hold under
  ``state_dict``, with or without ``module.``, ``encoder_q.`` or ``backbone.`` in front.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from bagreid.contracts import BagreidError
from bagreid.models.mgn import MultiGranularityNetwork, is_mgn, places_of, released_name

# of a teacher and a student the teacher comes first: the moving average is what is evaluated
_WRAPPERS = ("teacher", "model", "state_dict", "model_state_dict", "network")
_OURS = "bagreid.checkpoint/"
_PREFIXES = ("module.", "model.", "_orig_mod.")
_QUERY_ENCODER = "encoder_q."
_WANTED = re.compile(r"GLOBAL ([\w.]+)")
_REMEDY = "Give a file of tensors: a .pth or .pt state dict, a checkpoint of bagreid, .safetensors"


WEIGHTS_FORMAT = "bagreid.weights/1"
"""What the metadata of exported weights call themselves, under ``bagreid``."""

RELEASED_RESNET50 = "released ResNet-50 of SYSU-30k"
"""The form of ``net_6.pth`` and ``pretrained_model.pth``, which their test compares by logits."""


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
        Whatever the file holds, on the CPU; of a file that `bagreid train` exported a dictionary
        of ``format``, ``config``, ``identities``, ``step`` and ``state_dict``. Tensors may lie in
        the file itself, mapped, and be read when they are used.

    Raises:
        BagreidError: The file is absent, is no such file, is cut, or wants pickled code.
    """
    if not path.is_file():
        raise BagreidError("there is no such weight file", path=path, remedy="Check the path")
    try:
        with warnings.catch_warnings():
            # torch warns of what is reported below in one line
            warnings.simplefilter("ignore")
            if path.suffix == ".safetensors":
                return _read_safetensors(path)
            # of a mapped file only what is used is read: not the optimiser's state beside the
            # weights; torch cannot map its format from before it wrote zips
            mapped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except PermissionError as error:
        raise BagreidError(
            "this file may not be read", path=path, remedy="Check its rights"
        ) from error
    except Exception as error:
        # damaged bytes can make an unpickler raise anything, from IndexError to AssertionError
        raise _unreadable(path, error) from error


def _read_safetensors(path: Path) -> Any:
    """The tensors; of a file that `bagreid train` exported, what it says of itself beside them."""
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        said = file.metadata() or {}
    if said.get("bagreid") != WEIGHTS_FORMAT:
        return tensors
    about = {name: json.loads(said[name]) for name in ("config", "identities", "step")}
    return {"format": WEIGHTS_FORMAT, **about, "state_dict": tensors}


def _unreadable(path: Path, error: Exception) -> BagreidError:
    """Tells a file that was refused from one that is broken."""
    wanted = _WANTED.search(str(error))
    if wanted is None and not _is_bare_pickle(path):
        kind = type(error).__name__
        return BagreidError(
            f"this is no checkpoint, or a damaged or cut one ({kind})", path=path, remedy=_REMEDY
        )
    return BagreidError(
        "the file wants to run pickled code, which is refused",
        path=path,
        position=None if wanted is None else f"it asks for {wanted[1]}",
        remedy="Ask its author for a plain state dict, saved by torch.save",
    )


def _is_bare_pickle(path: Path) -> bool:
    """Whether the file is one that Python's own pickle wrote (torch writes protocol 2)."""
    with path.open("rb") as file:
        mark = file.read(2)
    return len(mark) == 2 and mark[0] == 0x80 and 3 <= mark[1] <= 5


def state_dict_of(content: Any, path: Path) -> dict[str, Tensor]:
    """Finds the tensors in what a file holds, and drops the wrappers' prefixes.

    Args:
        content: What `read_file` gave: a state dict, or a checkpoint with one in it. Where there
            are a teacher's and a student's, the teacher's is taken.
        path: The file, for the error.

    Returns:
        Name → tensor.

    Raises:
        BagreidError: There are none.
    """
    if isinstance(content, dict) and str(content.get("format")).startswith(_OURS):
        content = content.get("state", content)  # format 1 had no such level
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content:
        raise BagreidError("this file holds no state dict", path=path, remedy=_REMEDY)
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise BagreidError("this file holds no tensors", path=path, remedy=_REMEDY)
    return _unwrapped(tensors)


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return _unwrapped({name.removeprefix(prefix): tensors[name] for name in tensors})
    # momentum contrast saves its two encoders and a queue: the query encoder is the trained one
    return {name.removeprefix(_QUERY_ENCODER): value for name, value in tensors.items()}


def to_our_names(tensors: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Tells the form of a state dict and gives its tensors the names of our networks.

    Args:
        tensors: Names without wrappers' prefixes.

    Returns:
        The form's description, and the renamed tensors; what has no place keeps its own name.
    """
    if is_mgn(tensors):
        return "MGN", {released_name(name): value for name, value in tensors.items()}
    if any(name.startswith("classifier.classifier.0.") for name in tensors):
        head = "classifier.classifier.0."
        return RELEASED_RESNET50, {
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


def is_head(name: str) -> bool:
    """Whether a tensor, by our name, belongs to a classifier, which a feature does not need."""
    return name.startswith(("classifier.", "fc_id_"))


def load_weights(
    model: nn.Module,
    path: Path,
    *,
    tensors: dict[str, Tensor] | None = None,
    form: str = "a network of bagreid",
) -> LoadReport:
    """Fills a network from a weight file as far as names and shapes agree.

    The weights of a ResNet-50 fill the trunk and all three branches of an MGN.

    Args:
        model: A network of `build_model`, filled in place.
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
    if isinstance(model, MultiGranularityNetwork) and not is_mgn(tensors):
        tensors = _spread(tensors)
    own = model.state_dict()
    fitting = {
        name: value
        for name, value in tensors.items()
        if name in own and own[name].shape == value.shape
    }
    report = _account(path, form, tensors, own, fitting)
    if not any(value.ndim > 1 and not is_head(name) for name, value in fitting.items()):
        raise BagreidError(
            "nothing in this file fits the network",
            path=path,
            position=f"{len(tensors)} tensors, the first is {next(iter(tensors))}",
            remedy="Choose the backbone it was made with by --model.backbone",
        )
    model.load_state_dict(fitting, strict=False)
    return report


def _spread(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        place: value
        for name, value in tensors.items()
        for place in places_of(name.removeprefix("backbone."))
    }


def _account(
    path: Path,
    form: str,
    tensors: dict[str, Tensor],
    own: dict[str, Tensor],
    fitting: dict[str, Tensor],
) -> LoadReport:
    mismatched = tuple(
        (name, tuple(value.shape), tuple(own[name].shape))
        for name, value in tensors.items()
        if name in own and name not in fitting
    )
    other = {name for name, _, _ in mismatched}
    return LoadReport(
        path=path,
        form=form,
        loaded=tuple(fitting),
        missing=tuple(name for name in own if name not in fitting and name not in other),
        unused=tuple(name for name in tensors if name not in own),
        mismatched=mismatched,
    )
