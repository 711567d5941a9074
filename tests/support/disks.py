"""Nodes of a disk, as libxl writes them."""


def disk_nodes(
    domid: int, target: str, *, number: int = 51712, dev: str = "xvda", mode: str = "w"
) -> dict[str, str]:
    """Give path -> value."""
    backend = f"/local/domain/0/backend/vbd/{domid}/{number}"
    return {
        f"/libxl/{domid}/device/vbd/{number}/backend": backend,
        f"{backend}/dev": dev,
        f"{backend}/params": target,
        f"{backend}/mode": mode,
    }
