"""Builds the distribution ``erase-bench``: packages ``recbole`` and ``erase_bench``, configurations, data scripts."""

from pathlib import Path

from setuptools import find_packages, setup


def requirements(name):
    """Return the requirements in the file ``name``, without comments and options."""
    lines = Path(name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", "-"))]


setup(
    name="erase-bench",
    version="0.1.0",
    description="A benchmark for machine unlearning in recommender systems",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["recbole", "recbole.*", "erase_bench"]),
        "erase_bench.configs",  # what a checkout has at its top
        "erase_bench.dataset",
    ],
    package_dir={"erase_bench.configs": "configs", "erase_bench.dataset": "dataset"},
    package_data={
        "recbole": ["py.typed", "properties/*.yaml", "properties/*/*.yaml"],
        "erase_bench.configs": ["*.yaml", "*/*.yaml"],
        "erase_bench.dataset": ["*/README.md", "*/*.yaml", "*/prepare.py"],
    },
    install_requires=requirements("requirements.txt"),
    extras_require={
        "pyg": ["torch_geometric>=2.6"],
        "attack": ["scikit-learn>=1.7"],
        "xgboost": ["scikit-learn>=1.7", "xgboost>=2"],
        "dev": requirements("requirements-dev.txt"),
    },
    entry_points={
        "console_scripts": [
            "erase-bench = erase_bench:bench",
            "erase-train = erase_bench:train",
            "erase-unlearn = erase_bench:unlearn",
            "erase-make-forget-set = erase_bench:make_forget_set",
        ]
    },
)
