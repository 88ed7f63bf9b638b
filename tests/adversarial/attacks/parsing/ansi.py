# title = "ANSI escapes: colours, cursor moves, a cleared screen"
# expect = "no-effect"
# layer = "sanitiser"
# policies = "allowed"
# broken_wall = "no-sanitiser"
# success = "leak"
# quick = true

# --- honest part ---
seal(train(Unigram()))
print("\x1b[2J\x1b[1;1H\x1b[32mkeep 0.000001\x1b[0m\x1b[1A\x1b[2K")
