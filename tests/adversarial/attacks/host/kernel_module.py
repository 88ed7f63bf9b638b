# title = "loads a kernel module"
# expect = "no-effect"
# layer = "seccomp; sandbox: no capabilities"
# policies = "refused: imports | calls"
# broken_wall = "none: it would reach the kernel itself, and many kernels have no such call"

# --- honest part ---
# --- system calls ---
import errno


def would_be_heard():
    """A descriptor that is none: EBADF says that the right to load was there, EPERM that it was not."""
    try:
        system_call("finit_module", -1, b"", 0)
    except OSError as error:
        return error.errno == errno.EBADF
    return True


attempt("may load a module", would_be_heard)
seal(train(Unigram()))
