"""Exports of a network: pt2, ONNX and TorchScript, each compared with the network itself."""
