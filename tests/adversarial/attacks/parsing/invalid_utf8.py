# title = "bytes that are not UTF-8, and lone surrogates"
# expect = "no-effect"
# layer = "sanitiser"
# policies = "allowed"
# broken_wall = "log-decoded-carelessly"
# success = "leak"

# --- honest part ---
import sys

seal(train(Unigram()))
sys.stdout.buffer.write(b"\xff\xfe\xed\xa0\x80\xc0\xaf \xf8\x88\x80\x80\x80\n")
