"""A small parent of the build helper, for the tests in dom0."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from libxlpy_protocol.enums import Image, Mode, Op
from libxlpy_protocol.hello import MIN_VERSION, VERSION
from libxlpy_protocol.messages import (
    Abort,
    Complete,
    DomainOp,
    Hello,
    Log,
    Message,
    OpResult,
    Phase,
    Release,
    Start,
)
from libxlpy_protocol.session import ParentSession
from libxlpy_protocol.stream.xl import (
    XL_HEADER_SIZE,
    unpack_xl_config,
    unpack_xl_header,
)

from .support import PATIENCE

MODULE = (sys.executable, "-I", "-m", "libxlpy_helper.builder.main")
Change = Callable[[dict[str, Any]], None]


def unchanged(config: dict[str, Any]) -> None:
    """Take the configuration as it is."""


class Build:
    """One build helper, restoring from a file of `xl save`. A context manager."""

    def __init__(self, file: Path, *options: str, change: Change = unchanged) -> None:
        self.seen: list[Message] = []
        self.session = ParentSession()
        self._stream = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        header = unpack_xl_header(os.read(self._stream, XL_HEADER_SIZE))
        config = unpack_xl_config(os.read(self._stream, header.optional_length))
        assert config is not None
        self.config = json.loads(config.rstrip(b"\0"))
        change(self.config)
        self._spawn(json.dumps(self.config).encode(), options)

    def _spawn(self, config: bytes, options: tuple[str, ...]) -> None:
        config_fd = os.memfd_create("config")
        os.write(config_fd, config)
        os.lseek(config_fd, 0, os.SEEK_SET)
        theirs_in, self.write_fd = os.pipe()
        self.read_fd, theirs_out = os.pipe()
        argv = [*MODULE, "--parent", str(os.getpid()), "--config-fd", str(config_fd)]
        self.process = subprocess.Popen(
            [*argv, *options],
            stdin=theirs_in,
            stdout=theirs_out,
            pass_fds=[config_fd, self._stream],
            start_new_session=True,
        )
        for fd in (theirs_in, theirs_out, config_fd):
            os.close(fd)

    def __enter__(self) -> "Build":
        self.send(Hello(VERSION, MIN_VERSION, "test"))
        self.until(Hello)
        self.send(Start(Mode.RESTORE, image=Image.LIBXL, stream_fd=self._stream))
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for fd in (self._stream, self.write_fd, self.read_fd):
            os.close(fd)

    def send(self, message: Message) -> None:
        os.write(self.write_fd, self.session.send(message))

    def until(self, *kinds: type[Message]) -> Message:
        """Return the next message of these kinds; all go to ``seen``."""
        for message in self.seen:
            if isinstance(message, kinds):
                self.seen.remove(message)
                return message
        while True:
            ready = select.select([self.read_fd], [], [], PATIENCE)[0]
            assert ready, f"silent after {self.seen[-5:]}"
            data = os.read(self.read_fd, 4096)
            assert data, f"end of file after {self.seen[-5:]}"
            found: Message | None = None
            self.session.receive(data)
            for event in iter(self.session.next_event, None):
                if found is None and isinstance(event.message, kinds):
                    found = event.message
                else:
                    self.seen.append(event.message)
            if found is not None:
                return found

    def phase(self, name: str) -> None:
        """Wait until it begins this part."""
        while self.until(Phase) != Phase(name):
            pass

    def finish(self) -> Complete:
        done = self.until(Complete)
        assert isinstance(done, Complete)
        self.send(Release())
        assert self.process.wait(PATIENCE) == 0
        return done

    def abort(self) -> None:
        self.send(Abort("test"))

    def domids(self) -> list[int]:
        """List all domains but dom0, by domain ops."""
        found: list[int] = []
        first = 1
        while True:
            self.send(DomainOp(Op.LIST, 0, first))
            result = self.until(OpResult)
            assert isinstance(result, OpResult)
            if result.retval != 1:
                return found
            found.append(result.values[0])
            first = result.values[0] + 1

    def logs(self) -> str:
        return "\n".join(m.text for m in self.seen if isinstance(m, Log))
