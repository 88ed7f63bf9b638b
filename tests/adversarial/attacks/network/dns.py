# title = "asks a name server, the oldest covert channel"
# expect = "no-effect"
# layer = "sandbox: no network but lo"
# policies = "refused: imports"
# broken_wall = "a-network"
# success = "effect"

# --- honest part ---
# --- reaching out ---
import socket

QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09neighbour\x00\x00\x01\x00\x01"


def ask(server):
    with socket.socket(2, 2) as asking:
        asking.settimeout(2)
        asking.sendto(QUESTION, (server, 53))
        return asking.recv(512)[:2] == b"\x12\x34"


for server in ("127.0.0.11", *neighbours()):
    attempt(f"had an answer from the name server {server}", lambda server=server: ask(server))
seal(train(Unigram()))
