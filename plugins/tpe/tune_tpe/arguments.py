"""What a configuration may say under `classArgs.tpe_args`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["TpeArguments"]

_OLD_LIARS = {"min": "best", "max": "worst"}  # NNI 1.x


class TpeArguments(BaseModel):
    """NNI's names. Where a default is null, our own rule holds; a value brings NNI's formula back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    multivariate: bool = Field(
        default=True,
        description="Model parameters jointly, in groups that are active together; false models each "
        "parameter alone, as NNI does.",
    )
    constant_liar_type: Literal["best", "worst", "mean"] | None = Field(
        default="worst",
        description="The result that running trials are taken to have; null leaves them out. NNI: best.",
    )
    n_startup_jobs: int | None = Field(
        default=None,
        ge=1,
        description="Results to have before the model is used. Null: number of parameters active on "
        "average + 2, between 6 and 10, of which all but 6 may still be running. NNI: 20.",
    )
    n_ei_candidates: int = Field(default=64, ge=1, description="Candidates that the model ranks. NNI: 24.")
    linear_forgetting: int = Field(
        default=25, ge=1, description="Newest results that count in full; also the most that count as good."
    )
    prior_weight: float = Field(
        default=1.0, ge=0, description="Weight of the prior beside that of one result; 0 is next to none."
    )
    gamma: float | None = Field(
        default=None,
        gt=0,
        description="Of N results the best ceil(gamma * sqrt(N)) count as good. Null: three of twenty. "
        "NNI: 0.25.",
    )

    @field_validator("constant_liar_type", mode="before")
    @classmethod
    def _read_liar(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        name = value.lower()
        return None if name in ("none", "null") else _OLD_LIARS.get(name, name)
