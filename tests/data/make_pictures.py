#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures of tests/data/pictures, with what PIL and torchvision read from them, and those of tests/fuzz/corpus.

    make_pictures.py [FOLDER]     needs numpy, pillow and torchvision (made with 2.4, 12.2 and 0.29)

Pillow 13 resizes the rows before the columns where that is less work, which changes some values by 1.

Each row of cases.txt is a call: the picture, "test" or "train", size, resize, jitter, the number that seeds its
randomness, and how it is compared. expected.gz holds (size, size, 3) bytes for each row, one after the other. The
random numbers are those of src/base/random.h: torchvision's own classes run on them.
"""
import gzip
import io
import pathlib
import struct
import sys
import types
import zlib

import numpy
import torch
from PIL import Image
from torchvision.transforms import transforms

MASK = (1 << 64) - 1


class Random:
    """src/base/random.c"""

    def __init__(self, seed, stream=0):
        self.mixed = seed
        self.mixed = self.split() ^ stream
        self.state = [self.split() for _ in range(4)]

    def split(self):
        self.mixed = (self.mixed + 0x9e3779b97f4a7c15) & MASK
        z = self.mixed
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9 & MASK
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb & MASK
        return z ^ (z >> 31)

    def bits(self):
        s = self.state
        rotate = lambda x, k: (x << k | x >> (64 - k)) & MASK
        result = rotate(s[1] * 5 & MASK, 7) * 9 & MASK
        t = s[1] << 17 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)
        return result

    def below(self, bound):
        threshold = (1 << 64) % bound
        while True:
            value = self.bits()
            if value >= threshold:
                return value % bound

    def double(self):
        return (self.bits() >> 11) * 2.0 ** -53


class Draws:
    """torch, as torchvision's transforms see it, with the random numbers of Random."""

    def __init__(self, seed):
        self.random = Random(seed)

    def __getattr__(self, name):
        return getattr(torch, name)

    def empty(self, count):
        assert count == 1
        return types.SimpleNamespace(uniform_=self.uniform)

    def uniform(self, least, most):
        least, most = float(numpy.float32(least)), float(numpy.float32(most))
        return torch.tensor([least + (most - least) * self.random.double()], dtype=torch.float32)

    def randint(self, least, most, size):
        assert least == 0 and size == (1,)
        return torch.tensor([self.random.below(most)])

    def rand(self, count):
        return torch.tensor([self.random.double()], dtype=torch.float64)

    def randperm(self, count):
        order = list(range(count - 1))  # hue, the last one, is not used
        for i in range(count - 1, 1, -1):
            j = self.random.below(i)
            order[i - 1], order[j] = order[j], order[i - 1]
        return torch.tensor(order + [count - 1])


# ---- pictures ----

def photograph(height, width, seed):
    """Noise whose spectrum falls as that of photographs does, with edges: (height, width, 3) bytes."""
    random = numpy.random.default_rng(seed)
    fy, fx = numpy.meshgrid(numpy.fft.fftfreq(height), numpy.fft.rfftfreq(width), indexing="ij")
    falling = 1 / numpy.maximum(numpy.hypot(fy, fx), 1 / max(height, width)) ** 1.3
    common = random.normal(size=(height, width))
    image = numpy.empty((height, width, 3))
    for c in range(3):
        noise = numpy.fft.rfft2(common + 0.5 * random.normal(size=(height, width)))
        plane = numpy.fft.irfft2(noise * falling, s=(height, width))
        image[..., c] = 128 + 48 * (plane - plane.mean()) / plane.std()
    y, x = numpy.mgrid[:height, :width]
    for _ in range(6):
        at, radius = random.uniform(0, 1, 2) * (height, width), random.uniform(0.05, 0.25) * height
        inside = numpy.hypot(y - at[0], x - at[1]) < radius
        image[inside] = 0.6 * image[inside] + 0.4 * random.uniform(0, 255, 3)
    return numpy.clip(image, 0, 255).astype(numpy.uint8)


