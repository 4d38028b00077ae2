"""Find registered parts (models, metrics, algorithms, ...) that no contract test class covers."""


def uncovered(contract, attribute, names):
    """Return those of the names (lower case) that no subclass of ``contract`` has in the given class attribute."""
    waiting, covered = [contract], set()
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        covered.add(getattr(cls, attribute, "").lower())
    return sorted(set(names) - covered)
