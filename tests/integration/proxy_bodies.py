"""Create bodies that would give somebody the host, or more of it than a trial has. Each starts from an honest one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]
Change = Callable[[Body], object]
SOCKET = "/var/run/docker.sock"


def _mount(**fields: object) -> Body:
    return {"Type": "bind", "Source": "/", "Target": "/host", "ReadOnly": True, **fields}


def host(**fields: object) -> Change:
    return lambda body: body["HostConfig"].update(fields)


def top(**fields: object) -> Change:
    return lambda body: body.update(fields)


def add_mount(**fields: object) -> Change:
    return lambda body: body["HostConfig"]["Mounts"].append(_mount(**fields))


def first_mount(**fields: object) -> Change:
    return lambda body: body["HostConfig"]["Mounts"][0].update(fields)


def environment(*entries: str) -> Change:
    return lambda body: body["Env"].extend(entries)


def tmpfs(place: str, options: str) -> Change:
    return lambda body: body["HostConfig"]["Tmpfs"].update({place: options})


def security(*options: str) -> Change:
    return lambda body: body["HostConfig"].update(SecurityOpt=list(options))


def labels(**values: str) -> Change:
    names = {f"org.autoresearchd.{name}": value for name, value in values.items()}
    return lambda body: body["Labels"].update(names)


def without(*names: str) -> Change:
    return lambda body: [body["HostConfig"].pop(name) for name in names]


def _ulimits(body: Body) -> None:
    body["HostConfig"]["Ulimits"].append({"Name": "memlock", "Soft": -1, "Hard": -1})


def _weak_profile(body: Body) -> None:
    options = body["HostConfig"]["SecurityOpt"]
    options[1] = options[1].replace("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", 1)


def _climbs(body: Body) -> None:
    source = body["HostConfig"]["Mounts"][0]["Source"]
    body["HostConfig"]["Mounts"][0]["Source"] = f"{source}/../../../../../../etc"


CHANGES: dict[str, Change] = {
    "binds the root of the host": host(Binds=["/:/host"]),
    "binds the engine's socket": host(Binds=[f"{SOCKET}:{SOCKET}"]),
    "an empty Binds, to see whether it is looked at": host(Binds=[]),
    "Binds in lower case": host(binds=["/:/host"]),
    "mounts the root": add_mount(),
    "mounts the engine's socket": add_mount(Source=SOCKET),
    "mounts another source in the place of ours": first_mount(Source="/etc"),
    "mounts ours for writing": first_mount(ReadOnly=False),
    "a source that climbs": _climbs,
    "shared propagation": first_mount(BindOptions={"Propagation": "rshared"}),
    "a non-recursive bind": first_mount(BindOptions={"Propagation": "rprivate", "NonRecursive": True}),
    "a volume of another kind in Mounts": add_mount(
        Type="volume",
        Source="x",
        VolumeOptions={"DriverConfig": {"Options": {"type": "none", "o": "bind", "device": "/"}}},
    ),
    "a named pipe": add_mount(Type="npipe"),
    "volumes of another container": host(VolumesFrom=["somebody"]),
    "anonymous volumes": top(Volumes={"/data2": {}}),
    "a volume driver": host(VolumeDriver="local"),
    "privileged": host(Privileged=True),
    "adds all capabilities": host(CapAdd=["ALL"]),
    "adds none, but says so": host(CapAdd=[]),
    "drops fewer capabilities": host(CapDrop=["NET_RAW"]),
    "seccomp unconfined": security("no-new-privileges:true", "seccomp=unconfined"),
    "a weaker profile": _weak_profile,
    "new privileges": lambda body: body["HostConfig"]["SecurityOpt"].pop(0),
    "apparmor unconfined": lambda body: body["HostConfig"]["SecurityOpt"].append("apparmor=unconfined"),
    "SELinux labels off": lambda body: body["HostConfig"]["SecurityOpt"].append("label=disable"),
    "system paths unconfined": lambda body: body["HostConfig"]["SecurityOpt"].append("systempaths=unconfined"),
    "no masked paths": host(MaskedPaths=[], ReadonlyPaths=[]),
    "the host's network": host(NetworkMode="host"),
    "a bridge": host(NetworkMode="bridge"),
    "another container's network": host(NetworkMode="container:somebody"),
    "networks by the other key": top(NetworkingConfig={"EndpointsConfig": {"bridge": {}}}),
    "published ports": host(PortBindings={"80/tcp": [{"HostPort": "80"}]}),
    "a name server": host(Dns=["8.8.8.8"], ExtraHosts=["a:127.0.0.1"]),
    "the host's processes": host(PidMode="host"),
    "the host's IPC": host(IpcMode="host"),
    "the host's host name": host(UTSMode="host"),
    "the host's users": host(UsernsMode="host"),
    "the host's cgroups": host(CgroupnsMode="host"),
    "a disk": host(Devices=[{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]),
    "rules for devices": host(DeviceCgroupRules=["a *:* rwm"]),
    "all GPUs": host(DeviceRequests=[{"Count": -1, "Capabilities": [["gpu"]]}]),
    "a GPU that is not in the allow file": host(DeviceRequests=[{"DeviceIDs": ["GPU-9"], "Capabilities": [["gpu"]]}]),
    "another runtime": host(Runtime="io.containerd.runc.v2"),
    "another cgroup": host(CgroupParent="/"),
    "sysctls": host(Sysctls={"kernel.core_pattern": "|/bin/sh"}),
    "more groups": host(GroupAdd=["0"]),
    "a writable root": host(ReadonlyRootfs=False),
    "no init": host(Init=False),
    "never killed for memory": host(OomKillDisable=True),
    "others are killed first": host(OomScoreAdj=-1000),
    "no limit on memory": host(Memory=0, MemorySwap=-1),
    "more memory than allowed": host(Memory=1 << 50, MemorySwap=1 << 50),
    "swap besides": host(MemorySwap=-1),
    "no limit on processes": host(PidsLimit=-1),
    "a limit that is true": host(PidsLimit=True),
    "other cores": host(CpusetCpus="4095"),
    "more quota": host(NanoCpus=10**12),
    "limits left out": without("Memory", "MemorySwap", "PidsLimit"),
    "an absurd ulimit": _ulimits,
    "a tmpfs that executes": lambda body: body["HostConfig"]["Tmpfs"].update(
        {"/tmp": body["HostConfig"]["Tmpfs"]["/tmp"].replace("noexec", "exec")}
    ),
    "a tmpfs over the libraries": tmpfs("/opt", "rw"),
    "a tmpfs without a bound": tmpfs("/tmp", "rw,noexec,nosuid,nodev"),
    "a second size in a tmpfs": lambda body: body["HostConfig"]["Tmpfs"].update(
        {"/tmp": body["HostConfig"]["Tmpfs"]["/tmp"] + ",size=1t"}
    ),
    "a log without a bound": host(LogConfig={"Type": "json-file", "Config": {}}),
    "a log sent elsewhere": host(LogConfig={"Type": "syslog", "Config": {"syslog-address": "tcp://10.0.0.1:1"}}),
    "restarts for ever": host(RestartPolicy={"Name": "always"}),
    "removes itself": host(AutoRemove=True),
    "writes its id to a file of the host": host(ContainerIDFile="/etc/cron.d/x"),
    "root inside": top(User="0:0"),
    "root's group": top(User="64000:0"),
    "another slot's user": top(User="64002:64002"),
    "a user by name": top(User="root"),
    "another image": top(Image="autoresearch-base:bookworm"),
    "an image by the id of another": top(Image="sha256:" + "0" * 64),
    "an entry point": top(Entrypoint=["/bin/sh", "-c", "id"]),
    "another command": top(Cmd=["/bin/sh", "-c", "id"]),
    "another command behind the time limit": lambda body: body["Cmd"].__setitem__(3, "/bin/sh"),
    "a time limit of a year": lambda body: body["Cmd"].__setitem__(2, "31536000"),
    "a healthcheck": top(Healthcheck={"Test": ["CMD-SHELL", "id"]}),
    "a stop signal": top(StopSignal="SIGCONT", StopTimeout=10**9),
    "something to do on build": top(OnBuild=["RUN id"]),
    "a shell": top(Shell=["/bin/bash"]),
    "LD_PRELOAD": environment("LD_PRELOAD=/lab/x.so"),
    "the NVIDIA toolkit's variables": environment("NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DISABLE_REQUIRE=1"),
    "a variable twice": environment("HOME=/lab"),
    "another working directory": top(WorkingDir="/out"),
    "a terminal": top(Tty=True, OpenStdin=True),
    "a host name": top(Hostname="db.internal"),
    "a MAC address": top(MacAddress="00:00:00:00:00:01"),
    "another lab's label": labels(lab="ffffffff"),
    "no label of ours": top(Labels={}),
    "one label more": lambda body: body["Labels"].update({"com.docker.compose.project": "x"}),
    "a run that climbs": labels(run="../../x"),
    "the referee's label on a train container": labels(role="referee"),
    "validation rows for training": lambda body: body["HostConfig"]["Mounts"][2].update(
        Source=body["HostConfig"]["Mounts"][1]["Source"].replace("/common", "/val")
    ),
    "the engine's extra key": top(HostConfig2={}),
    "a key of a newer engine": host(Annotations={"run.oci.keep_original_groups": "1"}),
    "kernel memory and block devices": host(BlkioDeviceReadBps=[{"Path": "/dev/sda", "Rate": 1}], KernelMemory=1),
    "storage options": host(StorageOpt={"size": "1t"}),
    "isolation": host(Isolation="process"),
    "HostConfig that is null": top(HostConfig=None),
    "HostConfig that is a list": top(HostConfig=[]),
}


def changed(body: Body, change: Change) -> bytes:
    copied = copy.deepcopy(body)
    change(copied)
    return json.dumps(copied).encode()


def _twice(text: bytes) -> bytes:
    return text[:-1] + b',"HostConfig":{"Privileged":true}}'


def _first(text: bytes) -> bytes:
    return b'{"HostConfig":{"Binds":["/:/host"]},' + text[1:]


TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "HostConfig twice, the second privileged": _twice,
    "HostConfig twice, the first with Binds": _first,
    "HostConfig in another case": lambda text: text[:-1] + b',"hostconfig":{"Privileged":true}}',
    "HostConfig with a long s, which folds to s": lambda text: text[:-1] + b',"Ho\xc5\xbftConfig":{"Privileged":true}}',
    "a key with a Kelvin sign": lambda text: text.replace(b'"Tmpfs":', b'"Networ\xe2\x84\xaaMode":"host","Tmpfs":', 1),
    "a key by its escapes": lambda text: text[:-1] + b',"\\u0048ostConfig":{"Privileged":true}}',
    "a key twice deep inside": lambda text: text.replace(b'"Init"', b'"Init": false, "Init"', 1),
    "a second document": lambda text: text + b'{"HostConfig":{"Privileged":true}}',
    "rubbish after it": lambda text: text + b"\x00",
    "no UTF-8": lambda text: text.replace(b"sandbox", b"sand\xffox", 1),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "NaN": lambda text: text.replace(b'"Tty": false', b'"Tty": NaN', 1),
    "a fraction for a number": lambda text: text.replace(b'"PidsLimit": 128', b'"PidsLimit": 128.0', 1),
    "a lone surrogate": lambda text: text.replace(b'"sandbox"', b'"sand\\ud800box"', 1),
    "nested a hundred thousand deep": lambda text: b'{"HostConfig":' * 4000 + b"1" + b"}" * 4000,
    "a list": lambda text: b"[" + text + b"]",
    "nothing": lambda text: b"",
    "larger than allowed": lambda text: text + b" " * 70_000,
}  # fmt: skip

VOLUMES: dict[str, Change] = {
    "binds a folder of the host": lambda body: body.update(DriverOpts={"type": "none", "o": "bind", "device": "/"}),
    "a device after the tmpfs": lambda body: body["DriverOpts"].update(device="/"),
    "a bind among the options": lambda body: body["DriverOpts"].update(o=body["DriverOpts"]["o"] + ",bind"),
    "a size that stands twice": lambda body: body["DriverOpts"].update(o=body["DriverOpts"]["o"] + ",size=1t"),
    "a size beyond the allow file": lambda body: body["DriverOpts"].update(
        o=body["DriverOpts"]["o"].replace("size=", "size=9")
    ),
    "NFS": lambda body: body["DriverOpts"].update(type="nfs", o="addr=10.0.0.1", device=":/"),
    "setuid files": lambda body: body["DriverOpts"].update(o=body["DriverOpts"]["o"].replace(",nosuid", "")),
    "another driver": lambda body: body.update(Driver="sshfs"),
    "no options": lambda body: body.update(DriverOpts={}),
    "another name": lambda body: body.update(Name="somebodys-volume"),
    "another lab's label on it": lambda body: body["Labels"].update({"org.autoresearchd.lab": "ffffffff"}),
    "a cluster volume": lambda body: body.update(ClusterVolumeSpec={}),
}
