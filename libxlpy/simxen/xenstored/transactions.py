"""One transaction: a view of the store that others can't change, applied whole or not.

Source: Xen, tools/xenstored/transaction.c.
"""

from collections.abc import Callable

from libxlpy.simxen.xenstored.tree import Node, Tree, XenstoreError
from libxlpy.simxen.xenstored.watches import Change


class Transaction:
    """A snapshot of a tree with the changes one client made to it.

    Args:
        main: The tree that others see.
        next_generation: Gives the number for the next write.
    """

    def __init__(self, main: Tree, next_generation: Callable[[], int]) -> None:
        self._main = main
        self._before: dict[str, Node] = dict(main.nodes)
        self._touched: set[str] = set()
        self.tree = Tree(dict(main.nodes), next_generation, self._touched.add)
        self.changes: list[Change] = []

    def commit(self) -> None:
        """Put the changes into the main tree.

        Raises:
            XenstoreError: EAGAIN, a node that was used here has changed there.
        """
        main = self._main.nodes
        for path in self._touched:
            if main.get(path) is not self._before.get(path):
                raise XenstoreError("EAGAIN")
        for path in self._touched:
            node = self.tree.nodes.get(path)
            if node is None:
                main.pop(path, None)
            else:
                main[path] = node
