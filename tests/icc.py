"""Small ICC profiles, as cameras and phones write them, and what they mean, computed here from their definitions."""

import struct
from dataclasses import dataclass

import numpy as np

# colorants adapted to D50, of the profiles that Adobe, Apple and the ICC publish; columns red, green, blue
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
D50 = (0.9642, 1.0, 0.8249)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


@dataclass(frozen=True)
class Profile:
    """A matrix and a curve; of gray, the curve alone. `gamma` is a power, or `None` for sRGB's curve."""

    matrix: np.ndarray | None
    gamma: float | None

    def to_bytes(self) -> bytes:
        curve = b"para" + bytes(4)
        curve += struct.pack(">HH", 3, 0) + _fixed(*SRGB_CURVE) if self.gamma is None else bytes(4) + _fixed(self.gamma)
        tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50)}
        for name in (b"desc", b"cprt"):
            tags[name] = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2, 28) + b"\0x"
        if self.matrix is None:
            tags[b"kTRC"] = curve
        else:
            for letter, column in zip("rgb", self.matrix.T, strict=True):
                tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + _fixed(*column)
                tags[f"{letter}TRC".encode()] = curve
        table, data = struct.pack(">I", len(tags)), b""
        start = 128 + 4 + 12 * len(tags)
        for name, content in tags.items():
            content += bytes(-len(content) % 4)
            table += name + struct.pack(">II", start + len(data), len(content))
            data += content
        space = b"GRAY" if self.matrix is None else b"RGB "
        head = struct.pack(">4x4sI4s4s4s12x4s", b"none", 0x04300000, b"mntr", space, b"XYZ ", b"acsp")
        head += bytes(28) + _fixed(*D50)
        head = head.ljust(128, b"\0")
        whole = head + table + data
        return struct.pack(">I", len(whole)) + whole[4:]

    def linear(self, levels: np.ndarray) -> np.ndarray:
        return decoded(levels / 255) if self.gamma is None else (levels / 255) ** self.gamma

    def shown(self, pixels: np.ndarray) -> np.ndarray:
        """The sRGB levels of pixels uint8 (..., 3), as a color-managed viewer shows them: float64."""
        light = self.linear(pixels.astype(np.float64))
        if self.matrix is not None:
            light = light @ self.matrix.T @ np.linalg.inv(SRGB).T
        return encoded(np.clip(light, 0, 1)) * 255


def decoded(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
