"""Remove the built book when the package or the data under it have changed.

The notebook cache knows a notebook by its source alone, so an edit of the
package would leave old numbers on the page. A fingerprint of all that the
notebooks stand on is kept with the build, which starts afresh when it differs.
"""

import hashlib
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def fingerprint(root: Path) -> str:
    """The sha256 of all files that the notebooks' results depend on."""
    files = [root / "constraints.txt"]
    files += (root / "genre2_mini").rglob("*.py")
    files += (path for path in (root / "data").rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def forget_stale_results(root: Path = ROOT) -> bool:
    """Clear ``_build`` if it was made from other files; say whether it was."""
    build = root / "_build"
    record = build / "made-from.sha256"
    current = fingerprint(root)
    fresh = record.exists() and record.read_text() == current
    if not fresh:
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir()
        record.write_text(current)
    return not fresh


if __name__ == "__main__" and forget_stale_results():
    print("The package or the data are new: every notebook will be executed.")
