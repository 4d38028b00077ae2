"""The flags of the two command lines, as data; those of a scenario are in its file."""

from collections.abc import Iterable

from recbole.config.ensembles import AGGREGATES, ANCHOR_UPDATES, PARTITIONS, PRESETS
from recbole.scenario.known_scenarios import scenarios
from recbole.unlearning.schedule import N_CHECKPOINTS
from recbole.utils import UserError
from recbole.utils.flag import Flag, cutoffs, metric_names

TASKS = ("CF", "SBR", "NBR")
RUNNING = ("wait", "leave")


_PLACES = (
    Flag("checkpoint_dir", str, "folder for checkpoints (default: saved); its logs go into its subfolder log"),
    Flag("log_dir", str, "folder for logs and per-request records (default: log)"),
    Flag("variant", str, "a name: everything goes into folders of that name, beside runs of other settings"),
    Flag("overwrite", bool, "replace files that other settings made", False),
    Flag("if_running", str, "when another process writes the same files: wait (default) or leave", choices=RUNNING),
    Flag(
        "allow_other_reference",
        bool,
        "compare with a retrained model that differs from the base in more than what was forgotten",
        False,
    ),
)


def _run(dataset: str) -> tuple[Flag, ...]:
    return (
        Flag("model", str, "model, by its class name (default: BPR)", "BPR", key=None, short="m"),
        Flag("dataset", str, f"folder under data_path (default: {dataset})", dataset, key=None, short="d"),
        Flag("task_type", str, "task; must agree with the model (default: the model's own)", choices=TASKS),
        Flag("config_files", str, "YAML files, the last one wins", key=None, nargs="+"),
        Flag("seed", int, "seed of the model, and of the forget set (default: 2)", 2),
        Flag("device", str, "cpu or cuda:N; must be there (default: as use_gpu and --gpu_id say)", key=None),
        Flag("gpu_id", str, "number of the CUDA device; '' for the CPU (default: 0 if there is one)"),
        Flag("topk", cutoffs, "lengths of the ranked lists that are evaluated (default: 10 20)", [10, 20], nargs="+"),
        Flag("metrics", metric_names, "what is computed of them (default: Recall MRR NDCG Hit Precision)", nargs="+"),
        Flag(
            "max_training_hours",
            float,
            "budget in hours: training stops before an epoch that would go past it; "
            "of unlearning each request (or batch of them) gets an even share, and changes nothing if that runs out",
        ),
        *_PLACES,
        Flag(
            "result_file",
            str,
            "also write the record of the run (arguments, timing, metric rows) to this JSON file",
            key=None,
        ),
    )


_ENSEMBLES = (
    Flag("ensemble", str, "shards with a model of each, put together: exact unlearning", choices=tuple(PRESETS)),
    Flag("partition", str, "how rows go to shards (default: the ensemble's)", choices=PARTITIONS),
    Flag("aggregate", str, "how the shards' models are put together (default: the ensemble's)", choices=AGGREGATES),
    Flag("num_shards", int, "number of shards (default: 10)"),
    Flag("capacity_factor", float, "a shard holds at most so many times its even share (default: 1.2)"),
    Flag("anchor_update", str, "of a partition around anchors (default: the ensemble's)", choices=ANCHOR_UPDATES),
    Flag("shard_workers", int, "shards that are trained at the same time, each by a process (default: 1)"),
)


def _forgetting(fraction: float | None) -> tuple[Flag, ...]:
    said = "0.01 with --spam" if fraction is None else f"{fraction}; 0.01 with --spam"
    known = scenarios()
    return (
        *known["sensitive"].flags,
        Flag("unlearning_fraction", float, f"forget set's, or spam's, share of the data (default: {said})", fraction),
        Flag(
            "forget_set_seed",
            int,
            "which draw of the forget set (default: --seed)",
            key="unlearn_sample_selection_seed",
        ),
        *(flag for name, scenario in known.items() if name != "sensitive" for flag in scenario.flags),
    )


