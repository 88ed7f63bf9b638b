# title = "AF_VSOCK, which no network namespace confines"
# expect = "no-effect"
# layer = "seccomp: sockets are AF_UNIX only"
# policies = "refused: imports"
# broken_wall = "no-seccomp"
# success = "effect"

# --- honest part ---
import socket

attempt("made a vsock socket", lambda: socket.socket(40, socket.SOCK_STREAM).fileno())
seal(train(Unigram()))
