"""Which epochs may be closed, and what may be acknowledged."""

import pytest

from libxlpy import PeerFailed
from libxlpy.remus.epochs import Epochs
from libxlpy_protocol.acks import ACK_SIZE, pack_ack, unpack_ack
from libxlpy_protocol.errors import StreamFormatError


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_are_closed_than_may_be_uncommitted(most: int) -> None:
    epochs = Epochs(most)
    for number in range(1, most + 1):
        assert epochs.may_close
        assert epochs.close() == number
    assert not epochs.may_close
    assert epochs.lag == most
    epochs.acknowledge(1)
    assert not epochs.may_close
    epochs.commit()
    assert epochs.may_close
    assert epochs.lag == most - 1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3, "epoch 3: 2 was the last one sent"),
        (1, "epoch 1: it had acknowledged 1 before"),
        (0, "epoch 0: it had acknowledged 1 before"),
    ],
)
def test_only_the_next_one_that_was_sent_is_acknowledged(
    number: int, text: str
) -> None:
    epochs = Epochs(2)
    epochs.close()
    epochs.acknowledge(1)
    epochs.commit()
    epochs.close()
    with pytest.raises(PeerFailed, match=text):
        epochs.acknowledge(number)
    assert epochs.acknowledged == 1


def test_none_is_left_out() -> None:
    epochs = Epochs(2)
    epochs.close()
    epochs.close()
    with pytest.raises(PeerFailed, match="epoch 2: it has yet to acknowledge 1"):
        epochs.acknowledge(2)


def test_acknowledgement_is_read_as_it_was_said() -> None:
    for epoch in (1, 1 << 63):
        assert unpack_ack(pack_ack(epoch)) == epoch


@pytest.mark.parametrize("data", [b"", bytes(ACK_SIZE), pack_ack(1)[:-1]])
def test_what_is_no_acknowledgement_is_refused(data: bytes) -> None:
    with pytest.raises(StreamFormatError, match="no acknowledgement"):
        unpack_ack(data)
