"""The order of the layers, as a rule that fails with a sentence."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "bagreid"
ORDER = (
    "contracts", "files", "world", "shards", "catalog", "plan", "data", "models", "graph", "losses",
    "training", "evaluation", "report", "recipes", "resuming", "exporting", "experiment",
    "comparing", "cli",
)  # fmt: skip
TORCHLESS = ("contracts", "files", "shards", "catalog", "plan", "report")
STRANGERS = {("evaluation", "training")}
FILES = sorted(SOURCE.rglob("*.py"))


def layer_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Line and module of every import in a file, at any depth of nesting."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively; name the package"
            found.append((node.lineno, node.module or ""))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_below(path: Path) -> None:
    layer = layer_of(path)
    if layer in ("__init__", "__main__"):
        return
    assert layer in ORDER, f"{path} is in no layer of the house: {', '.join(ORDER)}"
    for line, module in imports_of(path):
        if not module.startswith("bagreid."):
            continue
        other = module.split(".")[1]
        assert ORDER.index(other) <= ORDER.index(layer), (
            f"{path}:{line}: {layer} imports {other}, which stands above it; move what both need "
            f"down, or pass it in as an argument"
        )
        assert (layer, other) not in STRANGERS, (
            f"{path}:{line}: {layer} and {other} never import each other; a recipe or an "
            f"experiment passes one to the other as a callable"
        )


@pytest.mark.parametrize("layer", TORCHLESS)
def test_a_layer_without_torch_does_not_load_it(layer: str) -> None:
    code = f"import sys, bagreid.{layer}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0, f"importing bagreid.{layer} loads torch, which it must not need"


def test_help_is_quick_for_it_loads_no_torch() -> None:
    code = "import sys, bagreid.cli.main as m; m.main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, "bagreid --help loads torch, which takes seconds"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 500, f"{path} has over 500 lines; split it by idea"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            start = (first.end_lineno or node.lineno) if has_text else node.lineno
            length = (node.end_lineno or start) - start
            assert length <= 60, f"{path}:{node.lineno}: {node.name} has {length} lines, over 60"
