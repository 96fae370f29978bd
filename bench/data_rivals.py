#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A picture becomes the input of a network as torchvision does it, timed as bench/bench_data.c times ours.

    data_rivals.py pil|tensor [--test] [--size N] [--seconds S] FILE...
    data_rivals.py make [--photographs] FOLDER
    data_rivals.py same PROGRAM FILE...

`pil` is ImageFolder's loader with transforms on PIL images, `tensor` is torchvision's own decoder with transforms v2 on
tensors; the files are in memory. Prints the mean microseconds of CPU time per picture, on one thread. `make` writes
JPEGs of about 500 x 375 pixels: noise with the spectrum of photographs, or scikit-image's photographs. `same` compares
the pixels of PROGRAM, our bench_data, with those of `pil`.
"""
import argparse
import importlib.util
import io
import pathlib
import subprocess
import sys
import time

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pil(size, test):
    from PIL import Image
    from torchvision import transforms
    steps = [transforms.Resize(size * 256 // 224), transforms.CenterCrop(size)] if test else [
        transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()]
    transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)])
    return bytes, lambda content: transform(Image.open(io.BytesIO(content)).convert("RGB"))


def tensor(size, test):
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2
    steps = [v2.Resize(size * 256 // 224), v2.CenterCrop(size)] if test else [
        v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()]
    transform = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)])
    return (lambda content: torch.frombuffer(bytearray(content), dtype=torch.uint8),
            lambda content: transform(decode_jpeg(content, mode=ImageReadMode.RGB)))


def measure(options):
    import torch
    torch.set_num_threads(1)
    load, transform = globals()[options.kind](options.size, options.test)
    contents = [load(pathlib.Path(path).read_bytes()) for path in options.paths]
    for content in contents:  # what is loaded on demand
        transform(content)
    done, start = 0, time.process_time()
    while True:
        for content in contents:
            transform(content)
        done += len(contents)
        now = time.process_time()
        if now - start >= options.seconds:
            break
    print("%.1f" % ((now - start) / done * 1e6))


def make_pictures():
    """The module by which the tests' expected files were made."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"))
    return importlib.import_module("make_pictures")


def same(program, *paths, crops=20, size=224):
    import numpy
    import PIL
    output = subprocess.run([program, "--levels", str(crops), *paths], check=True, stdout=subprocess.PIPE).stdout
    ours = iter(numpy.frombuffer(output, numpy.uint8).reshape(-1, size, size, 3))
    differences = []
    for path in paths:
        content = pathlib.Path(path).read_bytes()
        for crop in range(-1, crops):
            kind = "test" if crop < 0 else "train"
            theirs = make_pictures().expected(content, kind, size, size * 256 // 224, 0, crop)
            differences.append(int(abs(next(ours).astype(int) - theirs).max()))
    print(f"Pillow {PIL.__version__}: {differences.count(0)} of {len(differences)} crops have the same bits; "
          f"the largest difference is {max(differences)} of 255")


def photographs():
    from PIL import Image
    folder = pathlib.Path(importlib.util.find_spec("skimage").submodule_search_locations[0]) / "data"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")
    for name in names:
        image = Image.open(folder / name).convert("RGB")
        scale = (500 * 375 / (image.width * image.height)) ** 0.5
        yield image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def noise():
    from PIL import Image
    for seed in range(8):
        yield Image.fromarray(make_pictures().photograph(375, 500, seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("pil", "tensor", "make", "same"))
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--photographs", action="store_true")
    parser.add_argument("paths", nargs="+")
    options = parser.parse_args()
    if options.kind == "same":
        return same(*options.paths)
    if options.kind != "make":
        return measure(options)
    for i, image in enumerate(photographs() if options.photographs else noise()):
        image.save(pathlib.Path(options.paths[0]) / f"{i}.jpg", quality=90)


if __name__ == "__main__":
    main()
