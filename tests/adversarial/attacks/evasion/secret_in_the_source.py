# title = "a key in the source, for whoever reads the repository"
# expect = "no-effect"
# layer = "policies"
# policies = "refused: secrets"
# broken_wall = "none: it harms its author; only the policies look for it"
# escapes = true

# --- honest part ---
KEY = """-----BEGIN OPENSSH PRIVATE\x20KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
-----END OPENSSH PRIVATE\x20KEY-----"""
seal(train(Unigram()))
