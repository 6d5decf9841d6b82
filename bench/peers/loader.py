#!/usr/bin/env python3
"""Races senet's loader against others on the same photographs: rounds of ours, peer, peer, ours, ... so that all see the same machine.

usage: loader.py DATA [--peers NAME,...] [--workers N] [--size N] [--batch N] [--rounds N] [--seconds S] [--senet PROGRAM]
                 [--against PROGRAM] [--venv DIR] [--output FILE]

DATA is folder:DIR, whose training pictures are DIR/train/<class>/* or DIR/<class>/*.  Everyone decodes a photograph, cuts a random
rectangle of 8% to 100% of it and of aspect 3/4 to 4/3, resizes it to --size bilinearly, mirrors it half of the time and puts it into
batches of bytes, in a new order every epoch:

    senet          Pillow's filter (antialiased)          torchvision    the same: DataLoader, worker processes
    senet-opencv   OpenCV's filter                        pillow         the same, worker threads
                                                          opencv         as senet-opencv, worker threads

Peers run in a virtual environment outside the project, named by --venv or SENET_PEERS_VENV (bench/README.md says how to make one).
Prints images a second, and the ratio of ours to each peer's: the median over the rounds, with the lowest and the highest.  Appends
one JSON line to bench/results/loader.jsonl.
"""

import argparse
import concurrent.futures
import datetime
import itertools
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
ENDINGS = {".jpg", ".jpeg", ".jpe", ".png"}
RIVALS = {"torchvision": "senet", "pillow": "senet", "opencv": "senet-opencv"}  # who does the same as the peer


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--peers", default=",".join(RIVALS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a run measures")
    parser.add_argument("--senet", type=Path, default=PROJECT / "build" / "senet")
    parser.add_argument("--against", type=Path, help="another senet to race")
    parser.add_argument("--venv", type=Path, default=os.environ.get("SENET_PEERS_VENV"))
    parser.add_argument("--output", type=Path, default=PROJECT / "bench" / "results" / "loader.jsonl")
    parser.add_argument("--engine", help=argparse.SUPPRESS)  # time this peer, in this process
    options = parser.parse_args()
    options.peers = [peer for peer in options.peers.split(",") if peer]
    if unknown := [peer for peer in options.peers if peer not in RIVALS]:
        parser.error(f"unknown peer {unknown[0]}; known: {', '.join(RIVALS)}")
    if not options.data.startswith("folder:"):
        parser.error("DATA must be folder:DIR, which the peers can read")
    if options.peers and not options.engine and options.venv is None:
        parser.error("where are the peers? name their virtual environment with --venv or SENET_PEERS_VENV")
    return options


# ---- the peers ----


def photographs(options):
    folder = Path(options.data.removeprefix("folder:"))
    train = folder / "train"
    return sorted(str(path) for path in (train if train.is_dir() else folder).rglob("*") if path.suffix.lower() in ENDINGS)


def crop_of(width, height):
    """torchvision's RandomResizedCrop.get_params: left, top, width, height."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        across, down = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < across <= width and 0 < down <= height:
            return random.randint(0, width - across), random.randint(0, height - down), across, down
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def in_threads(options, prepare):
    """Batches of what `prepare` makes of a path, by worker threads; those of the next batch run while one is handed out."""
    import numpy

    paths = photographs(options)

    def make(batch):
        return numpy.stack([prepare(path) for path in batch])

    def order():
        while True:
            random.shuffle(paths)
            yield from (paths[i:i + options.batch] for i in range(0, len(paths), options.batch))

    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        pending = [pool.submit(make, batch) for batch in itertools.islice(order(), options.workers + 2)]
        for batch in order():
            yield len(pending.pop(0).result())
            pending.append(pool.submit(make, batch))


def pillow(options):
    import numpy
    from PIL import Image

    side = (options.size, options.size)

    def prepare(path):
        with Image.open(path) as file:
            picture = file.convert("RGB")
        left, top, across, down = crop_of(*picture.size)
        picture = picture.resize(side, Image.Resampling.BILINEAR, box=(left, top, left + across, top + down))
        if random.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return numpy.asarray(picture)

    return f"Pillow {Image.__version__}", in_threads(options, prepare)


def opencv(options):
    import cv2

    cv2.setNumThreads(1)  # the workers are the threads

    def prepare(path):
        picture = cv2.imread(path, cv2.IMREAD_COLOR)
        left, top, across, down = crop_of(picture.shape[1], picture.shape[0])
        part = picture[top:top + down, left:left + across]
        part = cv2.resize(part, (options.size, options.size), interpolation=cv2.INTER_LINEAR)
        if random.random() < 0.5:
            part = cv2.flip(part, 1)
        return cv2.cvtColor(part, cv2.COLOR_BGR2RGB)

    return f"OpenCV {cv2.__version__}", in_threads(options, prepare)


class Photographs:
    """torchvision's transforms on the list of pictures, as a data set of a DataLoader, whose processes it is sent to."""

    def __init__(self, options):
        from torchvision import transforms

        self.paths = photographs(options)
        self.prepare = transforms.Compose([transforms.RandomResizedCrop(options.size), transforms.RandomHorizontalFlip(),
                                           transforms.PILToTensor()])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        from PIL import Image

        with Image.open(self.paths[index]) as file:
            return self.prepare(file.convert("RGB"))


