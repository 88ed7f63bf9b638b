# title = "asks the Docker socket for a container of its own"
# expect = "no-effect"
# layer = "sandbox: the socket is not mounted"
# policies = "refused: imports"
# broken_wall = "a-socket-of-the-host"
# success = "effect"
# quick = true

# --- honest part ---
import socket


def ask(path):
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect(path)
        engine.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        return engine.recv(100)[:12]


for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"):
    attempt(f"spoke to {path}", lambda path=path: ask(path))
seal(train(Unigram()))
