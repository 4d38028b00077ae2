"""Spam to be forgotten: a bandwagon attack on unpopular items, drawn from a clean log and kept in a file beside it.

The fake profiles are never part of the log's own file. A run with ``--spam`` adds them, and unlearning has to remove
what they did. What is drawn, and after whom, is said in `recbole.generators.bandwagon` and
`recbole.generators.imitation`; names and metadata are those of ERASE (Lubitzsch, de Rijke and Schelter, SIGIR 2026,
arXiv 2603.08341). The metadata have more keys, the SHA-256 of the fraud file and of the clean one and the filter that
says what training keeps, and lack the time of day, so that one seed gives the same bytes on every machine. File names
do not say how many items are promoted, nor under which filter: the metadata do, and an attack with others is not
overwritten unasked.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from recbole.generators.artefact_names import ATTACK, TARGET_STRATEGY, fraud_metadata_name, fraud_name
from recbole.generators.bandwagon import n_fake
from recbole.generators.imitation import CleanBaskets, CleanInteractions, same_filter
from recbole.utils import UserError, sha256_of_file, stream, write_json
from recbole.utils.staging import staged

MOST_FAKES = 100
"""As many times more fake profiles than real ones are drawn at most."""


class SpamWriter:
    """Draws and writes the attacks on one data set.

    Attributes:
        clean: the log, a `CleanInteractions` or a `CleanBaskets`.
    """

    def __init__(self, clean: CleanInteractions | CleanBaskets, folder: str | Path, dataset: str) -> None:
        """Take the clean log, the folder to write to and the data set's name."""
        self.clean, self._folder, self._dataset = clean, Path(folder), dataset
        self._source_sha256 = sha256_of_file(clean.path)

    def paths(self, ratio: float, seed: int) -> tuple[Path, Path]:
        """Return where the fraud file of an attack is, and what is told of it."""
        fraud = fraud_name(self._dataset, self.clean.task_type, ratio, seed)
        return self._folder / fraud, self._folder / fraud_metadata_name(self._dataset, ratio, seed)

    def check(self, ratio: float, seed: int, n_target_items: int, overwrite: bool = False) -> None:
        """Raise a UserError if the attack cannot be, or would overwrite one with other settings unasked."""
        if not 0 < ratio < 1:
            raise UserError(f"the share of spam (--unlearning_fraction) must be between 0 and 1, not {ratio}")
        real, fake = self.clean.n_profiles, n_fake(ratio, self.clean.n_profiles)
        if fake > MOST_FAKES * real:
            raise UserError(
                f"--unlearning_fraction {ratio}: {fake:,} fake {self.clean.kind} beside {real:,} real ones are more "
                f"than {MOST_FAKES} times as many; take 0.99 or less"
            )
        available = len(self.clean.unpopular)
        if not 1 <= n_target_items <= available:
            raise UserError(
                f"--n_target_items {n_target_items}: must be from 1 to {available}, the least popular fifth of the "
                f"items that training keeps of {self.clean.path}"
            )
        if not overwrite:
            self._check_found(*self.paths(ratio, seed), n_target_items)

    def _check_found(self, path: Path, metadata_path: Path, n_target_items: int) -> None:
        """Raise a UserError if there is an attack that this one would not repeat."""
        if not path.exists():
            return
        advice = "give --overwrite to replace it"
        found = _told(metadata_path)
        if found is None:
            raise UserError(
                f"{path} is there, and {metadata_path.name}, which would say how it was made, is not; {advice}"
            )
        if f"original_{self.clean.kind}" not in found:
            raise UserError(f"{metadata_path} is of spam for another task than {self.clean.task_type}; {advice}")
        if found.get("n_target_items") != n_target_items:
            raise UserError(f"{path} promotes {found.get('n_target_items')} items, not {n_target_items}; {advice}")
        for key, value in self.clean.filters.items():
            if not same_filter(key, found.get(key, value), value):
                raise UserError(f"{path} was made with {key} {found[key]}, not {value}; {advice}")
        if found.get("source_sha256") != self._source_sha256:
            raise UserError(f"{path} was made from other data than {self.clean.path} now holds; {advice}")

    def write(self, ratio: float, seed: int, n_target_items: int) -> dict[str, Any]:
        """Draw an attack and write it; the same settings give the same bytes.

        The fraud file appears after its description, and an older one goes before: it is never beside another's.

        Args:
            ratio: share of fakes among all users or sessions of the poisoned log.
            seed: an int from 0 on; with one seed and number of targets, every ratio has the same targets.
            n_target_items: how many items are promoted.

        Returns:
            dict: ``paths``, ``real`` and ``fake`` (users or sessions), ``rows``, ``items`` (different ones),
            ``targets`` (tokens), ``target_rows``.
        """
        clean, generator = self.clean, stream(seed, "spam")
        targets = generator.choice(clean.unpopular, n_target_items, replace=False)
        fakes = clean.imitate(generator, n_fake(ratio, clean.n_profiles), targets)
        path, metadata_path = self.paths(ratio, seed)
        tokens = clean.tokens.take(pa.array(targets)).to_pylist()
        with staged(self._folder, last=path.name) as folder:
            fakes.write(folder / path.name)
            metadata = {
                "dataset": self._dataset,
                "attack_type": ATTACK,
                "target_item_strategy": TARGET_STRATEGY,
                "poisoning_ratio": float(ratio),
                f"original_{clean.kind}": clean.n_profiles,
                f"fraud_{clean.kind}": fakes.n,
                "target_items": tokens,
                "n_target_items": n_target_items,
                **clean.filters,
                "seed": seed,
                "artifact_sha256": sha256_of_file(folder / path.name),
                "source_sha256": self._source_sha256,
            }
            write_json(folder / metadata_path.name, metadata)
        return {
            "paths": (path, metadata_path),
            "real": clean.n_profiles,
            "fake": fakes.n,
            "rows": len(fakes.items),
            "items": len(set(fakes.items.tolist())),
            "targets": tokens,
            "target_rows": int(fakes.is_target.sum()),
        }


def _told(path: Path) -> dict[str, Any] | None:
    """Return what a metadata file says, or ``None`` if there is none that can be read."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None
