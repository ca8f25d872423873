"""Features of people's own methods: read from their files, checked, and put in one form."""

from bagreid.evaluation.inputs.facts import InputFacts
from bagreid.evaluation.inputs.load import LoadedFeatures, load_features
from bagreid.evaluation.inputs.names import PATTERNS, NamePattern, pattern_of

__all__ = [
    "PATTERNS",
    "InputFacts",
    "LoadedFeatures",
    "NamePattern",
    "load_features",
    "pattern_of",
]
