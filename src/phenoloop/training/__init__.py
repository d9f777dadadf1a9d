"""Training of the segmentation network: annotated images in, an ONNX file and its score card out. Needs PyTorch."""
