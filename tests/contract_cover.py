"""Which registered parts no contract class is about."""


def uncovered(contract, attribute, names):
    """Return those of the names (lower case) that no subclass of a contract names in its attribute."""
    waiting, covered = [contract], set()
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        covered.add(getattr(cls, attribute, "").lower())
    return sorted(set(names) - covered)
