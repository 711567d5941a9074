"""The helper's own xenstore client, on an xenstored that restarts."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from libxlpy_helper.peers.xenstore import LostError, XenstoreClient
from tests.support.helper_driver import LIMIT
from tests.support.simxen_host import Simxen


def test_xenstored_that_restarts_is_connected_to_once_more(simxen: Simxen) -> None:
    with contextlib.closing(simxen.xenstore()) as xenstore:
        xenstore.write("/node", b"1")
        simxen.ask("xenstored", fault="restart")
        assert xenstore.read("/node") == b"1"
        simxen.ask("xenstored", fault="restart")
        with pytest.raises(LostError):
            xenstore.read("/node")


@pytest.mark.parametrize("after", ["read", "write"])
def test_transaction_that_a_restart_ends_is_done_again(
    simxen: Simxen, after: str
) -> None:
    tries: list[int] = []

    def work(tx_id: int) -> bool:
        tries.append(tx_id)
        number = int(xenstore.read("/node", tx_id))
        if after == "read" and len(tries) == 1:
            simxen.ask("xenstored", fault="restart")
        xenstore.write("/node", b"%d" % (number + 1), tx_id)
        if after == "write" and len(tries) == 1:
            simxen.ask("xenstored", fault="restart")
        return True

    with contextlib.closing(simxen.xenstore()) as xenstore:
        xenstore.write("/node", b"1")
        assert xenstore.transact(work)
        assert len(tries) == 2
        assert xenstore.read("/node") == b"2"


def test_xenstored_that_stays_away_is_not_waited_for_long(simxen: Simxen) -> None:
    path = str(simxen.directory / "xenstored.sock")
    simxen.ask("xenstored", fault="die")
    with pytest.raises(TimeoutError, match="xenstored has gone"):
        XenstoreClient(path, time.monotonic() + LIMIT, 0.1)


def test_xenstored_that_comes_back_is_waited_for(simxen: Simxen) -> None:
    simxen.ask("xenstored", fault="die")
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read_name, simxen)
        simxen.ask("xenstored", fault="")
        assert reading.result() == b"Domain-0"


def read_name(simxen: Simxen) -> bytes:
    with contextlib.closing(simxen.xenstore()) as xenstore:
        return xenstore.read("/local/domain/0/name")