_EVALUATION = (
    Flag("eval_only", bool, "evaluate saved checkpoints, train nothing", False),
    Flag("sensitive_eval_only", bool, "only count sensitive items in recommendations", False),
)


def train_flags() -> dict[str, tuple[Flag, ...]]:
    """Return the groups of run_recbole.py's flags."""
    return {
        "the run": (
            *_run("ml-100k"),
            Flag("epochs", int, "passes over the training data (default: the config's, else 300)"),
            Flag("adam_beta1", float, "Adam's decay of the mean (default: 0.9)"),
            Flag("adam_beta2", float, "Adam's decay of the variance (default: 0.999)"),
            Flag("adam_eps", float, "Adam's epsilon (default: 1e-8)"),
        ),
        "ensembles": _ENSEMBLES,
        "several processes (or start the script with torchrun)": (
            Flag("nproc", int, "processes on this machine (default: 1)", 1, key=None),
            Flag("world_size", int, "processes on all machines (default: those of this machine)", -1, key=None),
            Flag("group_offset", int, "rank of this machine's first process (default: 0)", 0, key=None),
            Flag("ip", str, "address of the machine with rank 0 (default: localhost)", "localhost", key=None),
            Flag(
                "port", str, "port there, 0: any that is free, on one machine alone (default: 5678)", "5678", key=None
            ),
        ),
        "forgetting": (
            *_forgetting(None),
            Flag(
                "retrain_checkpoint_idx_to_match",
                int,
                "train without what was forgotten by this checkpoint: the yardstick of unlearning",
                choices=tuple(range(N_CHECKPOINTS)),
            ),
        ),
        "evaluation": (
            *_EVALUATION,
            Flag("reference_checkpoint", str, "a retrained checkpoint to measure the distance from", key=None),
            Flag("checkpoint", str, "with --eval_only: the file of the model to evaluate"),
            Flag("hf_model_path", str, "evaluate a checkpoint from the Hugging Face Hub: hf://user/repo/file.pth"),
            *_HUB,
        ),
    }


_HUB = (
    Flag("hf_token", str, "Hugging Face token; never logged nor stored"),
    Flag("hf_cache_dir", str, "folder for downloads from the Hub"),
    Flag("hf_sha256", str, "SHA-256 that the file from the Hub must have"),
)


def unlearn_flags(algorithms: Iterable[str]) -> dict[str, tuple[Flag, ...]]:
    """Return the groups of unlearn.py's flags; ``algorithms`` are the names to choose from."""
    return {
        "the run": (
            *_run("ml-100k"),
            Flag("unlearning_algorithm", str, "how to forget (default: scif)", "scif", choices=tuple(algorithms)),
            Flag(
                "preset",
                str,
                "named hyper-parameters instead of the defaults: erase (ERASE's own, for its seven algorithms on any "
                "model) or tuned (found on validation data; 'erase-bench list presets' shows for which pairs)",
            ),
            Flag("base_checkpoint", str, "the model to unlearn from: a file, or hf://user/repo/file.pth"),
            *_HUB,
            Flag("release_secret", str, "with ceu and idea: a file whose bytes key the noise, instead of the seed"),
            Flag("unlearning_batchsize", int, "people per unlearning step (default: 1)", 1),
        ),
        "ensembles": _ENSEMBLES,
        "forgetting": (
            *_forgetting(1e-05),
            Flag("attribute_config", str, "exp_config.json of PoT-AU's program: run its experiment here", key=None),
        ),
        "evaluation": (
            *_EVALUATION,
            Flag("other_seeds", int, "seeds whose retrained models distances are measured from too", nargs="+"),
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
        "model_dir",
    )
)

_LATER_PREFIXES = ("rmia_", "ruli_")


def refuse_if_later(name: str) -> None:
    """Raise a UserError for a flag of ERASE whose part is not there yet."""
    if name.startswith(_LATER_PREFIXES):
        raise UserError(f"--{name}: membership attacks are not available yet")
