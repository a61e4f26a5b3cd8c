"""Where the files that ship with the package are: configurations, the lock file, recorded reference outputs."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """The path of a file or folder that ships with the package, for example ``configs``.

    An installed package holds it inside of itself; in a checkout it lies at the top, beside the package.
    """
    inside = _PACKAGE / name
    return inside if inside.exists() else _PACKAGE.parent / name
