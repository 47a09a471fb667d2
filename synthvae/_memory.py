"""How much memory this machine has."""

import os


def machine_memory() -> int | None:
    """Return the bytes of memory of this machine, or None where the system does not say."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
