"""Remove the notebooks' results when the package or the data have changed.

The notebook cache knows a notebook by its source alone, so an edit of the
package would leave old numbers on the page. A fingerprint of all that the
notebooks stand on is kept with the cache, which starts afresh when it differs.
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
    """Clear the cache if it was made from other files; say whether it was."""
    cache = root / "_build" / ".jupyter_cache"
    record = cache.with_name("made-from.sha256")
    current = fingerprint(root)
    if record.exists() and record.read_text() == current:
        return False
    shutil.rmtree(cache, ignore_errors=True)
    cache.parent.mkdir(exist_ok=True)
    record.write_text(current)
    return True


if __name__ == "__main__" and forget_stale_results():
    print("Package, data or pins are new: every notebook is executed.")
