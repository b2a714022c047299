"""Labelled pictures: Darknet's own files, and what other formats become."""

from __future__ import annotations

from darkshare.datasets.sample import Box, Dataset, Finding, Sample

__all__ = ["Box", "Dataset", "Finding", "Sample"]
