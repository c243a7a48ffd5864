"""What every NAS trainer must hold to."""

from __future__ import annotations

from pathlib import Path

from tune_core.nas import NasTrainer
from tune_core.testing.driving import assert_plain_json

__all__ = ["NasTrainerContract"]


class NasTrainerContract:
    """Subclass it, name the class `Test...`, and define `make_trainer`."""

    def make_trainer(self) -> NasTrainer:
        """A new trainer of a tiny search, seeded: two of them do the same."""
        raise NotImplementedError("define make_trainer in the subclass")

    def test_export_is_plain_json_of_one_form(self) -> None:
        trainer = self.make_trainer()
        before = trainer.export()
        trainer.fit()
        after = trainer.export()
        assert_plain_json(before)
        assert_plain_json(after)
        assert before.keys() == after.keys()

    def test_status_is_plain_json(self) -> None:
        trainer = self.make_trainer()
        assert_plain_json(trainer.status())
        trainer.fit()
        assert_plain_json(trainer.status())

    def test_same_seed_gives_the_same_architecture(self) -> None:
        first, second = self.make_trainer(), self.make_trainer()
        first.fit()
        second.fit()
        assert first.export() == second.export()

    def test_saved_search_is_restored(self, tmp_path: Path) -> None:
        trainer = self.make_trainer()
        trainer.fit()
        trainer.save(tmp_path / "search")
        restored = self.make_trainer()
        restored.load(tmp_path / "search")
        assert restored.export() == trainer.export()
        assert restored.status() == trainer.status()
