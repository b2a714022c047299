"""Labelled pictures: Darknet's own files, and what other formats become."""

from __future__ import annotations

from darkshare.data.classes import in_order
from darkshare.data.classified import is_divided, read_class_folders, read_class_list, read_classes
from darkshare.data.darknet import read_data, read_list
from darkshare.data.datafiles import read_names, read_options
from darkshare.data.findings import NothingLeft
from darkshare.data.formats import read_coco, read_coco_text, read_voc
from darkshare.data.importing import Imported, import_data, read_parts
from darkshare.data.labels import label_path
from darkshare.data.reviewing import Review, review
from darkshare.data.splitting import split
from darkshare.data.types import Box, Classified, ClassifiedDataset, Dataset, Finding, Sample
from darkshare.data.writing import write_data

__all__ = [
    "Box",
    "Classified",
    "ClassifiedDataset",
    "Dataset",
    "Finding",
    "Imported",
    "NothingLeft",
    "Review",
    "Sample",
    "import_data",
    "in_order",
    "is_divided",
    "label_path",
    "read_class_folders",
    "read_class_list",
    "read_classes",
    "read_coco",
    "read_coco_text",
    "read_data",
    "read_list",
    "read_names",
    "read_options",
    "read_parts",
    "read_voc",
    "review",
    "split",
    "write_data",
]