def jpeg(pixels, mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "jpeg", **options)
    return file.getvalue()


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def scanlines(values, depth):
    """values: (height, width, channels); each row with a filter byte in front."""
    height = values.shape[0]
    if depth == 16:
        rows = values.astype(">u2").reshape(height, -1).view(numpy.uint8)
    elif depth == 8:
        rows = values.astype(numpy.uint8).reshape(height, -1)
    else:
        bits = (values.reshape(height, -1, 1) >> numpy.arange(depth - 1, -1, -1)) & 1
        rows = numpy.packbits(bits.reshape(height, -1).astype(numpy.uint8), axis=1)
    return numpy.concatenate([numpy.zeros((height, 1), numpy.uint8), rows], axis=1).tobytes()


def png(values, color, depth, interlaced=False, palette=None, more=b""):
    """PIL writes only some of PNG's kinds. values: (height, width, channels); color: PNG's type."""
    height, width = values.shape[:2]
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [values[y::dy, x::dx] for y, x, dy, dx in passes]
    data = b"".join(scanlines(part, depth) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    colors = chunk(b"PLTE", palette.tobytes()) if palette is not None else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colors + more +
            chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b""))


GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def jpegs(height, width):
    pixels = photograph(height, width, 1)
    flat = lambda **options: jpeg(pixels, quality=88, **options)
    cmyk = jpeg(pixels, "CMYK", quality=88)
    adobe = cmyk.index(b"Adobe")
    return {
        "420.jpg": flat(subsampling="4:2:0"),
        "422.jpg": flat(subsampling="4:2:2"),
        "444.jpg": flat(subsampling="4:4:4"),
        "progressive.jpg": flat(progressive=True),
        "restarts.jpg": flat(restart_marker_blocks=3),
        "grey.jpg": jpeg(pixels, "L", quality=88),
        "rgb.jpg": jpeg(pixels, quality=88, keep_rgb=True),
        "cmyk.jpg": cmyk,
        "ycck.jpg": cmyk[:adobe + 11] + b"\x02" + cmyk[adobe + 12:],
        "exif.jpg": jpeg(photograph(width, height, 2), quality=88, exif=exif(6)),
    }


def pngs(height, width):
    pixels = photograph(height, width, 3).astype(int)
    grey = pixels[..., 1:2]
    alpha = numpy.arange(height * width).reshape(height, width, 1) % 256
    deep = pixels * 257 + (numpy.arange(width)[:, None] * 37) % 256 - 128
    deep = numpy.clip(deep, 0, 65535)
    colors = numpy.random.default_rng(4).integers(0, 256, (256, 3), dtype=numpy.uint8)
    transparent = chunk(b"tRNS", bytes(range(0, 256, 16)))
    join = lambda *parts: numpy.concatenate(parts, axis=2)
    return {
        "grey1.png": png(grey >> 7, GREY, 1),
        "grey2.png": png(grey >> 6, GREY, 2),
        "grey4.png": png(grey >> 4, GREY, 4),
        "grey8.png": png(grey, GREY, 8, more=chunk(b"tRNS", struct.pack(">H", 100))),
        "grey16.png": png(deep[..., 1:2] >> 7, GREY, 16),
        "grey-alpha8.png": png(join(grey, alpha), GREY_ALPHA, 8),
        "grey-alpha16.png": png(join(deep[..., 1:2], alpha * 257), GREY_ALPHA, 16),
        "rgb8.png": png(pixels, RGB, 8, more=chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))),
        "rgb16.png": png(deep, RGB, 16),
        "rgb-alpha8.png": png(join(pixels, alpha), RGB_ALPHA, 8),
        "rgb-alpha16.png": png(join(deep, alpha * 257), RGB_ALPHA, 16),
        "palette1.png": png(grey >> 7, PALETTE, 1, palette=colors[:2]),
        "palette2.png": png(grey >> 6, PALETTE, 2, palette=colors[:4]),
        "palette4.png": png(grey >> 4, PALETTE, 4, palette=colors[:16], more=transparent),
        "palette8.png": png(grey, PALETTE, 8, palette=colors, more=transparent),
        "interlaced-rgb8.png": png(pixels, RGB, 8, interlaced=True),
        "interlaced-grey16.png": png(deep[..., 1:2] >> 7, GREY, 16, interlaced=True),
        "interlaced-palette2.png": png(grey >> 6, PALETTE, 2, interlaced=True, palette=colors[:4]),
    }


