#!/usr/bin/env bash
# Training on a GPU beside AlexeyAB's Darknet, in at most eight minutes: see gpu.py.
#
#     bash benchmarks/gpu.sh DARKNET [--net f10-coco.cfg:256:0,66,109] [other options of gpu.py]
#
# DARKNET is its program, built with cuDNN; or a checkout of its sources, a copy of which is built in a temporary folder
# (that needs nvcc, and cuDNN where compilers look: CPATH and LIBRARY_PATH help); or - to go without. Leaves gpu.json
# and gpu.md here. $PYTHON is the Python with darkshare and PyTorch, `python` if unset.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
given=$1
shift
home=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Build a copy of the checkout for this card.
build() {
    local card
    cp -r "$1" "$work/darknet"
    card=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d ' .')
    timeout 180 make -C "$work/darknet" -j "$(nproc)" GPU=1 CUDNN=1 CUDNN_HALF=1 AVX=1 OPENMP=1 \
        OPENCV="$(pkg-config --exists opencv4 2>/dev/null && echo 1 || echo 0)" \
        ARCH="-gencode arch=compute_$card,code=[sm_$card,compute_$card]" >"$work/log" 2>&1
}

program=()
if [ -d "$given" ]; then
    if build "$given"; then
        program=(--darknet "$work/darknet/darknet")
    else
        echo "Darknet could not be built, so darkshare stands alone:" >&2
        tail -n 5 "$work/log" >&2 || true
    fi
elif [ "$given" != - ]; then
    program=(--darknet "$given")
fi
left=$((440 - SECONDS))
export PYTHONPATH="$home${PYTHONPATH:+:$PYTHONPATH}"
"${PYTHON:-python}" "$home/benchmarks/gpu.py" --seconds "$left" --json gpu.json --markdown gpu.md \
    "${program[@]}" "$@"
