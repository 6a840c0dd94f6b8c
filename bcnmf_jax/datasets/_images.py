"""Digits under photographs: the photographs alone are the background."""

from collections.abc import Sequence

import numpy as np

from bcnmf_jax.data.checks import check_seed
from bcnmf_jax.datasets.dataset import Array, Dataset
from bcnmf_jax.datasets.files import locate, odd_file
from bcnmf_jax.extras import require

_NO_COUNTS = "Brightness from 0 to 1; there are no counts, and both scales are the brightness."


def _stretch(images: Array) -> Array:
    """Stretch each image from its own minimum and maximum to 0..1; a flat image becomes 0."""
    low, high = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    return (images - low) / np.where(high > low, high - low, 1.0)


def _enlarge(images: Array, size: int) -> Array:
    """Resample square images (n, s, s) to (n, size, size), bilinearly, edges extended."""
    s = images.shape[1]
    centre = (np.arange(size) + 0.5) * s / size - 0.5
    lower = np.clip(np.floor(centre).astype(int), 0, s - 1)
    upper = np.clip(lower + 1, 0, s - 1)
    share = np.clip(centre - lower, 0, 1)
    weights = np.zeros((size, s))
    weights[np.arange(size), lower] += 1 - share
    weights[np.arange(size), upper] += share
    return np.einsum("ai,nij,bj->nab", weights, images, weights)


def _tiles(photos: Sequence[Array], size: int) -> Array:
    """Cut photographs into disjoint grey tiles (t, size, size), row by row."""
    tiles = []
    for photo in photos:
        grey = photo.astype(float).mean(axis=2)
        rows, columns = grey.shape[0] // size, grey.shape[1] // size
        grid = grey[: rows * size, : columns * size].reshape(rows, size, columns, size)
        tiles.append(grid.swapaxes(1, 2).reshape(-1, size, size))
    return np.concatenate(tiles)


def _flat(images: Array) -> Array:
    return images.reshape(len(images), -1).astype(np.float32)


def _pixels(size: int) -> Array:
    return np.array([f"pixel_{i}_{j}" for i in range(size) for j in range(size)])


def digits_on_photos(seed: int = 0) -> Dataset:
    """Put scikit-learn's handwritten zeros and sevens under tiles of its two photographs.

    Nothing is downloaded. The digits (357, enlarged from 8 x 8 to 16 x 16) and photograph tiles
    (16 x 16, disjoint, stretched to their own full range) meet in a pixelwise maximum, so that
    the photographs are as bright as the strokes: PCA and NMF find the photographs, and only a
    comparison with the background, 1,040 other tiles, brings out the digits. The pair of digits
    and the brightness were picked so, as a demonstration where contrast is needed.

    Parameters
    ----------
    seed : int
        Which tiles go where.

    Returns
    -------
    Dataset
        Label 0 for a zero, 1 for a seven. No counts.

    Raises
    ------
    ImportError
        If pillow, with which scikit-learn reads its photographs, is missing.
    """
    require("PIL", "experiments")
    from sklearn.datasets import load_digits, load_sample_images

    size = 16
    pixels, values = (np.asarray(part) for part in load_digits(return_X_y=True))
    chosen = np.isin(values, (0, 7))
    strokes = _enlarge(pixels[chosen].reshape(-1, 8, 8) / 16, size)
    tiles = _stretch(_tiles(load_sample_images().images, size))
    np.random.default_rng(check_seed(seed)).shuffle(tiles)
    half = len(tiles) // 2
    under, alone = tiles[:half][: len(strokes)], tiles[half:]
    return Dataset(
        name="digits_on_photos",
        target=_flat(np.maximum(strokes, under)),
        background=_flat(alone),
        labels=(values[chosen] == 7).astype(int),
        feature_names=_pixels(size),
        description=(
            "Handwritten zeros and sevens (label 1) of scikit-learn's digits, 16 x 16, each the "
            "pixelwise maximum with a grey tile of scikit-learn's two photographs; background: "
            f"other tiles of them. Seed {seed}. {_NO_COUNTS}"
        ),
    )


def _stored_images(name: str, least: int, keys: Sequence[str]) -> dict[str, Array]:
    """Read the arrays `keys` of an npz file, among them images (at least `least`, s, s) uint8."""
    path = locate(name)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in keys}
    except Exception as error:  # a broken zip, a missing key and a pickle each raise another type
        raise odd_file(name, path, f"reading {', '.join(keys)} failed ({error})") from error
    images = arrays["images"]
    if images.ndim != 3 or images.dtype != np.uint8 or images.shape[1] != images.shape[2]:
        found = f"images have shape {images.shape} and type {images.dtype}"
        raise odd_file(name, path, f"{found}, expected square images, uint8")
    if any(len(array) < least for array in arrays.values()):
        raise odd_file(name, path, f"it holds fewer than {least} images")
    return arrays


def mnist_on_photos(digits: int | str | Sequence[int] = 2) -> Dataset:
    """Load MNIST digits under photographs of flowers.

    Of the first 7,000 images all (`digits` 10), the zeros and ones (`digits` 2; 1,475), or some.
    Image i of those gets photograph i mod 650 of the first 650, stretched to its own full range;
    target = pixelwise maximum of the digit and 0.8 x that photograph; background = photographs 650
    to 1,299 as they are.

    Parameters
    ----------
    digits : {2, 10}, str or sequence of int
        The first two digits, all ten, or those that are named: "49" or (4, 9).

    Returns
    -------
    Dataset
        Labels are the digits, features the 28 x 28 pixels. No counts.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or odd, or `digits` is neither 2 nor 10 nor at least two digits.

    References
    ----------
    Abid et al., Nature Communications 9 (2018) 2134, figure 1, in another draw.
    """
    if isinstance(digits, int):
        wanted = list(range(digits)) if digits in (2, 10) else []
    else:
        wanted = [int(d) if str(d) in "0123456789" else -1 for d in digits]
    if len(wanted) < 2 or min(wanted) < 0 or len(set(wanted)) < len(wanted):
        raise ValueError(
            f"digits must be 2 (zeros and ones), 10, or at least two of 0 to 9, got {digits!r}"
        )
    first, half = 7000, 650
    mnist = _stored_images("mnist", first, ("images", "labels"))
    photos = _stored_images("flowers", 2 * half, ("images",))["images"] / 255
    labels = mnist["labels"][:first].astype(int)
    chosen = np.isin(labels, wanted)
    strokes, labels = mnist["images"][:first][chosen] / 255, labels[chosen]
    under = _stretch(photos[:half])[np.arange(len(strokes)) % half]
    return Dataset(
        name="mnist_on_photos",
        target=_flat(np.maximum(strokes, 0.8 * under)),
        background=_flat(photos[half : 2 * half]),
        labels=labels,
        feature_names=_pixels(strokes.shape[1]),
        description=(
            f"The digits {', '.join(map(str, wanted))} among the first 7,000 MNIST images, each "
            "the pixelwise maximum with 0.8 x one of 650 flower photographs; "
            f"background: 650 other photographs. {_NO_COUNTS}"
        ),
    )
