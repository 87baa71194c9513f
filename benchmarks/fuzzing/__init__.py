"""The fuzzer behind benchmarks/fuzz.py: targets, changes of their seeds, and the process that runs the inputs.

mutate    changes of bytes, of JSON values and of lines; values by hypothesis
target    what a target is: seeds, an endless row of inputs, and a run of one input
worker    runs inputs one after the other, with limits of time and memory, and stores findings
images, headers, weights (pth, onnx), archives, records, settings, names   the targets
"""
