"""Training, and what is kept of it on disk."""

from recbole.trainer.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_unlearned
from recbole.trainer.learners import make_optimizer
from recbole.trainer.names import Naming
from recbole.trainer.progress import Progress
from recbole.trainer.resume import ResumeFile, fingerprint
from recbole.trainer.trainer import Trainer

__all__ = [
    "Naming",
    "Progress",
    "ResumeFile",
    "Trainer",
    "fingerprint",
    "load_checkpoint",
    "load_weights",
    "make_optimizer",
    "save_checkpoint",
    "save_unlearned",
]
