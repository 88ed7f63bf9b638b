import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {  # x86-64, arm64
    "ptrace": (101, 117), "add_key": (248, 217), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "bpf": (321, 280), "perf_event_open": (298, 241), "kexec_load": (246, 104), "finit_module": (313, 273),
    "io_uring_setup": (425, 425), "userfaultfd": (323, 282), "personality": (135, 92), "shmget": (29, 194),
    "msgget": (68, 186), "process_vm_readv": (310, 270), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "kcmp": (312, 272),
}


def system_call(name, *arguments):
    number = NUMBERS[name][platform.machine() == "aarch64"]
    words = [ctypes.c_long(given) if isinstance(given, int) else given for given in arguments]
    answer = libc.syscall(number, *words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return answer
