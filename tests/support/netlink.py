"""As much of a kernel's network as libxlpy.domain.plug asks for, and of pyroute2."""

import errno
from typing import Any

VIF, VIF_INDEX = "vif3.0", 7
EMU, EMU_INDEX = "vif3.0-emu", 9
IFB, IFB_INDEX = "xlpy-3", 8
INGRESS = 0xFFFF0000


class NetlinkError(Exception):
    """As pyroute2's."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Attributes(dict[str, Any]):
    """As pyroute2's messages."""

    def get_attr(self, name: str) -> Any:
        return self.get(name)

    def get_nested(self, *names: str) -> Any:
        return self.get(names[-1])


class Kernel:
    """Itself, and the module pyroute2."""

    NetlinkError = NetlinkError

    def __init__(self) -> None:
        self.asked: list[str] = []
        #: What is refused, by the beginning of its line, and why.
        self.refuses: dict[str, int] = {}
        self.indices = {"lo": 1, VIF: VIF_INDEX, EMU: EMU_INDEX}
        self.kind = "ifb"
        self.plugged = False
        #: Interface -> handles of the filters of its ingress.
        self.filters: dict[int, list[int]] = {}
        #: Packets held at each look; the last one stays.
        self.queue = [0]
        self.open = 0

    def IPRoute(self) -> "Kernel":  # noqa: N802
        self.open += 1
        return self

    def close(self) -> None:
        self.open -= 1

    def _ask(self, line: str) -> None:
        self.asked.append(line)
        for begin, code in self.refuses.items():
            if line.startswith(begin):
                raise NetlinkError(code)

    def link(self, what: str, **args: Any) -> None:
        if what == "add":
            self._ask(f"link add {args['ifname']} {args['kind']}")
            self.indices[args["ifname"]] = IFB_INDEX
        elif what == "set":
            self._ask(f"link set {args['index']} {args['state']}")
        else:
            self._ask(f"link del {args['index']}")
            self.indices = {n: i for n, i in self.indices.items() if i != args["index"]}

    def tc(self, what: str, kind: str, index: int, **args: Any) -> None:
        if what == "change":
            self._ask(args["action"].removeprefix("TCQ_PLUG_"))
        elif what == "add-filter":
            assert args["protocol"] == 3  # all of them
            to = args["action"]["ifindex"]
            self._ask(f"tc {what} {kind} {index} to {to}")
            self.filters[index] = [0, args["handle"]]
        else:
            self._ask(f"tc {what} {kind} {index}")
            self.plugged |= kind == "plug"
            if kind == "ingress" and what == "add":
                self.filters[index] = []
            elif kind == "ingress":
                del self.filters[index]

    def get_links(self, index: int) -> list[Attributes]:
        assert index == IFB_INDEX
        return [Attributes(IFLA_INFO_KIND=self.kind)]

    def get_filters(self, index: int, parent: int) -> list[dict[str, int]]:
        assert parent == INGRESS
        if index not in self.indices.values():
            raise NetlinkError(errno.ENODEV)
        return [{"handle": handle} for handle in self.filters[index]]

    def get_qdiscs(self, index: int | None = None) -> list[Attributes]:
        if index is None:
            kind = "ingress"
            return [Attributes(TCA_KIND=kind, index=each) for each in self.filters]
        assert index == IFB_INDEX
        if not self.plugged:
            return [Attributes(TCA_KIND="noqueue")]
        held = self.queue.pop(0) if len(self.queue) > 1 else self.queue[0]
        if held:
            self.asked.append(f"{held} held")
        figures = {"qlen": held, "backlog": held * 60, "drops": 2}
        stats = Attributes(TCA_STATS_QUEUE=figures)
        return [Attributes(TCA_KIND="plug", TCA_STATS2=stats)]
