"""Writes one network for every engine: usage: export.py MODEL BATCH FOLDER

FOLDER gets weights.safetensors (senet's names), input.safetensors, model.onnx, model.ncnn.param and .bin (by pnnx), and
logits.bin: what PyTorch computes from the input in fp32.  Weights are random; batch norm's statistics are those of random
pictures, so that activations stay as they are in a trained network.
"""

import json
import os
import struct
import sys
from pathlib import Path

import torch

import networks


def save_safetensors(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        size = 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.contiguous().numpy().tobytes())


def settle(network, size):
    """Batch statistics of random pictures become the running ones."""
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain average
    network.train()
    with torch.inference_mode():
        for _ in range(2):
            network(torch.randn(4, 3, size, size))
    network.eval()


def main():
    name, batch, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    torch.manual_seed(1)
    network, size = networks.create(name)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    settle(network, size)
    images = torch.randn(batch, 3, size, size)
    with torch.inference_mode():
        logits = network(images)
    state = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    save_safetensors(folder / "weights.safetensors", state, {"model": name})
    save_safetensors(folder / "input.safetensors", {"input": images}, {})
    (folder / "logits.bin").write_bytes(logits.numpy().tobytes())
    torch.save(network.state_dict(), folder / "state.pt")
    torch.onnx.export(network, (images,), folder / "model.onnx", input_names=["input"], output_names=["logits"],
                      dynamo=True, external_data=False, verbose=False)
    import pnnx  # pnnx writes into the current folder
    os.chdir(folder)
    pnnx.export(network, "model.pt", images[:1], fp16=False)  # ncnn takes one picture at a time


if __name__ == "__main__":
    main()
