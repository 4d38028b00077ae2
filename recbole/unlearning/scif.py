"""SCIF: selective and collaborative influence function."""

import math
from dataclasses import dataclass

from recbole.unlearning.algorithm import HyperParameters, NotApplied, Step, UnlearningAlgorithm, setting
from recbole.unlearning.curvature import HessianProduct, Subspace, gradient, second_order
from recbole.unlearning.solvers import positive_solution


@dataclass(frozen=True)
class ScifHyper(HyperParameters):
    """SCIF's hyper-parameters."""

    damping: float = setting(0.01, "added to the diagonal of the mean loss's Hessian", least=0)
    scif_iterations: int = setting(100, "most conjugate-gradient iterations of a request", least=1)
    scif_negatives: int = setting(64, "fixed negatives for each positive of a pairwise model, averaged over", least=1)
    scif_hessian_samples: int = setting(
        256, "retained examples that the Hessian of shared parameters is estimated from", least=1
    )


class Scif(UnlearningAlgorithm):
    """One influence-function step for each request, in the parameters that hold what is known of the requester.

    Y. Li, C. Chen, X. Zheng, Y. Zhang, B. Gong, J. Wang, "Selective and Collaborative Influence Function for Efficient
    Recommendation Unlearning", arXiv:2304.10199 (2023). The full text was not at hand, so the step is derived here
    (equation numbers not checked).

    Let ``J(t) = 1/n sum_i l_i(t)`` be the training objective and ``t`` its trained parameters, so ``grad J(t) = 0``.
    Without the forgotten rows the examples ``before`` become ``after``, the objective is
    ``J'(t) = J(t) + (L_after(t) - L_before(t)) / n``, and ``grad J'(t) = (g_after - g_before) / n``. A Newton step
    towards the optimum of ``J'``, with ``H`` the summed Hessian of the retained examples, is::

        t <- t - (H / n + damping I)^-1 (g_after - g_before) / n

    *Selective*: ``t`` are the model's ``selective`` parameters; for factor models the user table. There ``H`` is block
    diagonal over users, so only the requester's row moves, in a system of the size of one embedding that is solved to
    convergence. *Collaborative*: everybody else's embeddings, the items' above all, stay as the retained data made
    them.

    The sums run over the requester's retained examples where ``t`` are look-up tables (exact: nobody else's loss
    depends on those rows), and else over ``scif_hessian_samples`` retained examples, rescaled to ``n``. A pairwise
    loss is averaged over ``scif_negatives`` fixed negatives, which estimates the expectation that training minimises.

    A Hessian that is not positive, as it may be of a network, is damped until it is
    (:func:`~recbole.unlearning.solvers.positive_solution`); ``work["damping"]`` says what was used.

    Unlike ERASE: one fixed operator instead of another minibatch in each iteration, no ascent on retained data, sums
    instead of sums of means, the requester's row instead of the whole user table, divided by ``n`` and not by the
    number of sampled rows.
    """

    name = "scif"
    Hyper = ScifHyper

    @classmethod
    def moves(cls, model):
        """Return the ``selective`` parameters; all, where a model names none."""
        return tuple(model.selective) or super().moves(model)

    def solve(self, change, index, out_of_time):
        """Return the damped Newton step; see the class."""
        hyper, n = self.hyper, max(self.n_train, 1)
        times, rows = self.multiplicity(hyper.scif_negatives)
        before, after = self.paired(change, index, times)
        names = self.model.selective
        if names and all(name in self.model.row_tables for name in names):
            sample, share = self.context(change, index, times)
        else:
            sample, share = self.retained(hyper.scif_hessian_samples, index, times)
        with second_order(self.model):
            subspace = Subspace(self.model, names, [before, after, sample])
            g = (gradient(subspace, [after]) - gradient(subspace, [before])) / (n * rows)
            if out_of_time():
                raise NotApplied("timeout", "time was up after the gradients")
            product = HessianProduct(subspace, [sample], scale=1 / (share * n * rows))
            found = positive_solution(product, g, hyper.damping, 1e-6, hyper.scif_iterations, out_of_time)
        if found.ended == "timeout":
            raise NotApplied("timeout", f"time was up after {found.iterations} conjugate-gradient iterations")
        if not math.isfinite(found.residual + found.bend):
            raise NotApplied("diverged", "the gradients or their derivatives are not finite")
        work = {"n_hvp": product.count, "n_gradients": 2, "residual": found.residual, "solver": found.ended}
        work["damping"] = found.damping
        return Step(subspace, -found.x, work)
