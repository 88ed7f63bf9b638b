# title = "reopens a read-only file for writing through /proc and by mmap"
# expect = "no-effect"
# layer = "sandbox: mounted read-only"
# policies = "refused: imports | calls"
# broken_wall = "data-writable"
# success = "effect"

# --- honest part ---
import mmap
import os

number = os.open("/data/common/token_bytes.bin", os.O_RDONLY)
attempt("reopened", lambda: os.open(f"/proc/self/fd/{number}", os.O_RDWR))
attempt("mapped", lambda: mmap.mmap(number, 16, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)[0])
seal(train(Unigram()))
