import errno
import struct


def neighbours():
    """An address of every network that there is a route to, lo's excepted."""
    found = []
    with open("/proc/net/route") as routes:
        for line in list(routes)[1:]:
            name, network = line.split()[:2]
            if name != "lo" and network != "00000000":
                found.append(".".join(map(str, struct.pack("<I", int(network, 16) + (1 << 24)))))
    return found


def sent(connect):
    """A refusal from the other side, or silence, says that the packet went out."""
    try:
        connect()
    except TimeoutError:
        return True
    except OSError as error:
        if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH):
            return True
        raise
    return True
