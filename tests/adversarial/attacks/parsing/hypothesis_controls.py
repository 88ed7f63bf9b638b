# title = "every control, bidi and separator character in a hypothesis, a log and a reason"
# kind = "text"
# expect = "no-effect"
# layer = "sanitiser"
# policies = "not asked"
# broken_wall = "no-sanitiser"
# success = "leak"

"\x00\x01\x07\x08\x1b[2J\x1b]52;c;AAAA\x07\x7f\x80\x85\x9b\xad\u061c\u200b\u200e\u2028\u2029\u202e\u2066\ufeff\ufff9\udc80\ud800\U000e0041 end"
