# title = "reads the memory of another process by process_vm_readv"
# expect = "no-effect"
# layer = "seccomp"
# policies = "refused: imports | calls"
# broken_wall = "no-seccomp"
# success = "effect"

# --- honest part ---
# --- system calls ---
class Piece(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t))


secret, copy = ctypes.create_string_buffer(b"secret"), ctypes.create_string_buffer(7)
child = os.fork()
if child == 0:
    import time

    time.sleep(60)
there, here = Piece(ctypes.addressof(secret), 6), Piece(ctypes.addressof(copy), 6)
pointers = ctypes.byref(here), 1, ctypes.byref(there), 1, 0
attempt("read another process", lambda: system_call("process_vm_readv", child, *pointers))
os.kill(child, 9)
seal(train(Unigram()))
