"""Times PyTorch on one network and prints one JSON line: what `senet bench --json` measures, measured there.

usage: run_pytorch.py [--train] [--model NAME] [--batch N] [--threads N] [--seconds S] [--warmup STEPS]

fp32, channels_last memory, eager mode.  A training step is forward, cross entropy, backward and SGD (momentum 0.9,
weight decay 1e-4); otherwise a step is a forward pass in evaluation mode.  The batch is random and stays in memory.
"""

import argparse
import json
import time

import torch
from torch.nn import functional as F

import networks


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--model", default="se_cifar_resnet20")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="measure for about so long, at least 5 steps")
    parser.add_argument("--warmup", type=int, default=3)
    return parser.parse_args()


def main():
    options = parse()
    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    model = networks.create(options.model).to(memory_format=torch.channels_last)
    images = torch.randn(options.batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (options.batch,))

    if options.train:
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

        def step():
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
    else:
        model.eval()

        def step():
            with torch.inference_mode():
                model(images)

    for _ in range(options.warmup):
        step()
    times = []
    began = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < options.seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    times.sort()
    median = times[len(times) // 2]
    print(json.dumps({
        "peer": f"PyTorch {torch.__version__}",
        "model": options.model,
        "params": sum(p.numel() for p in model.parameters()),
        "batch": options.batch,
        "threads": options.threads,
        "steps": len(times),
        "latency_ms": {"min": times[0] * 1e3, "p50": median * 1e3},
        "images_per_second": options.batch / median,
    }))


if __name__ == "__main__":
    main()
