"""Makes the tree that the bench saves: about 70,000 entries, 1.3 GB, with what is awkward about file systems."""

import os
import random
import struct
import subprocess
import sys

FOLDERS = 6000
SMALL_FILES = 62_000
LARGE_FILES = 45
POOL_BYTES = 48 << 20


def text_pool(rng):
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    weights = [2 ** (-place / 6) for place in range(26)]
    words = ["".join(rng.choices(letters, weights, k=rng.randint(2, 10))) for _ in range(20_000)]
    usual = [1 / (place + 3) for place in range(len(words))]
    return " ".join(rng.choices(words, usual, k=POOL_BYTES // 6)).encode()


def record_pool(rng):
    """Records as databases and programs have them: small numbers, pointers, flags."""
    pack = struct.Struct("<IHHQ").pack
    return b"".join(
        pack(number, rng.getrandbits(5), 7, rng.getrandbits(34)) for number in range(POOL_BYTES // 16)
    )


def piece(pool, rng, size):
    start = rng.randrange(len(pool))
    taken = pool[start : start + size]
    while len(taken) < size:
        taken += pool[: size - len(taken)]
    return taken


def main(root):
    rng = random.Random(20261122)
    pools = [text_pool(rng), record_pool(rng)]

    def content(size):
        kind = rng.random()
        if kind < 0.28:
            return rng.randbytes(size)
        return piece(pools[kind > 0.8], rng, size)

    folders = [root]
    os.makedirs(root)
    while len(folders) < FOLDERS:
        above = rng.choice(folders)
        folder = os.path.join(above, f"folder-{len(folders):05}")
        os.mkdir(folder)
        folders.append(folder)
    for number in range(SMALL_FILES):
        size = min(int(rng.lognormvariate(8.3, 1.5)), 900_000)
        with open(os.path.join(rng.choice(folders), f"file-{number:06}.dat"), "wb") as file:
            file.write(content(size))
    for number in range(LARGE_FILES):
        with open(os.path.join(rng.choice(folders), f"large-{number:03}.bin"), "wb") as file:
            file.write(content(rng.randrange(2 << 20, 14 << 20)))
    awkward(root, rng)


def awkward(root, rng):
    folder = os.path.join(root, "awkward").encode()
    os.mkdir(folder)
    for name in [b"new\nline", b"-rf", b" ", b"\xff\xfe", b"x" * 255, "Grüße".encode(), b"*?[a]"]:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(name)
    with open(os.path.join(folder, b"holes"), "wb") as file:
        file.truncate(200 << 20)
        for at in (0, 5 << 20, 100 << 20):
            file.seek(at)
            file.write(rng.randbytes(10_000))
    with open(os.path.join(folder, b"first"), "wb") as file:
        file.write(rng.randbytes(3 << 20))
    for number in range(500):
        os.link(os.path.join(folder, b"first"), os.path.join(folder, b"link-%d" % number))
        os.symlink(b"first", os.path.join(folder, b"symlink-%d" % number))
    os.mkfifo(os.path.join(folder, b"pipe"))
    for number in range(200):
        path = os.path.join(folder, b"attributes-%d" % number)
        with open(path, "wb") as file:
            file.write(b"x" * number)
        os.setxattr(path, b"user.bench", b"value %d" % number)
    if os.geteuid() == 0:
        os.mknod(os.path.join(folder, b"null"), 0o20666, os.makedev(1, 3))
        capable = os.path.join(folder, b"capable")
        with open(capable, "wb") as file:
            file.write(b"#!/bin/true")
        os.setxattr(capable, b"security.capability", bytes([1, 0, 0, 2, 0, 4]) + bytes(14))
    for number in range(0, 200, 4):
        subprocess.run(["setfacl", "-m", "u:1234:r", os.path.join(folder, b"attributes-%d" % number)], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
