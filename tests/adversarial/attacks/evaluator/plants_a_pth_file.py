# title = "a .pth file and a module among the installed packages"
# expect = "no-effect"
# layer = "sandbox: read-only root, files of root"
# policies = "refused: calls | imports"
# broken_wall = "root-on-a-writable-root"
# success = "effect"

# --- honest part ---
import sysconfig

site = sysconfig.get_paths()["purelib"]
for name in ("evil.pth", "autoresearch_guest/loss.py"):
    attempt(f"opened {name} among the packages for writing", lambda name=name: open(f"{site}/{name}", "a").close())
seal(train(Unigram()))
