# title = "connects by TCP to an address outside"
# expect = "no-effect"
# layer = "sandbox: no network but lo"
# policies = "refused: imports"
# broken_wall = "a-network"
# success = "effect"
# quick = true

# --- honest part ---
# --- reaching out ---
import socket

for host in ("192.0.2.1", *neighbours()):
    attempt(f"sent TCP to {host}", lambda host=host: sent(lambda: socket.create_connection((host, 9), timeout=2)))
seal(train(Unigram()))
