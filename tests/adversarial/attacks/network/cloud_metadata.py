# title = "asks the cloud's metadata service for credentials"
# expect = "no-effect"
# layer = "sandbox: no network but lo"
# policies = "refused: imports"
# broken_wall = "a-network"
# success = "effect"

# --- honest part ---
# --- reaching out ---
import socket

for host in ("169.254.169.254", "metadata.google.internal"):
    attempt(f"reached {host}", lambda host=host: sent(lambda: socket.create_connection((host, 80), timeout=2)))
seal(train(Unigram()))
