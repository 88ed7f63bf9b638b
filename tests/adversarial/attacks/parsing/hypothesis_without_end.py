# title = "a hypothesis of four million characters"
# kind = "text"
# expect = "no-effect"
# layer = "sanitiser: bounded"
# policies = "not asked"
# broken_wall = "no-sanitiser"
# success = "leak"
# pad_bytes = 200000

"a plain idea"
