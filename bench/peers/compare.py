#!/usr/bin/env python3
"""Races senet against PyTorch on the same network: rounds of ours, peer, ours, peer, ... so that both see the same machine.

usage: compare.py [--train] [--model NAME] [--batch N] [--threads N] [--rounds N] [--seconds S] [--senet PROGRAM]
                  [--output FILE]

PyTorch comes from a virtual environment outside the project, named by --venv or SENET_PEERS_VENV (bench/README.md says
how to make one).  Prints both medians of images per second, their ratio, and the peak memory of either process, and
appends them as one JSON line to bench/results/peers.jsonl.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="training steps; otherwise inference")
    parser.add_argument("--model", default="se_cifar_resnet20")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a run measures")
    parser.add_argument("--senet", type=Path, default=PROJECT / "build" / "senet")
    parser.add_argument("--venv", type=Path, default=os.environ.get("SENET_PEERS_VENV"))
    parser.add_argument("--output", type=Path, default=PROJECT / "bench" / "results" / "peers.jsonl")
    options = parser.parse_args()
    if options.venv is None:
        parser.error("where is PyTorch? name its virtual environment with --venv or SENET_PEERS_VENV")
    options.venv = Path(options.venv).absolute()
    if PROJECT in options.venv.parents:
        parser.error(f"{options.venv} is inside the project; peers stay outside")
    return options


def run(command):
    """Runs a command that prints one JSON object; returns it with the peak resident memory of the process added."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"compare.py: exit status {process.returncode} from: {' '.join(map(str, command))}")
    result = json.loads(output)
    result["max_rss_mib"] = usage.ru_maxrss / 1024
    return result


def commands(options):
    common = ["--model", options.model, "--threads", str(options.threads), "--seconds", str(options.seconds)]
    train = ["--train"] if options.train else []
    ours = [options.senet, "bench", "--json", "--batch-size", str(options.batch), *common, *train]
    peer = [options.venv / "bin" / "python", Path(__file__).with_name("run_pytorch.py"), "--batch", str(options.batch),
            *common, *train]
    return {"ours": ours, "peer": peer}


def params_of(options):
    summary = subprocess.run([options.senet, "summary", options.model, "--json"], check=True, capture_output=True)
    return json.loads(summary.stdout)["params"]


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": names[0] if names else "unknown", "cpus": len(os.sched_getaffinity(0))}


def commit():
    git = subprocess.run(["git", "-C", PROJECT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return git.stdout.strip() or "unknown"


def main():
    options = parse()
    params = params_of(options)
    rounds = {"ours": [], "peer": []}
    for number in range(1, options.rounds + 1):
        for name, command in commands(options).items():
            rounds[name].append(run(command))
        ours, peer = rounds["ours"][-1], rounds["peer"][-1]
        if peer["params"] != params:
            sys.exit(f"compare.py: {options.model}: the peer has {peer['params']} parameters, senet {params}")
        print(f"round {number}: senet {ours['images_per_second']:.1f}, {peer['peer']} {peer['images_per_second']:.1f} "
              f"images/s, ratio {ours['images_per_second'] / peer['images_per_second']:.2f}", flush=True)

    speeds = {name: [result["images_per_second"] for result in results] for name, results in rounds.items()}
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    ratio = statistics.median(ours / peer for ours, peer in zip(speeds["ours"], speeds["peer"]))
    memory = {name: max(result["max_rss_mib"] for result in results) for name, results in rounds.items()}
    what = "training" if options.train else "inference"
    print(f"{what}, {options.model}, batch {options.batch}, {options.threads} threads: "
          f"senet {medians['ours']:.1f}, {rounds['peer'][0]['peer']} {medians['peer']:.1f} images/s (medians); "
          f"median ratio of a round {ratio:.2f}; peak memory {memory['ours']:.0f} and {memory['peer']:.0f} MiB")

    record = {
        "date": datetime.date.today().isoformat(), "commit": commit(), **machine(), "what": what,
        "model": options.model, "batch": options.batch, "threads": options.threads, "precision": "fp32",
        "isa": rounds["ours"][0].get("isa"), "peer": rounds["peer"][0]["peer"],
        "images_per_second": speeds, "median": medians, "ratio": ratio, "max_rss_mib": memory,
    }
    with open(options.output, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
