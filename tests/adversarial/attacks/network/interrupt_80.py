# title = "32-bit system calls by interrupt 0x80, past filters that read 64-bit numbers"
# expect = "no-effect"
# layer = "seccomp: native calls only"
# policies = "refused: imports | calls"
# broken_wall = "no-seccomp"
# success = "effect"

# --- honest part ---
import ctypes
import mmap
import os
import platform

# mov eax, 199 (getuid32) ; push rbx ; int 0x80 ; pop rbx ; ret
CODE = b"\x53\xb8\xc7\x00\x00\x00\xcd\x80\x5b\xc3"


def interrupt():
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(CODE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_int)(start)()


if platform.machine() == "x86_64" and os.fork() == 0:  # a child: the filter may kill
    attempt("made a 32-bit call:", lambda: interrupt() == os.getuid())
    os._exit(0)
seal(train(Unigram()))
