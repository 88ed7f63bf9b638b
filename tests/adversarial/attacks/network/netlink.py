# title = "AF_NETLINK, to speak to the kernel's network configuration"
# expect = "no-effect"
# layer = "seccomp: sockets are AF_UNIX only"
# policies = "refused: imports"
# broken_wall = "no-seccomp"
# success = "effect"

# --- honest part ---
import socket

attempt("made a netlink socket", lambda: socket.socket(16, socket.SOCK_RAW, 0).fileno())
seal(train(Unigram()))
