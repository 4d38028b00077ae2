"""How the files of lists, forget sets and spam are called: ERASE's names, put together here and nowhere else."""

SENSITIVE_KINDS = ("asins", "products", "tracks")
FORGET_SET_KINDS = {"CF": ("inter",), "SBR": ("inter",), "NBR": ("json", "pkl", "inter")}
"""How the names of a task's forget sets may end; the first is what `make_forget_set.py` writes."""

REPEATED = 2
"""In how many of a person's baskets an item has to stand for the sets of a `repeated_category` to ask for it."""

_OF_CATEGORY, _REPEATED_ENDING = "sensitive_category_", "_repeated"
ATTACK, TARGET_STRATEGY = "bandwagon", "unpopular"


def sensitive_method(category: str) -> str:
    """Return the selection method's name for a category of sensitive items."""
    return f"{_OF_CATEGORY}{category}"


def category_of(method: str) -> str | None:
    """Return the category that a selection method's name is about, or ``None``."""
    return method.removeprefix(_OF_CATEGORY) if method.startswith(_OF_CATEGORY) else None


def repeated_category(category: str) -> str:
    """Return the name of a category's sets in which people ask only for what they have in `REPEATED` baskets or more.

    For next-basket recommendation; the list of items under this name is the category's own.
    """
    return f"{category}{_REPEATED_ENDING}"


def baskets_said(category: str, task_type: str) -> int:
    """Return in how many of a person's baskets an item has to stand to be asked for, as the category's name says."""
    return REPEATED if task_type == "NBR" and category.endswith(_REPEATED_ENDING) else 1


def forget_set_name(dataset: str, method: str, seed: int, fraction: float, extension: str) -> str:
    """Return the name of a forget set; the fraction is spelled as Python prints a float (``0.001``, ``1e-05``)."""
    stem = f"{dataset}_unlearn_pairs_{method}_seed_{seed}_unlearning_fraction_{float(fraction)}"
    return f"{stem}.{extension.lstrip('.')}"


def forget_set_names(dataset: str, method: str, seed: int, fraction: float, task_type: str) -> list[str]:
    """Return the names under which a task's forget set is looked for."""
    return [forget_set_name(dataset, method, seed, fraction, kind) for kind in FORGET_SET_KINDS[task_type]]


def sensitive_list_name(category: str) -> str:
    """Return the name under which a list of sensitive items is written, whatever kind of item it lists."""
    return sensitive_list_names(category)[0]


def sensitive_list_names(category: str) -> list[str]:
    """Return the names under which a list of sensitive items is looked for, the preferred one first."""
    return [f"sensitive_{kind}_{category}.txt" for kind in SENSITIVE_KINDS]


def fraud_name(dataset: str, task_type: str, ratio: float, seed: int) -> str:
    """Return the name of the fraud file of a task: ``.inter`` for CF and SBR, ``.json`` for NBR.

    CF has sessions in its file's name as well: ERASE has no spam for CF, and its loader looks for this one name.
    """
    kind, extension = ("baskets", "json") if task_type == "NBR" else ("sessions", "inter")
    return f"{dataset}_fraud_{kind}_{_attack(ratio, seed)}.{extension}"


def fraud_metadata_name(dataset: str, ratio: float, seed: int) -> str:
    """Return the name of what is told of a fraud file; the ratio is spelled as Python prints a float (``0.01``)."""
    return f"{dataset}_fraud_metadata_{_attack(ratio, seed)}.json"


def _attack(ratio: float, seed: int) -> str:
    return f"{ATTACK}_{TARGET_STRATEGY}_ratio_{float(ratio)}_seed_{seed}"
