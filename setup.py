"""Packaging of XSER; see README.md."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    "audb": ["audb>=1.11"],
    "cluster": ["submitit>=1.5"],
    "demo": ["espeakng-loader>=0.2.4"],
    "download": ["pooch>=1.8", "requests>=2.31"],
    "exchange": ["audformat>=1.3", "datasets>=3.0", "lhotse>=1.28"],
    "onnx": ["onnx>=1.16", "onnxruntime>=1.18", "onnxscript>=0.3"],
    "serve": ["espeakng-loader>=0.2.4", "gradio>=6.0"],
    "umap": ["umap-learn>=0.5"],
    "video": ["av>=14.0"],
}
EXTRAS["dev"] = [
    *(
        package
        for extra in EXTRAS.values()
        for package in extra
        if "umap" not in package
    ),
    "hypothesis>=6.100",
    "inotify_simple>=1.3",
    "playwright>=1.44",
    "pytest>=8.0",
    "pytest-cov>=5.0",
    "pytorch-metric-learning>=2.5",
    "ruff>=0.6",
]

setup(
    name="xser-brain",
    version="0.1.0",
    description="SpeechBrain recipes for zero-shot cross-lingual speech emotion "
    "recognition",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["xser_brain", "xser_brain.*", "data_prep*"]),
    package_data={
        "data_prep": ["templates/*.txt"],
        "data_prep.corpora": ["*.txt"],
        "xser_brain.reports": ["*.csv", "templates/*"],
    },
    python_requires=">=3.10",
    install_requires=[
        "huggingface_hub>=0.25",
        "hyperpyyaml>=1.2.2",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "numpy>=1.24",
        "safetensors>=0.4.3",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "sentencepiece>=0.2.0",
        "soundfile>=0.12",
        "soxr>=0.3.7",
        "speechbrain>=1.1",
        "torch>=2.4",
        "torchaudio>=2.4",
        "threadpoolctl>=3.1",
        "tqdm>=4.66",
        "transformers>=4.48",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["xser = xser_brain.cli:main"]},
)
