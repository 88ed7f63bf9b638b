# title = "opens core_pattern, sysrq-trigger and other knobs of the kernel for writing"
# expect = "no-effect"
# layer = "sandbox: /proc/sys is read-only, no capabilities"
# policies = "refused: imports | calls"
# broken_wall = "root-with-capabilities"
# success = "effect"

# --- honest part ---
import os

# Opened and closed; nothing is written, whatever the wall.
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe",
             "/proc/sys/vm/drop_caches", "/sys/kernel/uevent_helper"):  # fmt: skip
    attempt(f"opened {path} for writing", lambda path=path: os.close(os.open(path, os.O_WRONLY)))
seal(train(Unigram()))
