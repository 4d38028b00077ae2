"""Spam attacks to be forgotten: draws fake profiles that promote unpopular items (bandwagon attack) and writes them.

A fake profile is a fake user, or in session-based data a fake session. The fake profiles of an attack are written to a
separate file (the fraud file), never to the log's own. A run with ``--spam`` adds the fraud file to the training data,
and unlearning has to remove its effect. `recbole.generators.bandwagon` describes the distributions, and
`recbole.generators.imitation` how real profiles are imitated.

File names and metadata are those of ERASE (Lubitzsch, de Rijke and Schelter, SIGIR 2026, arXiv 2603.08341). The
metadata have further keys: the SHA-256 of the fraud file and of the clean one, and the filters of items in training.
The metadata have no creation time, so that a seed gives the same bytes on every machine. The number of promoted items
and the filters are in the metadata, but not in the file names. So an existing attack with another number of promoted
items or with other filters is overwritten only on request.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from recbole.generators.artefact_names import ATTACK, TARGET_STRATEGY, fraud_metadata_name, fraud_name
from recbole.generators.bandwagon import n_fake
from recbole.generators.imitation import CleanBaskets, CleanInteractions, same_filter
from recbole.utils import UserError, read_json, sha256_of_file, stream, write_json
from recbole.utils.staging import staged

MOST_FAKES = 100
"""Upper limit for the number of fake profiles, as a multiple of the number of real profiles."""


class SpamWriter:
    """Draws and writes the spam attacks on one data set.

    Attributes:
        clean: the clean log that the fake profiles imitate.
    """

    def __init__(self, clean: CleanInteractions | CleanBaskets, folder: str | Path, dataset: str) -> None:
        """Create a writer for a clean log, given the folder to write to and the data set's name for file names."""
        self.clean, self._folder, self._dataset = clean, Path(folder), dataset
        self._source_sha256 = sha256_of_file(clean.path)

    def paths(self, ratio: float, seed: int) -> tuple[Path, Path]:
        """Return the paths of an attack's file of fake profiles (the fraud file) and of its metadata file."""
        fraud = fraud_name(self._dataset, self.clean.task_type, ratio, seed)
        return self._folder / fraud, self._folder / fraud_metadata_name(self._dataset, ratio, seed)

    def check(self, ratio: float, seed: int, n_target_items: int, overwrite: bool = False) -> None:
        """Raise a UserError if the attack is impossible, or if it would replace a different one against ``overwrite``.

        Args:
            ratio: share of fake users (sessions) among all users (sessions), real and fake.
            seed: the attack's seed.
            n_target_items: number of promoted items.
            overwrite: whether an existing attack with other settings or from other data may be replaced.
        """
        if not 0 < ratio < 1:
            raise UserError(f"the share of spam (--unlearning_fraction) must be between 0 and 1, not {ratio}")
        real, fake = self.clean.n_profiles, n_fake(ratio, self.clean.n_profiles)
        if fake > MOST_FAKES * real:
            raise UserError(
                f"--unlearning_fraction {ratio}: {fake:,} fake {self.clean.kind} are more than {MOST_FAKES} times "
                f"the {real:,} real ones; use 0.99 or less"
            )
        available = len(self.clean.unpopular)
        if not 1 <= n_target_items <= available:
            raise UserError(
                f"--n_target_items {n_target_items}: must be from 1 to {available}, the number of items in the least "
                f"popular fifth of the items of {self.clean.path} that pass the filters"
            )
        if not overwrite:
            self._check_found(*self.paths(ratio, seed), n_target_items)

    def _check_found(self, path: Path, metadata_path: Path, n_target_items: int) -> None:
        """Raise a UserError if an attack exists that differs from the one to write."""
        if not path.exists():
            return
        advice = "add --overwrite to replace it"
        found = _told(metadata_path)
        if found is None:
            raise UserError(f"{path} exists, but its metadata {metadata_path.name} are missing or damaged; {advice}")
        if f"original_{self.clean.kind}" not in found:
            raise UserError(f"{metadata_path} describes spam for another task than {self.clean.task_type}; {advice}")
        if found.get("n_target_items") != n_target_items:
            raise UserError(f"{path} promotes {found.get('n_target_items')} items, not {n_target_items}; {advice}")
        for key, value in self.clean.filters.items():
            if not same_filter(key, found.get(key, value), value):
                raise UserError(f"{path} was made with {key} {found[key]}, not {value}; {advice}")
        if found.get("source_sha256") != self._source_sha256:
            raise UserError(f"{path} was made from other data than {self.clean.path} now holds; {advice}")

    def write(self, ratio: float, seed: int, n_target_items: int) -> dict[str, Any]:
        """Draw an attack and write it; the same settings give the same bytes.

        The fraud file (the fake profiles) is written after its metadata, and an older fraud file is removed first. So
        the metadata next to a fraud file always describe this file, even after an interruption.

        Args:
            ratio: share of fake users (sessions) among all users (sessions), real and fake.
            seed: an int of at least 0. The promoted items depend only on the seed and their number, not on the ratio.
            n_target_items: number of promoted items.

        Returns:
            dict: ``paths`` (fraud file, metadata), ``real`` and ``fake`` (numbers of users or sessions), ``rows``
            (number of fake rows), ``items`` (number of distinct items in them), ``targets`` (tokens of the promoted
            items), ``target_rows`` (number of rows with a promoted item).
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
    """Return the content of a metadata file, or ``None`` if it is missing or malformed."""
    try:
        return read_json(path, dict)
    except UserError:
        return None
