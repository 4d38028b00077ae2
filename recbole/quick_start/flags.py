"""The command-line flags of ``run_recbole.py`` and ``unlearn.py``, as lists of :class:`~recbole.utils.flag.Flag`.

The flags of a single scenario (sensitive items, spam, user attributes) are declared in the scenario's file.
"""

from collections.abc import Iterable

from recbole.config.ensembles import AGGREGATES, ANCHOR_UPDATES, PARTITIONS, PRESETS
from recbole.scenario.known_scenarios import scenarios
from recbole.unlearning.schedule import N_CHECKPOINTS
from recbole.utils import UserError, not_empty
from recbole.utils.flag import Flag, cutoffs, metric_names

TASKS = ("CF", "SBR", "NBR")
RUNNING = ("wait", "leave")


_PLACES = (
    Flag(
        "checkpoint_dir",
        str,
        "folder for checkpoints (default: saved); if given, logs go into its subfolder log, unless --log_dir is given",
    ),
    Flag("log_dir", str, "folder for logs and per-request records (default: log)"),
    Flag("variant", str, "name of a subfolder for all checkpoints and logs, to keep runs with other settings apart"),
    Flag("overwrite", bool, "replace files that were written with other settings", False),
    Flag(
        "if_running",
        str,
        "what to do while another process writes the same files: wait for it (default) or leave with an error",
        choices=RUNNING,
    ),
    Flag(
        "allow_other_reference",
        bool,
        "also compare with a retrained model whose settings differ from those of the base model",
        False,
    ),
)


def _run(dataset: str) -> tuple[Flag, ...]:
    return (
        Flag("model", str, "model, by its class name (default: BPR)", "BPR", key=None, short="m"),
        Flag("dataset", str, f"folder of the data set in data_path (default: {dataset})", dataset, key=None, short="d"),
        Flag("task_type", str, "task; must match the model (default: the model's task)", choices=TASKS),
        Flag("config_files", str, "YAML files; later files override earlier ones", key=None, nargs="+"),
        Flag("seed", int, "random seed for the model and for drawing the forget set (default: 2)", 2),
        Flag("device", str, "cpu or cuda:N; must exist (default: set by use_gpu and --gpu_id)", key=None),
        Flag("gpu_id", str, "number of the CUDA device, or '' for the CPU (default: 0 if there is a GPU)"),
        Flag("topk", cutoffs, "lengths k of the ranked lists to evaluate (default: 10 20)", [10, 20], nargs="+"),
        Flag("metrics", metric_names, "metrics to compute (default: Recall MRR NDCG Hit Precision)", nargs="+"),
        Flag(
            "max_training_hours",
            float,
            "time budget in hours. Training stops before an epoch that would exceed it. When unlearning, each request "
            "(or batch of requests) gets an equal share, and a request that exceeds its share leaves the model "
            "unchanged",
        ),
        *_PLACES,
        Flag(
            "result_file",
            not_empty,
            "also write the record of the run (arguments, timing, result rows) to this JSON file",
            key=None,
        ),
    )


_ENSEMBLES = (
    Flag("ensemble", str, "train one model per shard of the data and aggregate them, for exact unlearning",
         choices=tuple(PRESETS)),
    Flag("partition", str, "method that assigns training rows to shards (default: set by --ensemble)",
         choices=PARTITIONS),
    Flag("aggregate", str, "method that aggregates the shards' models (default: set by --ensemble)",
         choices=AGGREGATES),
    Flag("num_shards", int, "number of shards (default: 10)"),
    Flag("capacity_factor", float, "maximum size of a shard, as a multiple of the average size (default: 1.2)"),
    Flag("anchor_update", str, "how partitions around anchors update these (default: set by --ensemble)",
         choices=ANCHOR_UPDATES),
    Flag("shard_workers", int, "number of processes that train shards in parallel (default: 1)"),
)  # fmt: skip


def _forgetting(fraction: float | None) -> tuple[Flag, ...]:
    said = "0.01 with --spam" if fraction is None else f"{fraction}; 0.01 with --spam"
    known = scenarios()
    return (
        *known["sensitive"].flags,
        Flag(
            "unlearning_fraction", float, f"share of the data to forget, or to add as spam (default: {said})", fraction
        ),
        Flag(
            "forget_set_seed",
            int,
            "seed with which the forget set was drawn (default: --seed)",
            key="unlearn_sample_selection_seed",
        ),
        *(flag for name, scenario in known.items() if name != "sensitive" for flag in scenario.flags),
    )


