"""Tests that need OpenVINO, which is an extra of the installation."""

import importlib.util

import pytest

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO is not installed (pip install -e '.[openvino]' -c constraints.txt)",
)
