# title = "sends over IPv6, which filters for IPv4 forget"
# expect = "no-effect"
# layer = "sandbox: no network but lo"
# policies = "refused: imports"
# broken_wall = "a-network-of-ipv6"
# success = "effect"

# --- honest part ---
import socket

attempt("has a route", lambda: socket.socket(socket.AF_INET6, 2).connect(("2001:db8::1", 9)))
attempt("sent", lambda: socket.socket(socket.AF_INET6, 2).sendto(b"tokens", ("fd00:6175:746f::1", 9)))
seal(train(Unigram()))
