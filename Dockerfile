# syntax=docker/dockerfile:1
# i2i in a container. Build for the CPU (the default), or for NVIDIA GPUs with CUDA's wheels of PyTorch:
#
#   docker build -t i2i .
#   docker build -t i2i:cuda --build-arg TORCH=cu128 .
#
# Run; /work is the folder that commands see, so mount your images there:
#
#   docker run --rm -v "$PWD:/work" -u "$(id -u):$(id -g)" i2i translate photo.jpg --model cyclegan_daynight
#   docker run --rm --gpus all --shm-size 2g -v "$PWD:/work" -u "$(id -u):$(id -g)" i2i:cuda train pix2pix --data pairs/
#
# Arguments of the build:
#   TORCH   index of PyTorch's wheels: cpu, cu126, cu128, ... (https://pytorch.org/get-started/locally)
#   EXTRAS  extras of i2i-toolkit to install, comma-separated: video, uint16, onnx, hub, remote, demo, ...
#   PYTHON  version of Python
#
# Downloaded models and data sets are kept in /cache: mount a volume there (-v i2i-cache:/cache) to keep them.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG TORCH=cpu
ARG EXTRAS=video,uint16
WORKDIR /source
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# PyTorch first: this layer is large and stays valid when only i2i changes.
RUN pip install "torch>=2.11" "torchvision>=0.26" --index-url "https://download.pytorch.org/whl/${TORCH}"
COPY pyproject.toml README.md LICENSE ./
COPY i2i i2i
COPY recipes recipes
COPY protocols protocols
COPY datasets datasets
COPY models models
RUN pip install ".[${EXTRAS}]"

FROM python:${PYTHON}-slim
RUN useradd --create-home --uid 1000 i2i && install -d -o i2i -m 1777 /cache /work
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH I2I_CACHE=/cache MPLCONFIGDIR=/tmp PYTHONDONTWRITEBYTECODE=1
USER i2i
WORKDIR /work
ENTRYPOINT ["i2i"]
CMD ["--help"]
