"""The names of the files of a scenario, as ERASE gives them; spelled here and nowhere else."""

SENSITIVE_KINDS = ("asins", "products", "tracks")


def sensitive_method(category):
    """Return the selection method's name for a category of sensitive items."""
    return f"sensitive_category_{category}"


def forget_set_name(dataset, method, seed, fraction, extension):
    """Return the name of a forget set; the fraction is spelled as Python prints a float (``0.001``, ``1e-05``)."""
    stem = f"{dataset}_unlearn_pairs_{method}_seed_{seed}_unlearning_fraction_{float(fraction)}"
    return f"{stem}.{extension.lstrip('.')}"


def sensitive_list_name(category):
    """Return the name under which a list of sensitive items is written, whatever kind of item it lists."""
    return sensitive_list_names(category)[0]


def sensitive_list_names(category):
    """Return the names under which a list of sensitive items is looked for, the preferred one first."""
    return [f"sensitive_{kind}_{category}.txt" for kind in SENSITIVE_KINDS]
