"""File names of lists of sensitive items, forget sets and spam attacks, as in ERASE. No other module defines them.

A forget set is a file of the interactions that users request to forget.
"""

SENSITIVE_KINDS = ("asins", "products", "tracks")
FORGET_SET_KINDS = {"CF": ("inter",), "SBR": ("inter",), "NBR": ("json", "pkl", "inter")}
"""Dict from the task to the possible file extensions of its forget sets, the preferred one first.

Forget sets of categories that `repeated_category` names always have the extension ``inter``.
"""

REPEATED = 2
"""Minimum number of a user's baskets that must contain an item, if the category is one of `repeated_category`."""

_OF_CATEGORY, _REPEATED_ENDING = "sensitive_category_", "_repeated"
ATTACK, TARGET_STRATEGY = "bandwagon", "unpopular"


def sensitive_method(category: str) -> str:
    """Return the name for "the items of a sensitive category are forgotten", such as ``sensitive_category_health``.

    It follows ``unlearning_sample_selection_method`` in the names of the checkpoints and results of a run.
    """
    return f"{_OF_CATEGORY}{category}"


def category_of(method: str) -> str | None:
    """Return the category that a name from `sensitive_method` contains, or ``None`` for any other name."""
    return method.removeprefix(_OF_CATEGORY) if method.startswith(_OF_CATEGORY) else None


def repeated_category(category: str) -> str:
    """Return the name of the variant of a category for items that users buy repeatedly.

    In this variant, a user requests to forget only those sensitive items that are in at least `REPEATED` of the user's
    baskets. It exists for next-basket recommendation (NBR) only, and has the same list of sensitive items.
    """
    return f"{category}{_REPEATED_ENDING}"


def baskets_said(category: str, task_type: str) -> int:
    """Return the minimum number of a user's baskets that must contain an item, so that the user requests its removal.

    This is `REPEATED` if the task is NBR and the category is a variant named by `repeated_category`, otherwise 1.
    """
    return REPEATED if task_type == "NBR" and category.endswith(_REPEATED_ENDING) else 1


def forget_set_name(dataset: str, method: str, seed: int, fraction: float, extension: str) -> str:
    """Return the file name of a forget set.

    Args:
        dataset: the data set's name.
        method: how interactions were selected, such as ``sensitive_category_horror`` (see `sensitive_method`).
        seed: the seed of the random selection.
        fraction: share of the interactions to forget, written as Python prints a float (``0.001``, ``1e-05``).
        extension: file extension, with or without the dot.
    """
    stem = f"{dataset}_unlearn_pairs_{method}_seed_{seed}_unlearning_fraction_{float(fraction)}"
    return f"{stem}.{extension.lstrip('.')}"


def forget_set_names(dataset: str, method: str, seed: int, fraction: float, task_type: str) -> list[str]:
    """Return the possible file names of a task's forget set, the preferred one first."""
    return [forget_set_name(dataset, method, seed, fraction, kind) for kind in FORGET_SET_KINDS[task_type]]


def sensitive_list_name(category: str) -> str:
    """Return the name of the file to which the list of sensitive items of a category is written."""
    return sensitive_list_names(category)[0]


def sensitive_list_names(category: str) -> list[str]:
    """Return the possible file names of a list of sensitive items, the preferred one first."""
    return [f"sensitive_{kind}_{category}.txt" for kind in SENSITIVE_KINDS]


def fraud_name(dataset: str, task_type: str, ratio: float, seed: int) -> str:
    """Return the name of the file with the fake users or sessions of an attack: ``.json`` for NBR, else ``.inter``.

    In CF the name contains ``sessions`` too. ERASE has no spam for CF, but its loader looks for this name.

    Args:
        dataset: the data set's name.
        task_type: ``CF``, ``SBR`` or ``NBR``.
        ratio: share of fake users (SBR: sessions) among all, written as Python prints a float (``0.01``).
        seed: the attack's seed.
    """
    kind, extension = ("baskets", "json") if task_type == "NBR" else ("sessions", "inter")
    return f"{dataset}_fraud_{kind}_{_attack(ratio, seed)}.{extension}"


def fraud_metadata_name(dataset: str, ratio: float, seed: int) -> str:
    """Return the name of the metadata file of an attack; the arguments are those of `fraud_name`."""
    return f"{dataset}_fraud_metadata_{_attack(ratio, seed)}.json"


def _attack(ratio: float, seed: int) -> str:
    return f"{ATTACK}_{TARGET_STRATEGY}_ratio_{float(ratio)}_seed_{seed}"
