"""``python -m sandbox.proxy --listen unix:PATH --engine unix:PATH --allow FILE``: until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import grp
import logging
import os
import signal
import stat
import sys
from contextlib import suppress
from pathlib import Path

from sandbox.proxy.allow import Allow, BadAllowFile, load
from sandbox.proxy.guard import Guard
from sandbox.proxy.head import HEAD_BYTES
from sandbox.proxy.server import Server
from sandbox.proxy.upstream import Upstream

MODE = 0o660


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 0, or 2 with a sentence where it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.proxy", description=__doc__)
    parser.add_argument("--listen", required=True, type=_unix, metavar="unix:PATH")
    parser.add_argument("--engine", default="unix:/var/run/docker.sock", type=_unix, metavar="unix:PATH")
    parser.add_argument("--allow", required=True, type=Path, metavar="FILE")
    parser.add_argument("--group", help="the group that may connect; by default this process's own")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_serve(load(options.allow), options.listen, options.engine, _group(options.group)))
    except (BadAllowFile, OSError) as error:
        sys.stderr.write(f"docker proxy: {error}\n")
        return 2
    return 0


def _unix(text: str) -> str:
    kind, _, path = text.partition(":")
    path = path.removeprefix("//")
    if kind != "unix" or not path.startswith("/"):
        raise argparse.ArgumentTypeError("must be unix: and an absolute path")
    return path


def _group(name: str | None) -> int:
    """The group's number; -1 leaves it as it is."""
    if name is None or name.isdecimal():
        return int(name or -1)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise BadAllowFile(f"there is no group {name}") from None


async def _serve(allow: Allow, listen: str, engine: str, group: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    upstream = Upstream(engine)
    server = Server(Guard(allow, upstream), upstream, longest_seconds=allow.most.container_seconds + 600)
    _remove_stale(listen)
    before = os.umask(0o777 & ~MODE)  # never open to others, not even for the moment between bind and chmod
    listening = await asyncio.start_unix_server(server.serve, path=listen, limit=HEAD_BYTES, backlog=16)
    os.umask(before)
    os.chown(listen, -1, group)
    os.chmod(listen, MODE)  # noqa: PTH101 - the path is text throughout
    logging.getLogger("sandbox.proxy").info("serving lab %s at %s", allow.lab.id, listen)
    await stop.wait()
    listening.close()
    with suppress(FileNotFoundError):
        Path(listen).unlink()


def _remove_stale(listen: str) -> None:
    """What an earlier, killed process left; anything but a socket is not ours to remove."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(Path(listen).lstat().st_mode):
            Path(listen).unlink()


if __name__ == "__main__":
    sys.exit(main())