def torchvision(options):
    import torch
    import torchvision as package

    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(Photographs(options), batch_size=options.batch, shuffle=True,
                                         num_workers=options.workers, persistent_workers=options.workers > 0)

    def batches():
        while True:
            for batch in loader:
                yield len(batch)

    return f"torchvision {package.__version__}", batches()


def time_engine(options):
    """As `senet bench --data`: the clock starts when every worker has prepared a batch and those in store are gone."""
    engine, batches = {"torchvision": torchvision, "pillow": pillow, "opencv": opencv}[options.engine](options)
    for _ in range(2 * options.workers + 2):
        next(batches)
    pictures, begin = 0, time.perf_counter()
    while pictures == 0 or time.perf_counter() - begin < options.seconds:
        pictures += next(batches)
    seconds = time.perf_counter() - begin
    print(json.dumps({"engine": engine, "images": pictures, "seconds": seconds, "images_per_second": pictures / seconds}), flush=True)
    os._exit(0)  # without waiting for batches that nobody wants


# ---- the race ----


def run(command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"loader.py: exit status {done.returncode} from: {' '.join(map(str, command))}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def commands(options):
    common = ["--workers", options.workers, "--size", options.size, "--seconds", options.seconds]
    ours = ["bench", "--data", options.data, "--batch-size", options.batch, "--json", *common]
    racers = {"senet": [options.senet, *ours], "senet-opencv": [options.senet, *ours, "--interpolation", "bilinear"]}
    if options.against:
        racers["senet-before"] = [options.against, *ours]
    for peer in options.peers:
        racers[peer] = [options.venv / "bin" / "python", Path(__file__).resolve(), options.data, "--engine", peer, "--batch",
                        options.batch, *common]
    return racers


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": names[0] if names else "unknown", "cpus": len(os.sched_getaffinity(0))}


def commit():
    git = subprocess.run(["git", "-C", PROJECT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return git.stdout.strip() or "unknown"


def race(options):
    racers = commands(options)
    rounds = {name: [] for name in racers}
    for number in range(options.rounds):
        for name in racers if number % 2 == 0 else reversed(racers):
            rounds[name].append(run(racers[name]))
    speeds = {name: [result["images_per_second"] for result in results] for name, results in rounds.items()}
    rivals = {name: RIVALS.get(name, "senet") for name in racers if not name.startswith("senet") or name == "senet-before"}
    ratios = {name: sorted(ours / theirs for ours, theirs in zip(speeds[rival], speeds[name], strict=True))
              for name, rival in rivals.items()}
    print(f"{options.data}, {options.size}x{options.size}, batch {options.batch}, {options.workers} workers, {options.rounds} rounds")
    for name in racers:
        engine = rounds[name][0].get("engine", name)
        line = f"  {engine:28s} median {statistics.median(speeds[name]):7.1f} images/s  best {max(speeds[name]):7.1f}"
        if name in ratios:
            line += f"   {rivals[name]}/theirs {statistics.median(ratios[name]):.2f} ({ratios[name][0]:.2f} to {ratios[name][-1]:.2f})"
        print(line)
    record = {"date": datetime.date.today().isoformat(), "commit": commit(), **machine(), "what": "loader",
              "pictures": len(photographs(options)), "size": options.size, "batch": options.batch, "workers": options.workers,
              "images_per_second": speeds, "engines": {name: rounds[name][0].get("engine", name) for name in racers},
              "ratio": {name: statistics.median(values) for name, values in ratios.items()}}
    with open(options.output, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    arguments = parse()
    if arguments.engine:
        time_engine(arguments)
    else:
        race(arguments)
