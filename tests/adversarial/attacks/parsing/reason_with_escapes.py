# title = "a last line that is to become the reason of the experiment"
# expect = "crash"
# reason = "exited with code 3"
# layer = "sanitiser"
# policies = "refused: contract"
# broken_wall = "no-sanitiser"
# success = "leak"

import sys

print("\x1b[32mkept: val_bpb 0.5\x1b[0m [bold red]markup[/] \u202e", file=sys.stderr)
sys.exit(3)
