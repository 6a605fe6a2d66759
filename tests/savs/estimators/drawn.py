"""Head vectors of classes that are drawn around centres."""

import numpy as np

SPANS = ((0, 3), (3, 8), (8, 9), (9, 15))  # heads of several widths, one of them a single number
WIDTH = 15


def rows_of(numbers: np.ndarray, seed: int = 0, noise: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """float32 [n, WIDTH]: rows about the centres of their classes, which are the same for every seed."""
    centres = np.random.default_rng(99).normal(size=(10, WIDTH)) + shift
    drawn = np.random.default_rng(seed).normal(size=(len(numbers), WIDTH))
    return (centres[numbers] + noise * drawn).astype(np.float32)


def numbers_of(n: int, classes: int = 3) -> np.ndarray:
    """int64 [n]: classes in turn."""
    return np.arange(n) % classes


def onehot(numbers: np.ndarray) -> np.ndarray:
    return np.eye(int(numbers.max()) + 1)[numbers]


def unit(values: np.ndarray) -> np.ndarray:
    """float64 [n, WIDTH]: each head at length 1, written out."""
    parts = [values[:, a:b].astype(float) for a, b in SPANS]
    return np.concatenate([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], axis=1)
