# title = "opens a file of the host by its handle, past every mount"
# expect = "no-effect"
# layer = "sandbox: no capabilities; seccomp"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
# --- system calls ---
import struct

handle, mount = ctypes.create_string_buffer(struct.pack("I", 128) + bytes(132)), ctypes.c_int()


def by_handle():
    system_call("name_to_handle_at", -100, b"/lab/train.py", handle, ctypes.byref(mount), 0)
    return system_call("open_by_handle_at", os.open("/lab/train.py", os.O_RDONLY), handle, os.O_RDONLY)


attempt("opened by handle", by_handle)
seal(train(Unigram()))
