"""Size on disk of the package with each extra: ``python docs/examples/install_size.py``.

Counts the files of all packages that an extra needs, directly or not, as they are installed in this
environment; nothing is downloaded. Extras of which a package is missing here are named as such.
"""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

PACKAGE = "bcnmf_jax"
EXTRAS = ("", "bio", "genesets", "cli", "experiments", "bio,genesets,experiments,cli")


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Names of all packages that one needs, itself among them."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    found = {name}
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        wanted = [{"extra": extra} for extra in extras or {""}]
        if requirement.marker is None or any(map(requirement.marker.evaluate, wanted)):
            found |= needed(requirement.name, frozenset(requirement.extras), seen)
    return found


def size(package: Distribution) -> int:
    """Bytes of the files of a package."""
    paths = (package.locate_file(file) for file in package.files or [])
    return sum(path.stat().st_size for path in paths if path.is_file())


def main() -> None:
    """Print a line for each choice of extras."""
    print(f"{'extras':32} {'packages':>8} {'MB':>6}   the largest")
    for extras in EXTRAS:
        try:
            names = needed(PACKAGE, frozenset(filter(None, extras.split(","))), set())
        except PackageNotFoundError as error:
            print(f"{extras or 'none':32} {error.name} is not installed here")
            continue
        sizes = {name: size(distribution(name)) / 1e6 for name in names}
        largest = sorted(sizes, key=lambda name: -sizes[name])[:4]
        said = ", ".join(f"{name} {sizes[name]:.0f}" for name in largest)
        print(f"{extras or 'none':32} {len(names):8} {sum(sizes.values()):6.0f}   {said}")


if __name__ == "__main__":
    main()
