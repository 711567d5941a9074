"""Every signal that would end the program is taken, unless it is to be ignored."""

import queue
import signal

import pytest

from libxlpy.cli.terminal.signals import ENDING, TAKEN, Signals, signal_name

#: End nothing, or can't be taken, or are an error of the program's own.
OTHERS = {
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT, signal.SIGURG),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH),
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP),
    *(signal.SIGABRT, signal.SIGSYS),
    # Python ignores them: a write fails instead.
    *(signal.SIGPIPE, signal.SIGXFSZ),
}


def test_none_is_forgotten() -> None:
    assert signal.valid_signals() == {*TAKEN, *ENDING, *OTHERS}


@pytest.mark.parametrize("signum", ENDING)
def test_it_is_taken(signum: int) -> None:
    came: queue.SimpleQueue[int] = queue.SimpleQueue()
    signals, before = Signals(), signal.signal(signum, signal.SIG_DFL)
    try:
        with signals.handled(restore=True), signals.taken_by(came.put):
            signal.raise_signal(signum)
            assert came.get() == signum
    finally:
        signal.signal(signum, before)


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals().handled(restore=True):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_each_has_its_name() -> None:
    names = {signal_name(each) for each in ENDING}
    assert len(names) == len(ENDING)
    assert names >= {"SIGHUP", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX"}
