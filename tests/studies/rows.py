"""Predictions for tests, with what a test does not care about filled in."""

from typing import Any

from partita.studies.validation.prediction import Prediction


def row(measured: float = 10.0, predicted: float = 10.0, **more: Any) -> Prediction:
    fields: dict[str, Any] = {
        "level": "model",
        "unit": "CPU",
        "runtime": "TFLite",
        "device": "phone",
        "precision": "fp32",
        "op_class": "real CNN",
        "name": "net",
        "low": 0.9 * predicted,
        "high": 1.1 * predicted,
    }
    return Prediction(measured=measured, predicted=predicted, **(fields | more))
