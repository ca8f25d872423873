"""Which images form which batch: a pure function of (sizes, seed, epoch, step, world size)."""

from bagreid.plan.batches import BatchPlan, make_bag_plan, make_identity_plan
from bagreid.plan.config import PlanConfig

__all__ = ["BatchPlan", "PlanConfig", "make_bag_plan", "make_identity_plan"]
