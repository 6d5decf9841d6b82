#!/usr/bin/env python3
"""Races senet against other engines on the same network, weights and input: rounds of ours, peer, peer, ours, ... so that all see
the same machine.

usage: race.py MODEL... [--train] [--batch N] [--precision fp32|bf16|int8] [--peers NAME,...] [--threads N] [--rounds N]
               [--seconds S] [--competing] [--senet PROGRAM] [--against PROGRAM] [--venv DIR] [--work DIR] [--output FILE]

Peers run in a virtual environment outside the project, named by --venv or SENET_PEERS_VENV (bench/README.md says how to make
one); exported networks are kept in --work.  Before the first round every engine's logits are compared with PyTorch's in fp32.
Prints the median times, and the ratio of ours to each peer's: the median over the rounds, with the lowest and the highest.
Appends one JSON line a network to bench/results/peers.jsonl.  --competing runs everything once more beside a process that keeps
one processor busy, and prints how much slower each engine becomes.  --against races a second senet, for instance of a previous commit.
"""

import argparse
import contextlib
import datetime
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
PEERS = {"fp32": "onnxruntime,openvino,ncnn,pytorch", "bf16": "openvino,ncnn,pytorch", "int8": "onnxruntime,openvino"}
TRAINING = "pytorch-eager"
# Of the largest logit; bf16 keeps 8 bits, and errors add up over 150 layers.  int8 on random weights tells nothing about accuracy.
TOLERANCE = {"fp32": 1e-3, "bf16": 0.2, "int8": float("inf")}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--train", action="store_true", help="training steps; otherwise inference")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="fp32")
    parser.add_argument("--peers", help=f"default {PEERS['fp32']}; with --train {TRAINING}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a run measures")
    parser.add_argument("--competing", action="store_true", help="also beside a busy process on one processor: the slowdown")
    parser.add_argument("--senet", type=Path, default=PROJECT / "build" / "senet")
    parser.add_argument("--against", type=Path, help="another senet to race")
    parser.add_argument("--venv", type=Path, default=os.environ.get("SENET_PEERS_VENV"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "senet-peers")
    parser.add_argument("--output", type=Path, default=PROJECT / "bench" / "results" / "peers.jsonl")
    options = parser.parse_args()
    standard = TRAINING if options.train else PEERS[options.precision]
    options.peers = [p for p in (standard if options.peers is None else options.peers).split(",") if p]
    if options.peers and options.venv is None:
        parser.error("where are the peers? name their virtual environment with --venv or SENET_PEERS_VENV")
    return options


def run(command):
    """Runs a command; returns the JSON object on the last line of its output, with the process's peak memory added."""
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"race.py: exit status {process.returncode} from: {' '.join(map(str, command))}")
    text = output[output.index("{"):] if output.lstrip().startswith("{") else output.strip().splitlines()[-1]
    result = json.loads(text)
    result["max_rss_mib"] = usage.ru_maxrss / 1024
    return result


@contextlib.contextmanager
def busy_processor():
    """Another process that wants one of our processors all the time."""
    cpu = max(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", f"import os\nos.sched_setaffinity(0, [{cpu}])\nwhile True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def export(options, model):
    """The folder with the network exported for every engine, made once."""
    folder = options.work / f"{model.replace(':', '.').replace(',', '.')}-b{options.batch}"
    if not (folder / "model.ncnn.bin").exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"exporting {model} to {folder}", flush=True)
        with open(folder / "export.log", "w", encoding="utf-8") as log:
            done = subprocess.run([options.venv / "bin" / "python", HERE / "export.py", model, str(options.batch), folder],
                                  stdout=log, stderr=log, check=False)
        if done.returncode != 0:
            sys.exit(f"race.py: {model} could not be exported; {folder}/export.log says why")
    return folder


