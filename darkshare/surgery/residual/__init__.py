"""Residual networks made smaller and split into ensembles: `reduce` and `branch`.

From RRR-Net (Sun et al., *RRR-Net: Reusing, Reducing, and Recycling a Deep Backbone Network*): of a deep backbone
few residual blocks are kept, and what follows one of them is divided among several thin branches.
"""

from __future__ import annotations

from darkshare.surgery.residual.blocks import ResidualBlocks, residual_blocks
from darkshare.surgery.residual.branching import branch, ensemble_of
from darkshare.surgery.residual.reducing import reduce
from darkshare.surgery.residual.totals import Division, Reduction

__all__ = ["Division", "Reduction", "ResidualBlocks", "branch", "ensemble_of", "reduce", "residual_blocks"]
