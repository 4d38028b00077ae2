"""Distribution ``erase-bench``, package ``recbole``."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="erase-bench",
    version="0.1.0",
    description="A benchmark for machine unlearning in recommender systems",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["recbole", "recbole.*"]),
    package_data={"recbole": ["py.typed", "properties/*.yaml", "properties/*/*.yaml"]},
    install_requires=[
        "torch>=2.6",
        "numpy>=2",
        "scipy>=1.13",
        "pandas>=3",
        "pyarrow>=20",
        "pyyaml>=6",
        "tensorboard>=2.18",
        "huggingface_hub>=1",
        "tqdm>=4.66",
        "filelock>=3.30",
    ],
    extras_require={"attack": ["scikit-learn>=1.7"], "xgboost": ["scikit-learn>=1.7", "xgboost>=2"]},
    entry_points={
        "console_scripts": [
            "erase-bench = recbole.quick_start.family:main",
            "erase-train = recbole.quick_start.main:train_main",
            "erase-unlearn = recbole.quick_start.main:unlearn_main",
            "erase-make-forget-set = recbole.quick_start.main:make_forget_set_main",
        ]
    },
)
