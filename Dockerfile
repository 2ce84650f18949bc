# An image of the tested set; docs/installing.md says how to build and run it.
FROM python:3.11-slim AS wheel
WORKDIR /src
COPY setup.py pyproject.toml README.md LICENSE constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt setuptools
COPY data_prep data_prep
COPY recipes recipes
COPY xser_brain xser_brain
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

FROM python:3.11-slim
# An index of other builds of torch and torchaudio, as those without CUDA.
ARG PIP_EXTRA_INDEX_URL
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    pip install --no-cache-dir -c /constraints.txt "$(echo /wheel/*.whl)[serve]"
RUN useradd --uid 1000 --create-home --home-dir /work xser
USER 1000
WORKDIR /work
# Caches lie in the folder that is mounted, whoever runs the image.
ENV HOME=/work
ENTRYPOINT ["xser"]
CMD ["--help"]
