"""Training of models, and the files that store trained models (checkpoints) and unfinished runs (snapshots).

:class:`TrainingLoop` is the training loop of this package. RecBole's ``Trainer`` and ``HyperTuning`` can be imported
from here, too; they are loaded from :mod:`recbole.doors` on first use.
"""

from recbole.trainer.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_unlearned
from recbole.trainer.learners import make_optimizer
from recbole.trainer.loop import TrainingLoop
from recbole.trainer.names import Naming
from recbole.trainer.progress import Progress
from recbole.trainer.resume import ResumeFile, fingerprint
from recbole.utils.on_demand import from_modules

__all__ = [
    "Naming",
    "Progress",
    "ResumeFile",
    "TrainingLoop",
    "fingerprint",
    "load_checkpoint",
    "load_weights",
    "make_optimizer",
    "save_checkpoint",
    "save_unlearned",
]

_OWN_LOOPS = ("MKR", "NCL", "RaCT", "RecVAE", "S3Rec", "XGBoost", "LightGBM", "KGAT", "KG", "Pretrain", "DecisionTree")

__getattr__ = from_modules(
    __name__,
    {
        **dict.fromkeys(("Trainer", "TraditionalTrainer"), "recbole.doors.trainer"),
        "HyperTuning": "recbole.doors.tuning",
    },
    {f"{name}Trainer": "this package has a single training loop for all models" for name in _OWN_LOOPS},
)
