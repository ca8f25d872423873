"""The text of a model card: what is known of a network, and what is not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bagreid.contracts import printable

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class CardTest:
    """How good the network is, and on what.

    Attributes:
        queries: Query images that have been ranked.
        gallery: Gallery images that each was ranked against.
        convention: Whose definition of CMC and mAP.
        rank1: Share of queries whose first answer is right.
        interval: 95 % interval of that share.
        rank5: Share of queries with a right answer among the first five.
        rank10: The same of the first ten.
        mean_ap: Mean average precision.
    """

    queries: int
    gallery: int
    convention: str
    rank1: float
    interval: tuple[float, float]
    rank5: float
    rank10: float
    mean_ap: float


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a model card says beside the configuration; what is None is said to be unknown.

    Attributes:
        name: What to call the network.
        archive: What people call the training images.
        images: How many of them there were.
        bags: How many bags told who is on them.
        step: Steps done.
        total_steps: Steps planned.
        begun_from: What the weights were at the start, in words.
        pseudo_label_accuracy: Share of the last pseudo labels that were right.
        license: Identifier of the licence that the weights are given under.
        code: Versions of what computed it.
        test: How good it is; None: it was not tested.
    """

    name: str
    archive: str | None = None
    images: int | None = None
    bags: int | None = None
    step: int | None = None
    total_steps: int | None = None
    begun_from: str | None = None
    pseudo_label_accuracy: float | None = None
    license: str | None = None
    code: dict[str, Any] = field(default_factory=dict)
    test: CardTest | None = None


def card_text(card: CardFacts, config: dict[str, Any], *, people: int, parameters: int) -> str:
    """The card in Markdown, with a head in YAML.

    Args:
        card: What is known.
        config: The resolved configuration; what it lacks is said to be unknown.
        people: Identities of the training images.
        parameters: Numbers that were learned.

    Returns:
        The text of ``README.md``.
    """
    parts = (
        _head(card, config),
        f"# {_plain(card.name)}",
        f"A network that turns a picture of a person into a vector, so that pictures of the same "
        f"person lie close together (person re-identification): {_backbone(config)}, "
        f"{parameters:,} parameters. bagreid wrote this card from the records of the run.",
        _table("What it was trained on", _data_rows(card, config, people)),
        _table("How it was trained", _recipe_rows(card, config)),
        "The whole configuration is in the metadata of `weights.safetensors`, as JSON under "
        "`config`.",
        _result(card),
        _USE,
        _loading(config),
    )
    return "\n\n".join(parts) + "\n"


def _head(card: CardFacts, config: dict[str, Any]) -> str:
    tags = ["person-re-identification", "bagreid"]
    if _get(config, "supervision.source") == "bag":
        tags.append("weakly-supervised-learning")
    # a JSON string is a YAML string
    lines = [
        f"license: {json.dumps(card.license or UNKNOWN)}",
        "library_name: bagreid",
        "pipeline_tag: image-feature-extraction",
        "tags:",
        *(f"- {tag}" for tag in tags),
    ]
    return "\n".join(("---", *lines, "---"))


def _data_rows(card: CardFacts, config: dict[str, Any], people: int) -> Iterable[tuple[str, str]]:
    source = _get(config, "supervision.source")
    told = {
        "bag": "bag labels: who appears somewhere among some images, not on which",
        "truth": "the true person of every image",
    }
    yield "images", f"{_plain(card.archive)}; {_count(card.images)} images"
    yield "people", _count(people)
    yield "what it was told", told.get(str(source), UNKNOWN)
    if source == "bag":
        yield "bags", _count(card.bags)
        yield "pseudo labels right at the end", _share(card.pseudo_label_accuracy)
    yield "licence of the weights", _plain(card.license)