def read_logits(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start, end = header["logits"]["data_offsets"]
        data = file.read()[start:end]
    return struct.unpack(f"<{len(data) // 4}f", data)


def our_error(options, program, folder):
    """The largest difference of our logits from PyTorch's, over the largest logit."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as output:
        subprocess.run([program, "run", "--weights", folder / "weights.safetensors", "--input",
                        folder / "input.safetensors", "--output", output.name, "--precision", options.precision],
                       check=True, stdout=subprocess.DEVNULL)
        ours = read_logits(output.name)
    data = (folder / "logits.bin").read_bytes()
    theirs = struct.unpack(f"<{len(data) // 4}f", data)
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / max(map(abs, theirs))


def commands(options, model, folder):
    train = ["--train"] if options.train else []
    common = ["--threads", options.threads, "--seconds", options.seconds, "--precision", options.precision, *train]
    racers = {"senet": [options.senet, "bench", model, "--json", "--batch-size", options.batch, *common]}
    if options.against:
        racers["senet-before"] = [options.against, *racers["senet"][1:]]
    for peer in options.peers:
        racers[peer] = [options.venv / "bin" / "python", HERE / "engines.py", peer, folder, model, *common]
    return racers


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": names[0] if names else "unknown", "cpus": len(os.sched_getaffinity(0))}


def commit():
    git = subprocess.run(["git", "-C", PROJECT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return git.stdout.strip() or "unknown"


def slowdown(alone, beside):
    return [b / a for a, b in zip(alone, beside)]


def race(options, model):
    folder = export(options, model) if options.peers else None
    errors = {}
    if folder and not options.train and options.precision != "int8":
        errors["senet"] = our_error(options, options.senet, folder)
    racers = commands(options, model, folder)
    rounds = {name: [] for name in racers}
    names = list(racers)
    disturbed = {name: [] for name in names}
    for number in range(options.rounds):
        for name in names if number % 2 == 0 else reversed(names):
            rounds[name].append(run(racers[name]))
            if options.competing:
                with busy_processor():
                    disturbed[name].append(run(racers[name])["latency_ms"]["p50"])
    for name in options.peers:
        errors[name] = rounds[name][0]["error"]
    for name, error in errors.items():
        if error is None or error <= TOLERANCE[options.precision]:
            continue
        print(f"race.py: {model}: {name} computes something else: error {error:.2g} of the largest logit", file=sys.stderr)
        if name not in options.peers:
            sys.exit(1)
        names.remove(name)  # its time says nothing

    times = {name: [result["latency_ms"]["p50"] for result in results] for name, results in rounds.items()}
    ratios = {name: sorted(ours / theirs for ours, theirs in zip(times["senet"], times[name]))
              for name in names if name != "senet"}
    what = "training step" if options.train else "inference"
    print(f"{model}, {what}, batch {options.batch}, {options.precision}, {options.threads} threads, "
          f"{options.rounds} rounds")
    for name in names:
        engine = rounds[name][0].get("engine", name)
        line = f"  {engine:22s} median {statistics.median(times[name]):9.2f} ms  best {min(times[name]):9.2f} ms"
        if name in ratios:
            line += f"   ours/theirs {statistics.median(ratios[name]):.3f} ({ratios[name][0]:.3f} to {ratios[name][-1]:.3f})"
        if options.competing:
            line += f"   beside a busy process {statistics.median(slowdown(times[name], disturbed[name])):.2f} times slower"
        if errors.get(name) is not None:
            line += f"   error {errors[name]:.1e}"
        print(line, flush=True)
    record = {"date": datetime.date.today().isoformat(), "commit": commit(), **machine(), "what": what, "model": model,
              "batch": options.batch, "threads": options.threads, "precision": options.precision,
              "isa": rounds["senet"][0].get("isa"), "latency_ms": times,
              "engines": {name: rounds[name][0].get("engine", name) for name in names},
              "ratio": {name: statistics.median(values) for name, values in ratios.items()}, "error": errors,
              **({"competing_slowdown": {name: statistics.median(slowdown(times[name], disturbed[name])) for name in names}}
                 if options.competing else {}),
              "max_rss_mib": {name: max(result["max_rss_mib"] for result in results) for name, results in rounds.items()}}
    with open(options.output, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def main():
    options = parse()
    for model in options.models:
        race(options, model)


if __name__ == "__main__":
    main()
