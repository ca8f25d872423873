"""The colours of pages and figures, for light and for dark; the style sheet takes them from here.

``s0`` to ``s7`` tell series apart, in both schemes also for people who see few colours; each keeps
a contrast of 3 against the paper, text of 4.5 (WCAG 2.2).
"""

from __future__ import annotations

LIGHT = {
    "paper": "#fbfaf7",
    "card": "#ffffff",
    "ink": "#1c1f23",
    "soft": "#5b6169",
    "faint": "#8a8f96",
    "rule": "#e5e2dc",
    "tint": "#f1efe9",
    "tint-main": "#eaf1f8",
    "right": "#16794a",
    "wrong": "#b93a0a",
    "on-mark": "#ffffff",
    "s0": "#0b62a8",
    "s1": "#c4500a",
    "s2": "#8d3f86",
    "s3": "#0a7a5c",
    "s4": "#6b6f76",
    "s5": "#8a6400",
    "s6": "#b0235c",
    "s7": "#4350b0",
}

DARK = {
    "paper": "#131518",
    "card": "#1a1d21",
    "ink": "#e9e8e4",
    "soft": "#a9aeb6",
    "faint": "#7d838c",
    "rule": "#2d3137",
    "tint": "#202429",
    "tint-main": "#1a2733",
    "right": "#4cc78d",
    "wrong": "#f58a4b",
    "on-mark": "#101214",
    "s0": "#6bb5f2",
    "s1": "#f39a55",
    "s2": "#dc93d4",
    "s3": "#41caa0",
    "s4": "#a4abb5",
    "s5": "#dfbf55",
    "s6": "#ff8aa6",
    "s7": "#a3b1ff",
}
