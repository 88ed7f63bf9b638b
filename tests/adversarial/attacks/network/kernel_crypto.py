# title = "AF_ALG, a large interface of the kernel that training has no use for"
# expect = "no-effect"
# layer = "seccomp: sockets are AF_UNIX only"
# policies = "refused: imports"
# broken_wall = "none: the kernels here and there lack it; where it is, no-seccomp lets it through"

# --- honest part ---
import socket


def crypto():
    out = socket.socket(38, socket.SOCK_SEQPACKET)
    out.bind(("hash", "sha256"))
    return out.fileno()


attempt("reached the kernel's crypto interface", crypto)
seal(train(Unigram()))
