#!/usr/bin/env bash
# From a detector and labelled pictures of something new to one network that detects both.
#
#   day.sh BASE.cfg VOC_FOLDER K OUT [options of train]
#
# BASE.cfg has its .weights and .names beside it. Everything made goes into the folder OUT.
set -euo pipefail
base=$1 pictures=$2 k=$3 out=$4
shift 4
mkdir -p "$out"

# Pascal VOC becomes Darknet's .data, .names, lists and labels, with a fifth of the pictures set aside.
darkshare import-data "$pictures" -o "$out/task" --split 0.2
darkshare check "$out/task/task.data" || echo "going on without what is wrong"

# The base's heads get the new classes, and anchors that fit the new boxes.
darkshare classes "$base" --fresh "$out/task/task.names" -o "$out/renamed"
darkshare anchors "$out/renamed.cfg" "$out/task/task.data" --assign count -o "$out/start"

# Everything from layer k on is trained; what lies before stays the base's, and frozen proves it.
darkshare train "$out/start.cfg" "$out/task/task.data" --k "$k" -o "$out/trained" "$@"
darkshare frozen "$base" "$out/trained.cfg" --k "$k"

# Base and task in one network: the trunk once, both tasks' heads. It is as good as the two were.
darkshare concat "$base" "$out/trained.cfg" --k "$k" -o "$out/both"
darkshare evaluate "$out/both.cfg" --data trained="$out/task/task.data" --beside "$out/trained.cfg"
darkshare detect "$out/both.cfg" "$out/task/valid.txt" -o "$out/detections"
