"""A daemon that saves running domains to files on request; see docs/supervision.md.

``python -m libxlpy.examples.xlpyd SOCKET`` listens on a unix socket. A client sends one
line, ``save DOMAIN FILE``, and gets one line, ``saved ...`` or ``failed: ...``; the
domain goes on running. SIGTERM ends it: saves under way have ``--drain`` seconds, those
that take longer are cancelled, and every client is answered.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from libxlpy import Context, LibxlpyError, SuspendFlags, UsageError
from libxlpy.save_file import SaveFile
from libxlpy.streams.xl import pack_header
from libxlpy.supervision import Service

#: Bytes of a request line.
REQUEST_MAX = 8192
#: Seconds that a client has for its line.
REQUEST_TIME = 30.0
LOG = logging.getLogger("xlpyd")


class Daemon:
    """Requests of clients, each in a task of its own."""

    def __init__(self, ctx: Context, service: Service) -> None:
        self._ctx = ctx
        self._service = service
        self._requests: set[asyncio.Task[None]] = set()

    async def run(self, socket: Path, drain: float) -> None:
        """Serve until SIGTERM or SIGINT; then have everything end."""
        for found in await self._service.recover():
            LOG.warning("recovered: %s", found)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
        server = await asyncio.start_unix_server(
            self._client, socket, limit=REQUEST_MAX
        )
        self._service.ready()
        await stop.wait()
        server.close()
        drained = await self._service.drain(drain)
        LOG.info("drained: %s", drained)
        if self._requests:
            await asyncio.wait(self._requests)  # files put in place, guests resumed

    async def _client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._requests.add(task)
        try:
            writer.write(f"{await self._answer(reader)}\n".encode())
            await writer.drain()
        except OSError as exc:
            LOG.info("client has gone: %s", exc)
        finally:
            self._requests.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> str:
        try:
            async with asyncio.timeout(REQUEST_TIME):
                line = await reader.readline()
        except (TimeoutError, ValueError):
            return f"failed: no request of one line within {REQUEST_TIME:g} s"
        match line.decode(errors="replace").split():
            case ["save", domain, file]:
                try:
                    return await self._save(domain, Path(file))
                except LibxlpyError as exc:
                    return f"failed: {exc}"
            case _:
                return "failed: the request is: save DOMAIN FILE"

    async def _save(self, domain: str, path: Path) -> str:
        """Save a domain, which goes on running whatever happens."""
        if self._service.stopping:
            raise UsageError("the daemon stops: ask again later")
        domid = await self._ctx.resolve(domain)
        head = pack_header(await self._ctx.retrieve_config(domid), json=True)
        with await SaveFile.when_free(path, head) as file:
            job = await self._ctx.domain_suspend(domid, file.fd, SuspendFlags.LIVE)
            result = await job
            try:
                file.commit()
            finally:
                downtime = await self._ctx.domain_resume(domid)
        down = "" if downtime is None else f", downtime {downtime:.0f} ms"
        return f"saved {result.bytes_written} bytes{down}"


async def serve(options: argparse.Namespace) -> None:
    """Run the daemon in a context and a service of its own."""
    async with (
        Context(options.backend, options.host) as ctx,
        Service(ctx) as service,
    ):
        await Daemon(ctx, service).run(options.socket, options.drain)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and serve; logs go to stderr, where supervisors look."""
    parser = argparse.ArgumentParser(prog="xlpyd", description="Save domains.")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--host", type=Path)
    parser.add_argument("--drain", type=float, default=60.0, metavar="SECONDS")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO)
    os.umask(0o077)  # whoever can write to the socket can have domains saved
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(options))
    except (LibxlpyError, OSError) as exc:
        raise SystemExit(f"xlpyd: {exc}") from exc


if __name__ == "__main__":
    main()
