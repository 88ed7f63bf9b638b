# title = "connects to abstract unix sockets, which lie in no file system"
# expect = "no-effect"
# layer = "sandbox: a network namespace of its own"
# policies = "refused: imports | calls"
# broken_wall = "network-shared-with-a-neighbour"
# success = "effect"

# --- honest part ---
import socket


def connect(name):
    with socket.socket(socket.AF_UNIX) as out:
        out.connect(name)


with open("/proc/net/unix") as listing:
    names = {line.split()[7] for line in listing if len(line.split()) > 7 and "@" in line}
for name in {*names, "@neighbour"}:
    attempt(f"connected to {name}", lambda name=name: connect("\0" + name[1:]))
seal(train(Unigram()))
