"""Second-order methods: gradients, Hessian-vector products, and solvers for linear systems with a damped Hessian."""
