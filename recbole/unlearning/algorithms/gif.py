"""GIF (graph influence function): a Newton step, computed by a Neumann series."""

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
    """Hyper-parameters of the algorithm ``gif``; the help text of each field describes it."""

    gif_damping: float = hyperparameter(
        0.01, "damping: fraction of the scale that is added to the diagonal of the summed Hessian", least=0
    )
    gif_scale_factor: float | None = hyperparameter(
        None,
        "scale of the Neumann series, at least half of the summed Hessian's largest eigenvalue (default: that "
        "eigenvalue, estimated for each request, or more if the series grows along negative ones)",
        above=0,
    )
    gif_iterations: int = hyperparameter(100, "terms of the Neumann series", least=1)
    gif_k_hops: int = hyperparameter(2, "graph distance within which examples count as affected", least=0)
    gif_retain_samples: int | None = hyperparameter(
        None, "largest number of affected examples used (default: 128 per forgotten example)", least=0
    )
    retain_samples_used_for_update: int = hyperparameter(
        128, "sampled examples that represent others in the Hessian", least=1
    )
    gif_parts: int = hyperparameter(
        1, "parts of the Hessian's examples, used in turn as in LiSSA; 1 always uses all examples", least=1
    )


class Gif(InfluenceAlgorithm):
    """Removes the influence of interactions, as training examples and as graph edges, by one Newton step per request.

    J. Wu, Y. Yang, Y. Qian, Y. Sui, X. Wang, X. He, "GIF: A General Graph Unlearning Strategy via Influence Function",
    WWW 2023, arXiv:2304.02835 (equation numbers not checked). Let ``t`` be the parameters, ``S`` the forgotten
    examples, ``I`` the retained examples whose loss depends on the forgotten edges, ``G`` the graph with these edges
    and ``G'`` the graph without them. ``L_S`` and ``L_I`` are sums of losses, ``H`` is the Hessian of the retained
    examples' summed loss, ``s`` is a scale and ``d`` is ``gif_damping``. The iteration for ``h`` sums a Neumann
    series::

        delta = grad [L_S(G) + L_I(G)] - grad L_I(G'),   h <- delta + (1 - d) h - H h / s,   t <- t + h / s

    ``h / s`` converges to ``(H + s d I)^-1 delta``, so the damping of the mean loss over ``n`` examples is ``s d / n``.
    If ``gif_scale_factor`` is not set, ``s`` is the largest eigenvalue of ``H``, estimated from the series' own
    products with ``H``. If the series then diverges along negative eigenvalues, ``s`` is raised until ``s d`` exceeds
    the most negative one in absolute value. If a forgotten interaction changes an example instead of removing it,
    ``L_I(G')`` includes the rest of the example.

    Differences from ERASE's program: the series is multiplied by ``1 / s`` (without this factor, ERASE's step is about
    as long as the sum of 101 gradients); ``G'`` is the training graph without the edges; the gradient is that of the
    forgotten interactions, not of the user's whole history; recurrent models have a Hessian; and there is no
    fine-tuning, as in the paper. A series that diverges is rejected. ERASE's scale of 1000 is meant for the Hessian of
    a mean loss, but ``H`` is that of a summed loss.
    """

    name = "gif"
    Hyper = GifHyper
    hyper: GifHyper

    def scope(self, case: Case) -> Scope:
        """Return the limits on graph distance, training examples and negatives for the linear system of some requests.

        Args:
            case: the requests that are answered together.
        """
        hyper = self.hyper
        n_affected = 128 * len(case.change.before) if hyper.gif_retain_samples is None else hyper.gif_retain_samples
        return Scope(hyper.gif_k_hops, n_affected, hyper.retain_samples_used_for_update, hyper.influence_negatives)

    def step(self, case: Case, system: System) -> Step:
        """Return the result of the Neumann series (``h / s`` in the class's docstring) as the step.

        Args:
            case: the requests that are answered together.
            system: their linear system.

        Raises:
            NotApplied: the series diverges, the Hessian gives no scale, the time is up, or a value is not finite.
        """
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
            reason = "the Hessian is 0 along the change of the gradient, so it gives no scale: set --gif_scale_factor"
            raise NotApplied("diverged", reason)
        if found.ended == "growth" and (found.bend or math.isfinite(found.residual)):
            raise NotApplied("diverged", f"the Neumann series diverges{self._advice(found.bend, found.scale)}")
        work = self.settled(found) | {"damping": found.damping / system.n, "scale": found.scale}
        return Step(system.subspace, found.x, work)

    def _advice(self, bend: float, scale: float) -> str:
        """Return the end of an error message: which flag to set, and to which value, so that the series converges.

        Args:
            bend: the eigenvalue of the Hessian along whose eigenvector the series diverges; 0 if it is not known.
            scale: the scale ``s`` of the series.

        Returns:
            The text; empty if ``bend`` is 0.
        """
        if not bend:
            return ""
        damping = self.hyper.gif_damping
        if bend > 0:
            name, least = "scale_factor", bend / (2 - damping)
        elif bend + scale > 0 or not damping:
            name, least = "damping", -bend / scale
        else:  # the damping that it takes would be too large for the series to converge
            name, least = "scale_factor", -bend / damping
        advice = f"set --gif_{name} above {1.05 * least:.2g}"  # 5 % more than needed, so that rounding does no harm
        return f" along an eigenvector of the Hessian with eigenvalue {bend:.2g}: {advice}"
