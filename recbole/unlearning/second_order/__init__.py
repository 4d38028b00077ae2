"""Second derivatives: gradients and Hessian-vector products, Krylov spaces, solvers, Neumann series."""
