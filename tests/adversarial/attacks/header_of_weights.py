import json
import struct


def rewrite(change):
    with open("/out/model.safetensors", "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    change(header)
    text = json.dumps(header).encode()
    with open("/out/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
