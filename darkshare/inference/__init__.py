"""Models on pictures: ONNX files, engines, detectors, boxes, media, benchmarks, int8.

Within the package: boxes, onnx < engines < detector < media, bench, int8.
"""
