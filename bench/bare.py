"""A server that answers at once and does nothing else: what it is late with, the machine is late with."""

from __future__ import annotations

import asyncio

from bench.lines import answer_lines

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_HEAD_END = b"\r\n\r\n"


class Bare(asyncio.Protocol):
    """One connection: every request is a head alone, and each gets the same answer."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP has no other
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; a head comes in one packet, as the probe sends it."""
        self.transport.write(_ANSWER * data.count(_HEAD_END))


async def main() -> None:
    """Be the program: ready with its port; ends when its input does."""
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    async with server:
        await answer_lines({"port": server.sockets[0].getsockname()[1]}, {})


if __name__ == "__main__":
    asyncio.run(main())
