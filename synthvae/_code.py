"""Which code is running: a digest of the installed package's own files."""

import functools
import hashlib
from pathlib import Path


@functools.cache
def code_digest() -> str:
    """Return the SHA-256 of every Python file of this package: its path, and what is in it.

    Files are taken in the order of their paths, so that two copies of one release agree whatever
    the machine. Taken once in a process: the code that runs is the code that was loaded.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    files = {file.relative_to(root).as_posix(): file for file in root.rglob("*.py")}
    for name in sorted(files):
        content = files[name].read_bytes()
        # The length keeps one file's end apart from the next one's name.
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