def _recipe_rows(card: CardFacts, config: dict[str, Any]) -> Iterable[tuple[str, str]]:
    def of(name: str) -> str:
        return _plain(_get(config, name))

    yield "network at the start", _plain(card.begun_from)
    if _get(config, "supervision.source") == "bag":
        yield "inference", f"{of('supervision.inference')} over {of('supervision.candidates')}"
    yield "moving average", f"decay {of('supervision.teacher_decay')} a step"
    yield "image", f"{of('augment.height')} × {of('augment.width')} pixels in training"
    groups, images = of("plan.groups"), of("plan.images_per_group")
    yield "batch", f"{groups} groups of {images} images, drawn by {of('plan.kind')}"
    yield (
        "losses",
        (
            f"graph {of('loss.graph_weight')}, pairwise {of('loss.pairwise_weight')}, triplet "
            f"{of('loss.triplet_weight')} with margin {of('loss.triplet_margin')}"
        ),
    )
    yield (
        "optimiser",
        (
            f"{of('optimizer.name')}, learning rate {of('optimizer.learning_rate')}, weight decay "
            f"{of('optimizer.weight_decay')}, schedule {of('schedule.kind')}"
        ),
    )
    yield (
        "length",
        (f"{_count(card.step)} of {_count(card.total_steps)} steps ({of('train.epochs')} epochs)"),
    )
    yield "seed", of("train.seed")
    code = ", ".join(f"{_plain(name)} {_plain(value)}" for name, value in card.code.items())
    yield "code", code or UNKNOWN


def _result(card: CardFacts) -> str:
    test = card.test
    if test is None:
        return "## Result\n\nIt was not tested, or the result is not known here."
    low, high = test.interval
    rows = (
        ("rank-1", f"{test.rank1:.1%} (95 % interval {low:.1%} to {high:.1%})"),
        ("rank-5", f"{test.rank5:.1%}"),
        ("rank-10", f"{test.rank10:.1%}"),
        ("mAP", f"{test.mean_ap:.1%}"),
        ("queries", _count(test.queries)),
        ("gallery", f"{_count(test.gallery)} images"),
        ("convention", _plain(test.convention)),
    )
    note = "A rank-1 holds for a gallery of that size; in a larger one it is lower."
    return f"{_table('Result', rows)}\n\n{note}"


_USE = """## Intended use and limits

For research on person re-identification: to compare methods, to study learning from bag labels.

It was learned from pictures of people, of whom most were never asked. **Do not use it to follow, \
to find or to identify anybody**, nor where a wrong answer can harm a person: it confuses people \
who dress alike, it was not tested for equal treatment of different people, and how it does with \
other cameras, places or times than those of its training images is unknown. The terms of the \
training images bind these weights, too; those of SYSU-30k allow non-commercial research only."""


def _loading(config: dict[str, Any]) -> str:
    size = _get(config, "augment.test_size")
    height, width = size or (_get(config, "augment.height"), _get(config, "augment.width"))
    return f"""## Loading it

```python
from pathlib import Path
import torch
from bagreid.models import embedder, load_for_inference
network, meta = load_for_inference(Path("weights.safetensors"), torch.device("cpu"))
features = embedder(network)(images)
```

`images` is a float32 tensor of (N, 3, {_plain(height)}, {_plain(width)}), RGB from 0 to 1, less \
`mean` and divided by `std` of `meta.training["augment"]`. From the command line:

```
bagreid evaluate --checkpoint weights.safetensors --root ARCHIVE
```"""


def _backbone(config: dict[str, Any]) -> str:
    name = _get(config, "model.backbone")
    return f"backbone `{_plain(name)}`" if name is not None else "of an unknown backbone"


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"## {title}", "", "| | |", "|---|---|"]
    return "\n".join((*lines, *(f"| {name} | {value} |" for name, value in rows)))


def _get(config: dict[str, Any], name: str) -> Any:
    value: Any = config
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _plain(value: Any) -> str:
    """A value as text that breaks neither a line nor a table."""
    return UNKNOWN if value is None else printable(str(value)).replace("|", "\\|")


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.1%}"
