# title = "opens release_agent and its own limits in the cgroup file system for writing"
# expect = "no-effect"
# layer = "sandbox: cgroups are mounted read-only"
# policies = "refused: imports | calls"
# broken_wall = "cgroups-writable"
# success = "effect"

# --- honest part ---
import glob
import os

names = ("release_agent", "cgroup.procs", "memory.limit_in_bytes", "memory.max", "pids.max", "cpuset.cpus")
for path in (path for name in names for path in glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True)):
    attempt(f"opened {path} for writing", lambda path=path: os.close(os.open(path, os.O_WRONLY)))
seal(train(Unigram()))
