"""The charts of a page: losses, validation, pseudo labels."""

from __future__ import annotations

from collections.abc import Sequence

from bagreid.report.chart import Chart, Series, line_chart
from bagreid.report.work_dir import Method

_LOSS_NOTES = {
    "total": "What training lowers: the weighted sum of the terms.",
    "unary": "How much the pseudo labels surprise the network.",
    "pairwise": "The price of giving look-alikes different people; the relaxed term is negative.",
    "triplet": "Images that may share a person should lie nearer than those that cannot.",
}
_SPEED_NOTES = {
    "learning_rate": ("Learning rate", "How far each step moves the weights."),
    "images_per_second": ("Images a second", "The speed of training."),
}


def overlay(
    methods: Sequence[Method], name: str, title: str, note: str, *, shares: bool = False
) -> Chart | None:
    """One logged quantity of every method that has it.

    Args:
        methods: The methods; a method's place in the list is its colour.
        name: The curve's name in the log.
        title: Heading of the chart.
        note: What one sees.
        shares: Whether the values are fractions.

    Returns:
        The chart, ``None`` when no method logged the quantity.
    """
    series = [
        Series(name=method.name, curve=method.log.curves[name], colour=colour)
        for colour, method in enumerate(methods)
        if name in method.log.curves
    ]
    if not series:
        return None
    return line_chart(title, series, note=note, x_label=_step_label(methods), shares=shares)


def loss_charts(methods: Sequence[Method]) -> list[Chart]:
    """One chart a loss term: the total first, then in the order they were logged."""
    names = [name for method in methods for name in method.log.curves if name.startswith("loss/")]
    ordered = sorted(dict.fromkeys(names), key=lambda name: name != "loss/total")
    charts = []
    for name in ordered:
        term = name.removeprefix("loss/")
        title = "Total loss" if term == "total" else f"{term.capitalize()} loss"
        charts.append(overlay(methods, name, title, _LOSS_NOTES.get(term, "")))
    return [chart for chart in charts if chart]


def validation_charts(methods: Sequence[Method]) -> list[Chart]:
    """Rank-1 and mAP on the validation images over training."""
    charts = [
        overlay(
            methods,
            "validation/rank1",
            "Rank-1 in validation",
            "Share of validation queries answered right in the first place.",
            shares=True,
        ),
        overlay(
            methods,
            "validation/mean_ap",
            "mAP in validation",
            "How far up all the right images stand, on average.",
            shares=True,
        ),
    ]
    return [chart for chart in charts if chart]


def pseudo_label_charts(methods: Sequence[Method]) -> list[Chart]:
    """Accuracy and change of the pseudo labels, and how far the main method trusts its bags."""
    charts = [
        overlay(
            methods,
            "pseudo_label_accuracy",
            "Pseudo labels that are right",
            "Measured against the truth, which training never sees.",
            shares=True,
        ),
        overlay(
            methods,
            "pseudo_label_change",
            "Pseudo labels that change",
            "Share of images given another label than the time before.",
            shares=True,
        ),
        _reliability_chart(methods[0]),
    ]
    return [chart for chart in charts if chart]


def speed_charts(methods: Sequence[Method]) -> list[Chart]:
    """Learning rate and images a second."""
    charts = [overlay(methods, name, *words) for name, words in _SPEED_NOTES.items()]
    return [chart for chart in charts if chart]


def steadiness_charts(methods: Sequence[Method]) -> list[Chart]:
    """Norm of the gradient, and the share of time spent on waiting for images."""
    norm = "Euclidean, of all weights together. It leaps where training is about to fail."
    waited = "Of the time of a step. More workers make it less."
    charts = [
        overlay(methods, "gradient_norm", "Norm of the gradient", norm),
        overlay(methods, "waited", "Time spent on waiting for images", waited, shares=True),
    ]
    return [chart for chart in charts if chart]


def _reliability_chart(method: Method) -> Chart | None:
    """How far each width of bag is believed, one line each."""
    prefix = "reliability/"
    widths = sorted(
        (name.removeprefix(prefix) for name in method.log.curves if name.startswith(prefix)),
        key=lambda width: (len(width), width),
    )
    if not widths:
        return None
    series = [
        Series(
            name=f"bags of {width} {'folder' if width == '1' else 'folders'}",
            curve=method.log.curves[prefix + width],
            colour=colour,
        )
        for colour, width in enumerate(widths)
    ]
    return line_chart(
        "How far bags are believed",
        series,
        note="Estimated share of images whose person is on the label of a bag of that width.",
        x_label=_step_label([method]),
        shares=True,
    )


def _step_label(methods: Sequence[Method]) -> str:
    epochs = max(method.log.epochs for method in methods)
    return f"step \u00b7 {epochs} {'epoch' if epochs == 1 else 'epochs'} in all"
