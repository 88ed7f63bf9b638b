# title = "AF_PACKET and raw sockets"
# expect = "no-effect"
# layer = "sandbox: no capabilities; seccomp"
# policies = "refused: imports"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
import socket

attempt("made a packet socket", lambda: socket.socket(17, socket.SOCK_RAW).fileno())
attempt("made a raw socket", lambda: socket.socket(2, socket.SOCK_RAW, 1).fileno())
seal(train(Unigram()))
