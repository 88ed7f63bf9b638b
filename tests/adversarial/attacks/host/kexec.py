# title = "asks for another kernel, with arguments that no kernel takes"
# expect = "no-effect"
# layer = "seccomp; sandbox: no capabilities"
# policies = "refused: imports | calls"
# broken_wall = "none: it would reach the kernel itself, and many kernels have no such call"

# --- honest part ---
# --- system calls ---
import errno


def would_be_heard():
    """99 segments are always too many: EINVAL says that the right to ask was there, EPERM that it was not."""
    try:
        system_call("kexec_load", 0, 99, None, 0)
    except OSError as error:
        return error.errno == errno.EINVAL
    return True


attempt("may load a kernel", would_be_heard)
seal(train(Unigram()))