def pictures():
    one = numpy.array([[[200, 100, 50]]], dtype=numpy.uint8)
    return {
        **jpegs(75, 100),
        **pngs(21, 33),
        "wide.jpg": jpeg(photograph(24, 260, 5), quality=80),
        "large.jpg": jpeg(photograph(180, 240, 6), quality=75),
        "one.jpg": jpeg(one, quality=95),
        "one.png": png(one, RGB, 8),
    }


# ---- cases ----

def cases(names):
    """(picture, kind, size, resize, jitter, random, how): how is "equal", or "near" where a scaled decode differs."""
    rows = []
    for name in names:
        if name.startswith("one"):
            rows += [(name, "test", 6, 8, 0, 0, "equal"), (name, "train", 6, 8, 0, 1, "equal")]
        elif name == "large.jpg":
            rows += [(name, "test", size, size * 8 // 7, 0, 0, "near") for size in (20, 30, 60)]
            rows += [(name, "train", size, 45, 0, 3, "near") for size in (12, 25, 50)]
        elif name == "wide.jpg":
            rows += [(name, "train", 20, 22, 0, random, "equal") for random in range(4)]
        elif name.endswith(".png"):
            rows += [(name, "test", 14, 16, 0, 0, "equal"), (name, "train", 14, 16, 0, 7, "equal")]
        else:
            rows += [(name, "test", 39, 42, 0, 0, "equal"), (name, "train", 40, 45, 0, 5, "equal")]
    for random in range(100, 106):
        rows.append(("420.jpg", "train", 40, 45, 0, random, "equal"))
        rows.append(("444.jpg", "train", 38, 45, 0.4, random, "equal"))
    rows.append(("exif.jpg", "train", 40, 45, 0, 300, "equal"))  # twice as high as the output, but not as wide
    rows.append(("rgb.jpg", "train", 38, 45, 1.5, 200, "equal"))
    return rows


def expected(picture, kind, size, resize, jitter, random):
    """(size, size, 3) bytes: what torchvision's ImageFolder and transforms make of the file."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    if kind == "test":
        image = transforms.CenterCrop(size)(transforms.Resize(resize)(image))
        return numpy.asarray(image)
    transforms.torch = Draws(random)
    image = transforms.RandomResizedCrop(size, scale=(0.08, 1), ratio=(3 / 4, 4 / 3))(image)
    image = transforms.RandomHorizontalFlip()(image)
    if jitter:
        strength = float(numpy.float32(jitter))
        image = transforms.ColorJitter(strength, strength, strength)(image)
    transforms.torch = torch
    return numpy.asarray(image)


def write_corpus(folder):
    """The first inputs of the fuzz targets, below 2048 bytes each."""
    for name, content in {**jpegs(9, 17), **pngs(7, 10)}.items():
        kind = "jpeg" if name.endswith(".jpg") else "png"
        switches = b"\x25" if kind == "jpeg" else b"\x01\x25"  # a crop; checksums are repaired
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / f"picture-{name.partition('.')[0]}").write_bytes(switches + content)


def main():
    here = pathlib.Path(__file__).resolve().parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "pictures"
    folder.mkdir(exist_ok=True)
    write_corpus(here.parent / "fuzz" / "corpus")
    files = pictures()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    lines, arrays = [], []
    for name, *call, how in cases(files):
        array = expected(files[name], *call)
        assert array.shape == (call[1], call[1], 3) and array.dtype == numpy.uint8
        lines.append(" ".join(map(str, [name, *call, how])))
        arrays.append(array.tobytes())
    (folder / "cases.txt").write_text("\n".join(lines) + "\n")
    (folder / "expected.gz").write_bytes(gzip.compress(b"".join(arrays), 9, mtime=0))
    print(f"{len(files)} pictures, {len(lines)} cases, {sum(path.stat().st_size for path in folder.iterdir())} bytes")


if __name__ == "__main__":
    main()
