"""The xenstore nodes of an interface, as libxl makes them.

Xen: tools/libs/light/libxl_nic.c, libxl__set_xenstore_nic().
"""

MAC = "00:16:3e:00:be:ef"


def libxl_nodes(domid: int, number: int = 0, **more: str) -> dict[str, str]:
    """Give path -> value; more nodes of the back-end may follow."""
    back = f"/local/domain/0/backend/vif/{domid}/{number}"
    front = f"/local/domain/{domid}/device/vif/{number}"
    both = {"mac": MAC, "handle": str(number)}
    nodes = {f"{back}/{name}": value for name, value in both.items()}
    nodes |= {f"{front}/{name}": value for name, value in both.items()}
    nodes |= {f"{back}/bridge": "xenbr0", f"{back}/frontend-id": str(domid)}
    nodes |= {f"{front}/backend": back, f"{front}/backend-id": "0"}
    home = f"/libxl/{domid}/device/vif/{number}"
    nodes |= {f"{home}/backend": back, f"{home}/frontend": front}
    return nodes | {f"{back}/{name}": value for name, value in more.items()}
