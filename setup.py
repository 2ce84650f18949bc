"""Packaging of XSER; see README.md."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
RECIPES = "xser_brain.recipes_data"
EXTRAS = {
    "audb": ["audb>=1.11"],
    "cluster": ["submitit>=1.5"],
    "demo": ["espeakng-loader>=0.2.4"],
    "docs": ["furo>=2024.8", "myst-nb>=1.1", "sphinx>=7.4"],
    "download": ["pooch>=1.8", "requests>=2.32.2"],
    "exchange": ["audformat>=1.4", "datasets>=3.0", "lhotse>=1.28"],
    "onnx": ["onnx>=1.17", "onnxruntime>=1.18", "onnxscript>=0.6"],
    "parquet": ["pyarrow>=17.0"],
    "serve": ["espeakng-loader>=0.2.4", "gradio>=6.0"],
    "tensorboard": ["tensorboard>=2.18"],
    "umap": ["umap-learn>=0.5"],
    "wandb": ["wandb>=0.19"],
}
EXTRAS["dev"] = [
    *(
        package
        for extra in EXTRAS.values()
        for package in extra
        if "umap" not in package
    ),
    "hypothesis>=6.100",
    "inotify_simple>=1.3.5",
    "ipykernel>=6.29",
    "nbclient>=0.10",
    "playwright>=1.44",
    "pytest>=8.0",
    "pytest-cov>=5.0",
    "pytest-xdist>=3.5",
    "pytorch-metric-learning>=2.5",
    "ruff>=0.6",
]


def read(path: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def for_index(readme: str) -> str:
    """A README for a package index, where links to files lead nowhere: their names."""

    def name(link: re.Match) -> str:
        text, path = link[1], f"`{link[2]}`"
        return path if link[2].endswith(text) else f"{text} ({path})"

    return re.sub(r"!?\[([^\]]*)\]\((?!\w+:|#)([^)#]+)[^)]*\)", name, readme) + (
        "\nOf the files named here, `xser recipes copy DIR` hands out those of `recipes/`; "
        "the others are in the source distribution.\n"
    )


setup(
    name="xser-brain",
    version=re.search('__version__ = "(.+)"', read("data_prep/__init__.py"))[1],
    description="SpeechBrain recipes for zero-shot cross-lingual speech emotion "
    "recognition",
    long_description=for_index(read("README.md")),
    long_description_content_type="text/markdown",
    author="XSER contributors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="speech emotion recognition, cross-lingual, zero-shot, SpeechBrain, "
    "contrastive learning, domain adversarial training",
    project_urls={
        "Paper": "https://arxiv.org/abs/2606.06200",
        "SpeechBrain": "https://speechbrain.github.io",
    },
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=[
        *find_packages(include=["xser_brain", "xser_brain.*", "data_prep*"]),
        RECIPES,
    ],
    # They stay at the top of the repository; see xser_brain/recipes.py.
    package_dir={RECIPES: "recipes"},
    package_data={
        "data_prep": ["py.typed", "templates/*.txt"],
        "data_prep.corpora": ["*.txt"],
        "xser_brain": ["py.typed"],
        "xser_brain.starter": ["model/*"],
        "xser_brain.training": ["log.yaml"],
        "xser_brain.reports": ["*.csv", "templates/*"],
        # By name, as a checkout has the results of runs between them.
        RECIPES: [
            "*.ipynb",
            "*.md",
            "*.yaml",
            "common/*.yaml",
            "common/*/*.yaml",
            "*/README.md",
            "*/train.py",
            "*/*.yaml",
            "*/hparams/*.yaml",
        ],
    },
    python_requires=">=3.10",
    install_requires=[
        "av>=14.0",
        "huggingface_hub>=1.3",
        "hyperpyyaml>=1.2.3",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "numpy>=1.24",
        "packaging>=22.0",
        "safetensors>=0.4.3",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "sentencepiece>=0.2.0",
        "soundfile>=0.13",
        "soxr>=0.3.7",
        "speechbrain>=1.1",
        # Up to torch 2.14 the registry's torch is of CUDA 13.0, as is its torchaudio
        # 2.11, which names no torch and refuses another CUDA version when imported.
        # 2.15 is of CUDA 13.2. The cap can go when `make newest` ends by saying so.
        "torch>=2.11,<2.15",
        "torchaudio>=2.11",
        "threadpoolctl>=3.1",
        "tqdm>=4.66.3",
        "transformers>=5.0",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["xser = xser_brain.cli:main"]},
)
