"""GPEN weights out of ONNX files, by following the graph."""
