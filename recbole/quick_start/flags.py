"""The flags of the two command lines, as data: what they are called, what they mean, what they set."""

from collections.abc import Callable
from dataclasses import dataclass

from recbole.utils import UserError

TASKS = ("CF", "SBR", "NBR")


def yes_or_no(text):
    """Return the truth value that ``text`` says."""
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError(text)
    return values[text.lower()]


def cutoffs(text):
    """Return the integers in ``10``, ``10,20`` or ``[10,20]``."""
    return [int(number) for number in text.strip("[]").split(",")]


yes_or_no.__name__, cutoffs.__name__ = "True/False", "integer"  # argparse names the type in its message


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        type: function from text to value; ``bool`` makes a switch.
        help: what it does.
        default: value of the namespace when the flag is absent.
        key: the setting that it sets; ``None`` for flags that are no settings.
        negates: whether the switch turns the setting off.
        choices, nargs, short: as in argparse.
    """

    name: str
    type: Callable
    help: str
    default: object = None
    key: str | None = ""
    negates: bool = False
    choices: tuple | None = None
    nargs: str | None = None
    short: str | None = None

    def __post_init__(self):
        if self.key == "":
            object.__setattr__(self, "key", self.name)

    def setting(self, value):
        """Return what the flag's ``value`` means for its key."""
        return not value if self.negates else value

    def add_to(self, group):
        """Add the flag to an argparse group."""
        options = {"help": self.help.replace("%", "%%"), "dest": self.name}
        if self.type is bool:
            options |= {"nargs": "?", "const": True, "type": yes_or_no, "metavar": "True/False"}
        else:
            shown = None if self.choices else self.name.rpartition("_")[2].upper()
            options |= {"nargs": self.nargs, "type": self.type, "choices": self.choices, "metavar": shown}
        group.add_argument(*([f"-{self.short}"] if self.short else []), f"--{self.name}", **options)


def _run(dataset):
    return (
        Flag("model", str, "model, by its class name (default: BPR)", "BPR", key=None, short="m"),
        Flag("dataset", str, f"folder under data_path (default: {dataset})", dataset, key=None, short="d"),
        Flag("task_type", str, "task; must agree with the model (default: the model's own)", choices=TASKS),
        Flag("config_files", str, "YAML files, the last one wins", key=None, nargs="+"),
        Flag("seed", int, "seed of the model, and of the forget set (default: 2)", 2),
        Flag("device", str, "cpu or cuda:N; must be there (default: as use_gpu and --gpu_id say)", key=None),
        Flag("gpu_id", str, "number of the CUDA device; '' for the CPU (default: 0 if there is one)"),
        Flag("topk", cutoffs, "lengths of the ranked lists that are evaluated (default: 10 20)", [10, 20], nargs="+"),
        Flag(
            "max_training_hours",
            float,
            "budget in hours: training stops before an epoch that would go past it; "
            "of unlearning each request (or batch of them) gets an even share, and changes nothing if that runs out",
        ),
        Flag(
            "result_file",
            str,
            "also write the record of the run (arguments, timing, metric rows) to this JSON file",
            key=None,
        ),
    )


def _forgetting(fraction):
    said = "0.01 with --spam" if fraction is None else f"{fraction}; 0.01 with --spam"
    return (
        Flag("sensitive_category", str, "category that people want forgotten, such as meat"),
        Flag("forget_set", str, "file of what is to be forgotten, instead of one drawn by make_forget_set.py"),
        Flag(
            "unlearning_sample_selection_method",
            str,
            "forget set's name (default: sensitive_category_<--sensitive_category>)",
        ),
        Flag("unlearning_fraction", float, f"forget set's, or spam's, share of the data (default: {said})", fraction),
        Flag(
            "forget_set_seed",
            int,
            "which draw of the forget set (default: --seed)",
            key="unlearn_sample_selection_seed",
        ),
        Flag("spam", bool, "spam attack: add fake interactions; these are what is forgotten", False),
        Flag("n_target_items", int, "items that the spammer promotes; part of file names (default: 10)", 10),
    )


_EVALUATION = (
    Flag("eval_only", bool, "evaluate saved checkpoints, train nothing", False),
    Flag("sensitive_eval_only", bool, "only count sensitive items in recommendations", False),
)

TRAIN = {
    "the run": (
        *_run("ml-100k"),
        Flag("epochs", int, "passes over the training data (default: the config's, else 300)"),
        Flag("adam_beta1", float, "Adam's decay of the mean (default: 0.9)"),
        Flag("adam_beta2", float, "Adam's decay of the variance (default: 0.999)"),
        Flag("adam_eps", float, "Adam's epsilon (default: 1e-8)"),
    ),
    "several processes (or start the script with torchrun)": (
        Flag("nproc", int, "processes on this machine (default: 1)", 1, key=None),
        Flag("world_size", int, "processes on all machines (default: those of this machine)", -1, key=None),
        Flag("group_offset", int, "rank of this machine's first process (default: 0)", 0, key=None),
        Flag("ip", str, "address of the machine with rank 0 (default: localhost)", "localhost", key=None),
        Flag("port", str, "port there (default: 5678)", "5678", key=None),
    ),
    "forgetting": (
        *_forgetting(None),
        Flag(
            "retrain_checkpoint_idx_to_match",
            int,
            "train without what was forgotten by this checkpoint: the yardstick of unlearning",
            choices=(0, 1, 2, 3),
        ),
    ),
    "evaluation": (
        *_EVALUATION,
        Flag("reference_checkpoint", str, "a retrained checkpoint to measure the distance from", key=None),
        Flag("hf_model_path", str, "evaluate a checkpoint from the Hugging Face Hub: hf://user/repo/file.pth"),
        Flag("hf_token", str, "Hugging Face token; never logged nor stored"),
        Flag("hf_cache_dir", str, "folder for downloads from the Hub"),
    ),
}


def unlearn_flags(algorithms):
    """Return the groups of unlearn.py's flags; ``algorithms`` are the names to choose from."""
    return {
        "the run": (
            *_run("amazon_reviews"),
            Flag("unlearning_algorithm", str, "how to forget (default: scif)", "scif", choices=tuple(algorithms)),
            Flag("preset", str, "named hyper-parameters instead of ERASE's defaults: tuned", key=None),
            Flag("unlearning_batchsize", int, "people per unlearning step (default: 1)", 1),
        ),
        "forgetting": _forgetting(1e-05),
        "evaluation": (
            *_EVALUATION,
            Flag(
                "dont_save_interaction_probabilities",
                bool,
                "with --spam: do not write the scores of the promoted items",
                False,
                key="save_interaction_probabilities",
                negates=True,
            ),
        ),
    }


#: Flags of ERASE that did nothing, or that nothing is left for.
TRAIN_DEAD = frozenset(("retrain_flag",))
UNLEARN_DEAD = frozenset(
    (
        *("nproc", "ip", "port", "world_size", "group_offset", "retrain_flag"),
        "ind",
        "training",
        "temporal_split",
        "LOCAL",
        "popular_percentage",
        "lissa_train_pair_count_scif",
        "retrain_checkpoint_idx_to_match",
        "gif_use_true_khop",
        "epochs",
        "model_dir",
    )
)

_LATER_PREFIXES = ("rmia_", "ruli_")


def refuse_if_later(name):
    """Raise a UserError for a flag of ERASE whose part is not there yet."""
    if name.startswith(_LATER_PREFIXES):
        raise UserError(f"--{name}: membership attacks are not available yet")
