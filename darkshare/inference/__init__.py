"""Models on pictures: ONNX files, engines, detectors, boxes, media, benchmarks, int8, programs to take along.

Within the package: boxes, onnx, preprocess, threads, cluster, lettering, placing < engines, classification, draw <
detector < media, int8 < bench, verification; onnx < runners < converters.
"""
