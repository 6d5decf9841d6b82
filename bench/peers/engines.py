"""Times one engine on one exported network and prints one JSON line: what `senet bench --json` measures, measured there.

usage: engines.py ENGINE FOLDER MODEL [--train] [--batch N] [--threads N] [--seconds S] [--precision fp32|bf16|int8]

ENGINE: onnxruntime, openvino, ncnn, pytorch (traced, frozen, channels_last), pytorch-eager or pytorch-compile.  A training step
(PyTorch only) is forward, cross entropy, backward and SGD (momentum 0.9, weight decay 1e-4).  "error" is the largest difference
from the exported logits over the largest logit.  int8 (ONNX Runtime, OpenVINO): ONNX Runtime's static quantisation, 8-bit weights a channel
and activations, calibrated on the exported input.
"""

import argparse
import contextlib
import json
import time
from pathlib import Path

import numpy


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine")
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="measure for about so long, at least 5 steps")
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="fp32")
    return parser.parse_args()


def read_input(options):
    with open(options.folder / "input.safetensors", "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        shape = json.loads(file.read(length))["input"]["shape"]
        return numpy.frombuffer(file.read(), numpy.float32).reshape(shape).copy()


def onnx_file(options, images):
    """The exported network, for int8 quantised once."""
    exported, quantised = options.folder / "model.onnx", options.folder / "model-int8.onnx"
    if options.precision != "int8":
        return str(exported)
    if not quantised.exists():
        from onnxruntime import quantization as q

        class Reader(q.CalibrationDataReader):
            def __init__(self):
                self.batches = iter([{"input": images}])

            def get_next(self):
                return next(self.batches, None)
        q.quantize_static(exported, quantised, Reader(), quant_format=q.QuantFormat.QDQ, per_channel=True,
                          activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)
    return str(quantised)


# Each engine: (options, images) -> (its name and version, a function that runs the batch and returns its logits)

def onnxruntime(options, images):
    import onnxruntime as ort
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = ort.InferenceSession(onnx_file(options, images), settings, providers=["CPUExecutionProvider"])
    return f"ONNX Runtime {ort.__version__}", lambda: session.run(None, {"input": images})[0]


def openvino(options, images):
    import openvino as ov
    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": options.threads, "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "bf16" if options.precision == "bf16" else "f32"}
    request = core.compile_model(core.read_model(onnx_file(options, images)), "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(images))

    def step():
        request.infer()
        return request.get_output_tensor().data
    return f"OpenVINO {ov.__version__.split('-')[0]}", step


def ncnn(options, images):
    import ncnn as nn
    net = nn.Net()
    net.opt.num_threads = options.threads
    net.opt.use_bf16_storage = options.precision == "bf16"
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(options.folder / "model.ncnn.param"))
    net.load_model(str(options.folder / "model.ncnn.bin"))
    pictures = [nn.Mat(numpy.ascontiguousarray(image)) for image in images]

    def step():
        logits = []
        for picture in pictures:
            extractor = net.create_extractor()
            extractor.input("in0", picture)
            logits.append(numpy.array(extractor.extract("out0")[1]))
        return numpy.stack(logits)
    return f"ncnn {nn.__version__}", step


def load_torch(options):
    import torch
    import networks
    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    network, _ = networks.create(options.model)
    network.load_state_dict(torch.load(options.folder / "state.pt"))
    return torch, network.to(memory_format=torch.channels_last)


def pytorch_training(options, images):
    torch, network = load_torch(options)
    batch = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (len(images),))
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    forward = torch.compile(network) if options.engine == "pytorch-compile" else network

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(forward(batch).float(), labels)
        loss.backward()
        optimizer.step()
    return f"PyTorch {torch.__version__}", step


def pytorch(options, images):
    if options.train:
        return pytorch_training(options, images)
    torch, network = load_torch(options)
    batch = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    network.eval().requires_grad_(False)
    autocast = torch.autocast("cpu", torch.bfloat16) if options.precision == "bf16" else contextlib.nullcontext()
    with torch.no_grad(), autocast:
        if options.engine == "pytorch":
            network = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, batch)))
        elif options.engine == "pytorch-compile":
            network = torch.compile(network)

    def step():
        with torch.inference_mode(), autocast:
            return network(batch).float().numpy()
    return f"PyTorch {torch.__version__}", step


ENGINES = {"onnxruntime": onnxruntime, "openvino": openvino, "ncnn": ncnn, "pytorch": pytorch, "pytorch-eager": pytorch,
           "pytorch-compile": pytorch}


def main():
    options = parse()
    images = read_input(options)
    began = time.perf_counter()
    name, step = ENGINES[options.engine](options, images)
    logits = step()
    cold = time.perf_counter() - began
    error = None
    if logits is not None:
        expected = numpy.fromfile(options.folder / "logits.bin", numpy.float32).reshape(len(images), -1)
        error = float(numpy.abs(logits.reshape(expected.shape) - expected).max() / numpy.abs(expected).max())
    for _ in range(3):
        step()
    times, began = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < options.seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    times.sort()
    print(json.dumps({"engine": name, "error": error, "cold_start_ms": 1e3 * cold, "steps": len(times),
                      "latency_ms": {"min": 1e3 * times[0], "p50": 1e3 * times[len(times) // 2]}}))


if __name__ == "__main__":
    main()
