# title = "reads the kernel's memory and what /proc keeps masked"
# expect = "no-effect"
# layer = "sandbox: masked paths, no capabilities"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
import os

for path in ("/proc/kcore", "/dev/mem", "/proc/timer_list", "/proc/keys", "/sys/firmware/dmi/tables/DMI"):
    attempt(f"read {path}", lambda path=path: len(os.read(os.open(path, os.O_RDONLY), 16)) or False)
seal(train(Unigram()))
