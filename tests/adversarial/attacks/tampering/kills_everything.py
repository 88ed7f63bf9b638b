# title = "signals every process that it may, the referee above all"
# expect = "no-effect"
# layer = "sandbox: a process namespace of its own, another uid for the referee"
# policies = "refused: imports | calls"
# broken_wall = "processes-shared-with-the-referee"
# success = "fault || crash: was ended by SIGKILL"

# --- honest part ---
import os
import signal

for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid(), os.getppid()):
        with open(f"/proc/{name}/cmdline") as file:
            if "referee" in file.read():
                os.kill(int(name), signal.SIGKILL)
seal(train(Unigram()))
