"""GIF: graph influence function."""

import math
from dataclasses import dataclass

from recbole.unlearning.algorithm import NotApplied, Step, hyperparameter
from recbole.unlearning.case import Case
from recbole.unlearning.hyper import InfluenceHyper
from recbole.unlearning.influence import InfluenceAlgorithm
from recbole.unlearning.second_order.curvature import second_order
from recbole.unlearning.second_order.series import lissa, neumann
from recbole.unlearning.system import Scope, System


@dataclass(frozen=True)
class GifHyper(InfluenceHyper):
    """GIF's hyper-parameters."""

    gif_damping: float = hyperparameter(
        0.01, "share of the scale that is added to the diagonal of the summed Hessian", least=0
    )
    gif_scale_factor: float | None = hyperparameter(
        None,
        "scale of the Neumann series: at least half of the summed Hessian's largest eigenvalue (default: found for "
        "each request: that eigenvalue, more if the series grows along negative ones)",
        above=0,
    )
    gif_iterations: int = hyperparameter(100, "terms of the Neumann series", least=1)
    gif_k_hops: int = hyperparameter(2, "how far in the graph examples count as affected", least=0)
    gif_retain_samples: int | None = hyperparameter(
        None, "most affected examples that are looked at (default: 128 for each forgotten one)", least=0
    )
    retain_samples_used_for_update: int = hyperparameter(
        128, "drawn examples that stand for the others in the Hessian", least=1
    )
    gif_parts: int = hyperparameter(
        1, "parts of the Hessian's examples, taken in turn as in LiSSA; 1 takes all", least=1
    )


class Gif(InfluenceAlgorithm):
    """The influence of interactions as examples and as edges, by a Neumann series.

    J. Wu, Y. Yang, Y. Qian, Y. Sui, X. Wang, X. He, "GIF: A General Graph Unlearning Strategy via Influence Function",
    WWW 2023, arXiv:2304.02835 (equation numbers not checked). With ``S`` the forgotten examples, ``I`` those that the
    forgotten edges influence, ``G`` the graph with the edges and ``G'`` without, all in sums::

        delta = grad [L_S(G) + L_I(G)] - grad L_I(G'),   h <- delta + (1 - d) h - H h / s,   t <- t + h / s

    ``h / s`` converges to ``(H + s d I)^-1 delta``: in the common form of the step the damping is ``s d / n``. Unless
    it is given, ``s`` is the largest eigenvalue of ``H`` that the products of the series itself show, and, if the
    series grows by that, so large that ``s d`` outweighs the most negative one.
    Where a forgotten row changes an example instead of removing it, what is left of it counts on ``G'`` too.

    Unlike ERASE: the series is multiplied by ``1 / s`` (there a step of 101 gradients); ``G'`` is the training graph
    without the edges; the gradient is that of the forgotten interactions and not of the person's whole history;
    recurrent models have a Hessian; there is no fine-tuning, as in the paper. A series that grows is refused. ERASE's
    scale of 1000 is meant for the Hessian of a mean loss; here it is that of a sum.
    """

    name = "gif"
    Hyper = GifHyper
    hyper: GifHyper

    def scope(self, case: Case) -> Scope:
        """Return the :class:`~recbole.unlearning.system.Scope` of a case."""
        hyper = self.hyper
        n_affected = 128 * len(case.change.before) if hyper.gif_retain_samples is None else hyper.gif_retain_samples
        return Scope(hyper.gif_k_hops, n_affected, hyper.retain_samples_used_for_update, hyper.influence_negatives)

    def step(self, case: Case, system: System) -> Step:
        """Return the step ``h / s``; see the class."""
        hyper, out_of_time = self.hyper, case.deadline.passed
        parts, scale = hyper.gif_parts, hyper.gif_scale_factor
        how = system.difference, scale, hyper.gif_damping, hyper.gif_iterations
        with second_order(self.model):
            if parts == 1:
                found = neumann(system.product(), *how, out_of_time=out_of_time)
            else:
                products = [system.product(slice(part, None, parts), parts) for part in range(parts)]
                found = lissa(products, *how, out_of_time=out_of_time)
        if found.ended == "growth" and not found.scale and math.isfinite(found.residual):
            raise NotApplied("diverged", "no curvature is found where the gradient changes: try a --gif_scale_factor")
        if found.ended == "growth" and (found.bend or math.isfinite(found.residual)):
            raise NotApplied("diverged", f"the series grows{self._advice(found.bend, found.scale)}")
        work = self.settled(found) | {"damping": found.damping / system.n, "scale": found.scale}
        return Step(system.subspace, found.x, work)

    def _advice(self, bend: float, scale: float) -> str:
        """Return how a series that grows along an eigenvalue would not; nothing where that is not known."""
        if not bend:
            return ""
        damping = self.hyper.gif_damping
        if bend > 0:
            name, least = "scale_factor", bend / (2 - damping)
        elif bend + scale > 0 or not damping:
            name, least = "damping", -bend / scale
        else:  # more damping than the series bears
            name, least = "scale_factor", -bend / damping
        return f" where the curvature is {bend:.2g}: try --gif_{name} above {1.05 * least:.2g}"  # never rounded down
