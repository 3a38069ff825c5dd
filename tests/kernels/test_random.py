"""The random kernels: seeds, ranges and distributions."""

import numpy as np
import pytest
from onnx import helper

from tests.kernels.single_node import run_kernel


def test_x() -> None:
    pass