_EVALUATION = (
    Flag("eval_only", bool, "evaluate saved checkpoints without training", False),
    Flag("sensitive_eval_only", bool, "only count sensitive items in the recommended lists", False),
)


def train_flags() -> dict[str, tuple[Flag, ...]]:
    """Return the flags of run_recbole.py, as a dict from the title of a group in ``--help`` to the group's flags."""
    return {
        "the run": (
            *_run("ml-100k"),
            Flag("epochs", int, "maximum number of epochs (default: from the configuration files, else 300)"),
            Flag("adam_beta1", float, "Adam's beta1, the decay rate of the mean gradient (default: 0.9)"),
            Flag("adam_beta2", float, "Adam's beta2, the decay rate of the mean squared gradient (default: 0.999)"),
            Flag("adam_eps", float, "Adam's epsilon (default: 1e-8)"),
        ),
        "ensembles": _ENSEMBLES,
        "several processes (or start the script with torchrun)": (
            Flag("nproc", int, "number of processes on this machine (default: 1)", 1, key=None),
            Flag("world_size", int, "number of processes on all machines (default: --nproc)", -1, key=None),
            Flag("group_offset", int, "rank of this machine's first process (default: 0)", 0, key=None),
            Flag("ip", str, "address of the machine with rank 0 (default: localhost)", "localhost", key=None),
            Flag(
                "port",
                str,
                "port of the machine with rank 0; 0: any free one (default: 5678)",
                "5678",
                key=None,
            ),
        ),
        "forgetting": (
            *_forgetting(None),
            Flag(
                "retrain_checkpoint_idx_to_match",
                int,
                "retrain without the rows that are forgotten by this checkpoint, to compare unlearned models with",
                choices=tuple(range(N_CHECKPOINTS)),
            ),
        ),
        "evaluation": (
            *_EVALUATION,
            Flag("reference_checkpoint", str, "retrained checkpoint from which to measure distances", key=None),
            Flag("checkpoint", str, "with --eval_only: the file of the model to evaluate"),
            Flag("hf_model_path", str, "evaluate a checkpoint from the Hugging Face Hub: hf://user/repo/file.pth"),
            *_HUB,
        ),
    }


_HUB = (
    Flag("hf_token", str, "Hugging Face access token; it is neither logged nor stored"),
    Flag("hf_cache_dir", str, "folder for downloads from the Hub (default: the cache of huggingface_hub)"),
    Flag("hf_sha256", str, "expected SHA-256 of the file from the Hub"),
)


def unlearn_flags(algorithms: Iterable[str]) -> dict[str, tuple[Flag, ...]]:
    """Return the flags of unlearn.py, as a dict from the title of a group in ``--help`` to the group's flags.

    Args:
        algorithms: the names that ``--unlearning_algorithm`` accepts.
    """
    return {
        "the run": (
            *_run("ml-100k"),
            Flag(
                "unlearning_algorithm", str, "unlearning algorithm (default: scif)", "scif", choices=tuple(algorithms)
            ),
            Flag(
                "preset",
                str,
                "hyper-parameters to use instead of the defaults: erase (ERASE's, for its seven algorithms on any "
                "model) or tuned (found on validation data; 'erase-bench list presets' shows the pairs of algorithm "
                "and model)",
            ),
            Flag("base_checkpoint", str, "the trained model to unlearn from: a file, or hf://user/repo/file.pth"),
            *_HUB,
            Flag("release_secret", str, "with ceu and idea: a file whose bytes seed the noise, instead of --seed"),
            Flag("unlearning_batchsize", int, "requests that are processed together (default: 1)", 1),
        ),
        "ensembles": _ENSEMBLES,
        "forgetting": (
            *_forgetting(1e-05),
            Flag("attribute_config", str, "exp_config.json of PoT-AU: run the experiment that it describes", key=None),
        ),
        "evaluation": (
            *_EVALUATION,
            Flag("other_seeds", int, "also measure distances from the models retrained with these seeds", nargs="+"),
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


#: Names of flags of ERASE that run_recbole.py and unlearn.py accept and ignore: either they had no effect in ERASE, or
#: this program has nothing that they could change.
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
        "model_dir",
    )
)

_LATER_PREFIXES = ("rmia_", "ruli_")


def refuse_if_later(name: str) -> None:
    """Raise a UserError if ``name`` is a flag of ERASE for membership inference attacks, which do not exist here."""
    if name.startswith(_LATER_PREFIXES):
        raise UserError(f"--{name}: membership attacks are not available yet")
