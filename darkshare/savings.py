"""What sharing a trunk saves."""

from __future__ import annotations

from collections.abc import Sequence

from darkshare.model import Model


def saved(models: Sequence[Model], merged: Model) -> list[dict[str, object]]:
    """What a merge saves: one row per quantity, with the separate networks' sum, the product's, and the rest."""
    separate = [model.network for model in models]
    quantities = {
        "layers": (sum(len(n.layers) for n in separate), len(merged.network.layers)),
        "params": (sum(n.params for n in separate), merged.network.params),
        "BFLOPs": (sum(n.flops for n in separate) / 1e9, merged.network.flops / 1e9),
        "file bytes": (sum(20 + 4 * n.params for n in separate), 20 + 4 * merged.network.params),
    }
    return [
        {
            "": name,
            "separately": apart,
            "merged": joined,
            "saved": apart - joined,
            "saved %": round(100 * (1 - joined / apart), 1) if apart else 0.0,
        }
        for name, (apart, joined) in quantities.items()
    ]
